package flow

// UF3xxx: runs.
const ()

func runCodes() []Explanation {
	return []Explanation{}
}
