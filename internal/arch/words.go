package arch

import "regexp"

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
