package arch

// Rule is one thing that holds for the whole module.
type Rule struct {
	// Name is what the failing test is called.
	Name string
	// Check lists where the rule is broken; nothing means it holds.
	Check func(*Tree) []Finding
}

// Rules lists all rules.
func Rules() []Rule {
	return []Rule{
		{"packages import only what their row of the table allows", CheckImports},
		{"packages say what they own in a package comment", CheckPackageComments},
		{"exported names have comments", CheckDocs},
		{"functions and files stay short enough to read at once", CheckMaxima},
		{"short functions and files are the rule", CheckShares},
		{"packages are named after what they own", CheckNames},
		{"init functions, the empty interface, math/rand and cgo are not used", CheckConstructs},
		{"no file names a machine's path or a registry host", CheckWords},
		{"links in documents lead to files of the project", CheckLinks},
		{"docs/ABI.md and sdk/abi say the same", CheckContract},
	}
}
