package flow

import (
	"slices"
	"strings"
)

// Explanation is the long text of a code, for `uniflow explain`.
type Explanation struct {
	Code  Code   `json:"code"`
	Title string `json:"title"`
	// Text is plain paragraphs: what the code means, why the rule is there, how to mend it, with an example.
	Text string `json:"text"`
}

// Explanations returns all codes in order.
func Explanations() []Explanation {
	all := slices.Concat(manifestCodes(), planCodes(), scheduleCodes(), pluginCodes(), supplyCodes(), runCodes(), hostCodes(), tenantCodes(), cliCodes())
	slices.SortFunc(all, func(a, b Explanation) int { return strings.Compare(string(a.Code), string(b.Code)) })
	return all
}

// Explain returns the explanation of a code; letters may be lower case.
func Explain(code string) (Explanation, bool) {
	for _, e := range Explanations() {
		if strings.EqualFold(string(e.Code), code) {
			return e, true
		}
	}
	return Explanation{}, false
}
