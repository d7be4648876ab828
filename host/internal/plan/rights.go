package plan

import (
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/egress"
)

// Right is one thing that a plugin is granted: the words in which locks keep it and people review it, and its key.
type Right struct {
	Words string
	At    []string
}

// Rights lists what a table of the manifest grants, sorted by words, in canonical form. Of a variable it holds the name,
// of a secret the place to which it is bound: no values.
func Rights(table []string, g flow.Grant, secrets map[string]flow.SecretBinding) []Right {
	var all []Right
	add := func(words string, at ...string) {
		all = append(all, Right{words, append(slices.Clone(table), at...)})
	}
	for i, line := range frozenHTTP(g.HTTP) {
		add("http "+line, "grant", "http", strconv.Itoa(i))
	}
	for guest, host := range g.Mount {
		add(fmt.Sprintf("mount %s = %s", bare(guest), bare(path.Clean(filepath.ToSlash(host)))), "grant", "mount", guest)
	}
	for name := range g.Env {
		add("env "+bare(name), "grant", "env", name)
	}
	for _, flag := range []struct {
		name string
		on   bool
	}{{"state", g.State}, {"clock", g.Clock}, {"random", g.Random}, {"event", g.Event}} {
		if flag.on {
			add(flag.name, "grant", flag.name)
		}
	}
	for name, s := range frozenSecrets(secrets) {
		words := fmt.Sprintf("secret %s to %s as %s", bare(name), s.To, s.Header)
		if s.Expose {
			words = "secret " + bare(name) + " readable"
		}
		add(words, "secrets", name)
	}
	slices.SortFunc(all, func(a, b Right) int { return strings.Compare(a.Words, b.Words) })
	return all
}

// bare is a text as it is, quoted where it could be read as more than one word.
func bare(text string) string {
	if quoted := strconv.Quote(text); strings.ContainsRune(text, ' ') || quoted != `"`+text+`"` {
		return quoted
	}
	return text
}

// RightWords are the words of rights.
func RightWords(rights []Right) []string {
	var words []string
	for _, r := range rights {
		words = append(words, r.Words)
	}
	return words
}

// mostApproved bounds the words of a table that a right is held against when it is not among them: both come from files
// that a tenant writes, and a manifest grants far less. What is beyond it approves itself alone.
const mostApproved = 1000

// Excess returns the rights that nothing of what was approved covers. Less than what was approved is covered: a longer
// path below the same prefix, a folder within the mounted one.
func Excess(rights []Right, approved []string) []Right {
	same := make(map[string]bool, len(approved))
	for _, words := range approved {
		same[words] = true
	}
	wider := make([]spoken, 0, min(len(approved), mostApproved))
	for _, words := range approved[:min(len(approved), mostApproved)] {
		wider = append(wider, speak(words))
	}
	return slices.DeleteFunc(slices.Clone(rights), func(r Right) bool {
		if same[r.Words] {
			return true
		}
		right := speak(r.Words)
		return slices.ContainsFunc(wider, func(a spoken) bool { return a.covers(&right) })
	})
}

// spoken are the words of a right, read once.
type spoken struct {
	words []string
	http  *egress.Pattern // nil for what is no pattern
}

func speak(text string) spoken {
	s := spoken{words: strings.Fields(text)}
	if line, ok := strings.CutPrefix(text, "http "); ok {
		if p, err := egress.ParsePattern(line); err == nil {
			s.http = &p
		}
	}
	return s
}

// covers reports whether what was approved includes a right with other words.
func (s *spoken) covers(right *spoken) bool {
	have, want := s.words, right.words
	switch {
	case len(have) != len(want) || len(have) < 2 || have[0] != want[0]:
		return false
	case have[0] == "http":
		return s.http != nil && right.http != nil && s.http.Includes(*right.http)
	case have[0] == "mount" && len(have) == 4:
		return have[1] == want[1] && have[2] == "=" && want[2] == "=" && within(want[3], have[3])
	}
	return false
}

// within reports whether a clean path lies in a folder.
func within(name, folder string) bool {
	if strings.Contains(name, `"`) || strings.Contains(folder, `"`) { // quoted: only the same is the same
		return false
	}
	if folder == "." {
		return filepath.IsLocal(name)
	}
	return strings.HasPrefix(name, strings.TrimSuffix(folder, "/")+"/")
}
