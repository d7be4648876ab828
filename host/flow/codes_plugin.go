package flow

// UF2xxx: plugins that cannot be loaded; UF4xxx: grants and sandbox.
const ()

func pluginCodes() []Explanation {
	return []Explanation{}
}
