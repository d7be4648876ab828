package flow

// PluginTests is the answer of `uniflow plugin test`.
type PluginTests struct {
	// OK is true when every case passed.
	OK    bool         `json:"ok"`
	Cases []PluginCase `json:"cases"`
}

// PluginCase is one file of testdata, and how its call went.
type PluginCase struct {
	// Name is the file's name without its ending.
	Name   string `json:"name"`
	File   string `json:"file"`
	Plugin string `json:"plugin"`
	OK     bool   `json:"ok"`
	// Differences between what the file expects and what came.
	Differences []Difference `json:"differences,omitempty"`
	// Updated is true when the file was written anew.
	Updated bool `json:"updated,omitempty"`
	PluginRun
}

// Difference is one thing that came out otherwise than expected.
type Difference struct {
	// What it is, in the words of the file: outputs, logs, fuel.
	What string `json:"what"`
	Want string `json:"want"`
	Got  string `json:"got"`
	// Lines is the difference line by line, those that were expected marked by "-", those that came by "+"; empty where
	// Want and Got are short.
	Lines []string `json:"lines,omitempty"`
}

// PluginAdded is the answer of `uniflow plugin add`.
type PluginAdded struct {
	Name string `json:"name"`
	// Path is the file, relative to the manifest.
	Path   string `json:"path"`
	Digest Digest `json:"digest"`
	// From is where it was taken from, with the digest of the artifact's manifest if that was a registry; empty for a file.
	From string `json:"from,omitempty"`
	// Signer is the public key of who signed it, where that was asked for.
	Signer string `json:"signer,omitempty"`
	// Change is what it imports and wants, beside what the plugin of that name did before.
	Change PluginChange `json:"change"`
	// Needs are what the module uses of the host and what its author asks for, with the lines of a manifest that give it.
	// None of them was granted.
	Needs []Need `json:"needs,omitempty"`
	// Manifest are the lines that name the plugin, if they were not there; Declared is true if the manifest has them now.
	Manifest string `json:"manifest,omitempty"`
	Declared bool   `json:"declared"`
}

// Need is something that a module uses of the host, with the line of the manifest that gives it.
type Need struct {
	// What the module uses: an operation, or a function that it imports.
	What string `json:"what"`
	// How it is known: "import" for a function that is imported, "mentioned" for an operation whose name stands among the
	// module's data, "wanted" for what the plugin's author asks for.
	How string `json:"how"`
	// Manifest is the line below the plugin's table, empty where no grant is needed.
	Manifest string `json:"manifest,omitempty"`
	// Note says what holds without it.
	Note string `json:"note,omitempty"`
}

// PluginEvent is what `uniflow plugin dev` tells: a build, a test of all cases, or what kept one from happening.
type PluginEvent struct {
	// Changed is the file whose change began this round; empty for the first.
	Changed string       `json:"changed,omitempty"`
	Built   *BuildReport `json:"built,omitempty"`
	Tests   *PluginTests `json:"tests,omitempty"`
	Problem string       `json:"problem,omitempty"`
	Hint    string       `json:"hint,omitempty"`
}
