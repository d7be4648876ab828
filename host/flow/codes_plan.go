package flow

// UF12xx: the sense of a manifest.
const ()

func planCodes() []Explanation {
	return []Explanation{}
}
