package secret

import (
	"cmp"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// mask stands where a secret was.
const mask = "***"

// leastPart is the length from which a part of a secret is taken for secret itself: shorter ones are words.
const leastPart = 4

// anyURL finds what looks like a URL: the errors of services hold URLs that they have made of the secret one.
var anyURL = regexp.MustCompile(`[a-zA-Z][a-zA-Z0-9+.-]*://[^\s"'<>]+`)

// Redact takes secrets out of a text: each secret, each part of one between punctuation, as it stands or escaped for a
// URL, and every URL. It takes out too much rather than too little. The text is for people; what is left is bounded and
// on one line.
func Redact(text string, secrets ...string) string {
	text = anyURL.ReplaceAllString(text, mask)
	var parts []string
	for _, s := range secrets {
		parts = append(parts, partsOf(s)...)
	}
	slices.SortFunc(parts, func(a, b string) int { return cmp.Or(len(b)-len(a), strings.Compare(a, b)) })
	for _, p := range slices.Compact(parts) {
		text = strings.ReplaceAll(text, p, mask)
	}
	text = strings.Join(strings.Fields(strings.ToValidUTF8(text, "?")), " ")
	if r := []rune(text); len(r) > maxText {
		text = string(r[:maxText]) + "…"
	}
	return text
}

// maxText bounds a redacted text, in characters.
const maxText = 300

// partsOf lists the pieces of a secret that must not be seen. The scheme of a URL is none.
func partsOf(secret string) []string {
	if _, rest, ok := strings.Cut(secret, "://"); ok {
		secret = rest
	}
	forms := []string{secret, url.QueryEscape(secret), url.PathEscape(secret)}
	if plain, err := url.PathUnescape(secret); err == nil {
		forms = append(forms, plain)
	}
	var parts []string
	for _, form := range forms {
		parts = append(parts, form)
		parts = append(parts, strings.FieldsFunc(form, func(r rune) bool {
			return (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
		})...)
	}
	return slices.DeleteFunc(parts, func(p string) bool { return len(p) < leastPart })
}
