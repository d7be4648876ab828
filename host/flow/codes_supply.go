package flow

// UF22xx: the files of plugins.
const (
	// CodePluginFile: a plugin's file cannot be read.
	CodePluginFile Code = "UF2201"
	// CodeLock: a lock file is not well formed.
	CodeLock Code = "UF2202"
	// CodeNotLocked: a plugin's file is not pinned.
	CodeNotLocked Code = "UF2203"
	// CodeDigest: a plugin's bytes are not those that were pinned.
	CodeDigest Code = "UF2204"
	// CodeBuild: a build command failed.
	CodeBuild Code = "UF2205"
	// CodePluginMissing: a plugin's file does not exist.
	CodePluginMissing Code = "UF2206"
)

func supplyCodes() []Explanation {
	return []Explanation{
		{CodePluginFile, "The plugin's file cannot be read", "The path of a plugin must name a regular file inside the manifest's folder that this user may read.\n\nA path is relative to the manifest; neither `..` nor a symbolic link may lead out of its folder."},
		{CodeLock, "The lock is not well formed", "uniflow.lock and the build lock in the data folder hold one line per file: 64 hexadecimal digits of SHA-256, two spaces, the path as the manifest writes it. The form is that of sha256sum, so `sha256sum -c uniflow.lock` checks it.\n\n`uniflow build` writes both anew."},
		{CodeNotLocked, "The plugin is not pinned", "A host that serves loads only plugins whose digest is pinned: prebuilt files in uniflow.lock beside the manifest, built ones in the data folder.\n\n`uniflow build` builds and pins them; look at the change of uniflow.lock before you commit it."},
		{CodeDigest, "The plugin's bytes are not the pinned ones", "The file has changed since its digest was pinned, by a new build, a failed download or somebody else's hand.\n\nRestore the file, or, if the change is yours, run `uniflow build` and commit the new uniflow.lock."},
		{CodeBuild, "A build command failed", "The plugin's build command ended with an error; its last words are shown. The command is run in the manifest's folder, without a shell; leading NAME=value words set its environment.\n\nRun it by hand there to see all of its output."},
		{CodePluginMissing, "The plugin's file does not exist", "The manifest names a file that is not there.\n\nIf the plugin has a build command, `uniflow build` makes it; otherwise check the path, which is relative to the manifest's folder."},
	}
}
