package manifest

import (
	"path"
	"strings"
)

const maxName = 64 // characters of a name

// check says what is wrong with a name, or returns "".
func (n nameRule) check(name string) string {
	switch n {
	case nameGuestPath:
		return checkGuestPath(name)
	case nameAny:
		if name == "" {
			return "is empty"
		}
		return ""
	}
	if len(name) > maxName {
		return "has more than 64 characters"
	}
	first, rest, want := n.letters()
	for i, r := range name {
		if i == 0 && !first(r) || i > 0 && !rest(r) {
			return want
		}
	}
	if name == "" {
		return want
	}
	return ""
}

// letters returns the rules for the first and the other characters of a name, and both in words.
func (n nameRule) letters() (first, rest func(rune) bool, want string) {
	lower := func(r rune) bool { return r >= 'a' && r <= 'z' }
	word := func(r rune) bool { return isLetter(r) || r == '_' }
	switch n {
	case nameStep:
		return lower, func(r rune) bool { return lower(r) || isDigit(r) || r == '_' },
			"must be a lower case letter, then lower case letters, digits or _"
	case nameVariable:
		return word, func(r rune) bool { return word(r) || isDigit(r) },
			"must be a letter or _, then letters, digits or _"
	case nameSecret:
		return word, func(r rune) bool { return word(r) || isDigit(r) || r == '-' },
			"must be a letter or _, then letters, digits, _ or -"
	default:
		return lower, func(r rune) bool { return lower(r) || isDigit(r) || r == '_' || r == '-' },
			"must be a lower case letter, then lower case letters, digits, _ or -"
	}
}

// suggest returns a name like the given one that keeps the rule, or "".
func (n nameRule) suggest(name string) string {
	if n == nameGuestPath && strings.HasPrefix(path.Clean("/"+name), "/") {
		return path.Clean("/" + name)
	}
	better := strings.Map(func(r rune) rune {
		switch {
		case isLetter(r), isDigit(r), r == '_', r == '-' && n != nameStep && n != nameVariable:
			return r
		case r == ' ', r == '-', r == '.', r == '/':
			return '_'
		}
		return -1
	}, name)
	if n == nameStep || n == nameThing {
		better = strings.ToLower(better)
	}
	if better == name || n.check(better) != "" {
		return ""
	}
	return better
}

// checkPath says why a path is not one inside the manifest's folder, or returns "".
func checkPath(p string) string {
	switch {
	case strings.Contains(p, `\`):
		return `uses \ between folders; write /`
	case strings.HasPrefix(p, "/"):
		return "is absolute; paths are relative to the manifest"
	case len(p) >= 2 && isLetter(rune(p[0])) && p[1] == ':':
		return "names a drive; paths are relative to the manifest"
	case strings.HasPrefix(p, "~"):
		return "starts with ~, which nobody expands; paths are relative to the manifest"
	}
	if clean := path.Clean(p); clean == ".." || strings.HasPrefix(clean, "../") {
		return "leaves the manifest's folder"
	}
	return ""
}

// plainAbsolute tells whether a path is absolute and says nothing twice.
func plainAbsolute(p string) bool { return strings.HasPrefix(p, "/") && path.Clean(p) == p }

// checkGuestPath says why a path is not one that a guest can see, or returns "".
func checkGuestPath(p string) string {
	switch {
	case !strings.HasPrefix(p, "/"):
		return "must start with /"
	case path.Clean(p) != p:
		return "must be plain: no .., no //, no / at the end"
	}
	return ""
}
