package plan

import (
	"strconv"
	"strings"
)

const nameHelp = "a name begins with a lower case letter and has lower case letters, digits, _ and (but not in steps) -; at most 64"

// goodName reports whether a name is well formed; only names of steps may not hold a dash.
func goodName(name string, dash bool) bool {
	if name == "" || len(name) > 64 || name[0] < 'a' || name[0] > 'z' {
		return false
	}
	for _, c := range []byte(name) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_' && (c != '-' || !dash) {
			return false
		}
	}
	return true
}

// count returns how many texts say something.
func count(texts ...string) int {
	n := 0
	for _, t := range texts {
		if t != "" {
			n++
		}
	}
	return n
}

// first returns the first text that says something.
func first(texts ...string) string {
	for _, t := range texts {
		if t != "" {
			return t
		}
	}
	return ""
}

// joinWords writes a list as a person does: "a", "a and b", "a, b and c".
func joinWords(words []string) string {
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = strconv.Quote(w)
	}
	if len(quoted) < 2 {
		return strings.Join(quoted, "")
	}
	return strings.Join(quoted[:len(quoted)-1], ", ") + " and " + quoted[len(quoted)-1]
}
