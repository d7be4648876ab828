package flow

// UF6xxx: command line.
const ()

func cliCodes() []Explanation {
	return []Explanation{}
}
