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
	// CodeNotApproved: a plugin wants, or a manifest grants, more than the lock approves.
	CodeNotApproved Code = "UF2207"
	// CodeSignature: a plugin is not signed as it must be.
	CodeSignature Code = "UF2208"
	// CodeDownload: a plugin cannot be taken from where it is.
	CodeDownload Code = "UF2209"
)

func supplyCodes() []Explanation {
	return []Explanation{
		{CodePluginFile, "The plugin's file cannot be read", "The path of a plugin must name a regular file inside the manifest's folder that this user may read.\n\nA path is relative to the manifest; neither `..` nor a symbolic link may lead out of its folder."},
		{CodeLock, "The lock cannot be used", "uniflow.lock beside the manifest, and build.lock in the data folder, are JSON as `uniflow build` writes it: for each file its digest, where it came from, its ABI, imports, wants and signer, and for each table of the manifest the grants that were approved. A key that is not known, stands twice or is out of order is refused: nobody could say what holds.\n\nRestore the lock from your history. A lock of the older form, lines of `<sha256>  <path>`, holds digests alone: `uniflow build` keeps those and writes the rest; review the file, then commit it."},
		{CodeNotLocked, "The plugin is not pinned", "A host that serves loads only plugins whose digest is pinned: prebuilt files in uniflow.lock beside the manifest, built ones in the data folder.\n\n`uniflow build` builds and pins them; look at the change of uniflow.lock before you commit it."},
		{CodeDigest, "The plugin's bytes are not the pinned ones", "The file has changed since its digest was pinned, by a new build, a failed download or somebody else's hand. The message says what the new bytes import and want that the old ones did not.\n\nRestore the file, or, if the change is yours, run `uniflow build --accept` and commit the new uniflow.lock."},
		{CodeBuild, "A build command failed", "The plugin's build command ended with an error; its last words are shown. The command is run in the manifest's folder, without a shell; leading NAME=value words set its environment.\n\nRun it by hand there to see all of its output."},
		{CodePluginMissing, "The plugin's file does not exist", "The manifest names a file that is not there.\n\nIf the plugin has a build command, `uniflow build` makes it; otherwise check the path, which is relative to the manifest's folder."},
		{CodeNotApproved, "More than was approved", "uniflow.lock holds what was approved: what a module imports and wants, who signed it, and what each table of the manifest grants. A host that serves takes no more than that; less is fine. Each excess is named at its place in the manifest.\n\nGrant less. Or look at the change, then run `uniflow build`, which writes what the manifest grants into the lock, and commit both: the lock's diff is what a reviewer reads."},
		{CodeSignature, "The plugin is not signed as it must be", "With `keys` under [host], or in the table of a tenant, each plugin file needs a minisign signature by one of those keys, in a file beside it with the end .minisig. A missing signature, another key, other bytes or another trusted comment are refused before anything is compiled.\n\nSign the file with `minisign -S -m FILE`, or take it with its signature: `uniflow plugin add SOURCE`. A script that is a folder cannot be signed: name a file."},
		{CodeDownload, "The plugin cannot be taken from there", "`uniflow plugin add` takes a plugin from a path, from https:// or from oci://HOST/REPOSITORY:TAG. What is too large, too slow, cut off, not what its digest says, or led by a redirect to plain HTTP is refused, and nothing is written.\n\nThe message says what happened. Plain HTTP is for this machine alone, or for --plain-http."},
	}
}
