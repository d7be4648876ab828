package arch

import (
	"fmt"
	"path"
	"regexp"
	"strings"
)

// wordsFile is this file, the one that must spell the words it forbids.
const wordsFile = "internal/arch/words.go"

// word is a piece of text that does not belong, with the reason.
type word struct {
	pattern *regexp.Regexp
	why     string
}

// words lists what no file of the project may say.
func words() []word {
	return []word{
		{
			regexp.MustCompile(`(?:^|[^\w./-])/(?:work|tmp|root|home/\w+|Users/\w+)(?:/|\b)`),
			"a path of one machine; use a path relative to the project, t.TempDir, mktemp or os.TempDir",
		},
		{
			regexp.MustCompile(`\b(?:proxy\.golang\.org|sum\.golang\.org|registry\.npmjs\.org|index\.crates\.io|pypi\.org|files\.pythonhosted\.org|deb\.debian\.org)\b`),
			"a registry host; tools find theirs in their own configuration",
		},
		{
			regexp.MustCompile(`\bGOPROXY=|\bGONOSUMDB=|\bGOFLAGS=-mod=mod\b`),
			"a setting of one machine; it belongs to the environment, not to the project",
		},
	}
}

// CheckWords reports text that ties the project to one machine or one mirror.
func CheckWords(tree *Tree) []Finding {
	var found []Finding
	forbidden := words()
	for _, text := range tree.Texts {
		if text.Path == wordsFile || path.Base(text.Path) == "go.sum" {
			continue
		}
		number := 0
		for line := range strings.Lines(text.Body) {
			number++
			for _, word := range forbidden {
				if hit := word.pattern.FindString(line); hit != "" {
					found = append(found, Finding{
						fmt.Sprintf("%s:%d", text.Path, number),
						fmt.Sprintf("says %q: %s", strings.TrimSpace(hit), word.why),
					})
				}
			}
		}
	}
	return found
}

// CheckLinks reports links of documents to files that are not there. Code in
// a document is no link.
func CheckLinks(tree *Tree) []Finding {
	link := regexp.MustCompile(`\]\(([^)\s:#]+)(?:#[^)\s]*)?\)`)
	code := regexp.MustCompile("(?s)```.*?```|`[^`\n]*`")
	var found []Finding
	for _, text := range tree.Texts {
		if path.Ext(text.Path) != ".md" {
			continue
		}
		for _, hit := range link.FindAllStringSubmatch(code.ReplaceAllString(text.Body, ""), -1) {
			target := path.Join(path.Dir(text.Path), hit[1])
			if !tree.Paths[target] {
				found = append(found, Finding{text.Path, fmt.Sprintf("links to %s, which is not there", target)})
			}
		}
	}
	return found
}
