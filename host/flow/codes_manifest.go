package flow

// UF10xx and UF11xx: the form of a manifest.
const ()

func manifestCodes() []Explanation {
	return []Explanation{}
}
