package flow

// UF5xxx: host, store and API.
const ()

func hostCodes() []Explanation {
	return []Explanation{}
}
