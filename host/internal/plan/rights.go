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

// Excess returns the rights that nothing of what was approved covers. Less than what was approved is covered: a longer
// path below the same prefix, a folder within the mounted one.
func Excess(rights []Right, approved []string) []Right {
	return slices.DeleteFunc(slices.Clone(rights), func(r Right) bool {
		return slices.ContainsFunc(approved, func(words string) bool { return covers(words, r.Words) })
	})
}

// covers reports whether what was approved includes a right.
func covers(approved, right string) bool {
	if approved == right {
		return true
	}
	have, want := strings.Fields(approved), strings.Fields(right)
	if len(have) != len(want) || len(have) < 2 || have[0] != want[0] {
		return false
	}
	switch {
	case have[0] == "http":
		a, errA := egress.ParsePattern(strings.TrimPrefix(approved, "http "))
		b, errB := egress.ParsePattern(strings.TrimPrefix(right, "http "))
		return errA == nil && errB == nil && a.Includes(b)
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
