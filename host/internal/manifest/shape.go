package manifest

import (
	"bytes"
	"fmt"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// shape counts brackets and key parts of a text that nobody has parsed yet. It understands strings and comments, uses
// no recursion, and stops at the first bound that is exceeded. Text that is no TOML may be counted wrongly; a parser
// stops at its first mistake and so never sees what was counted behind it.
type shape struct {
	src   []byte
	pos   int
	open  []level
	cur   level
	items int
}

// level is what is between two brackets, or the file itself.
type level struct {
	bracket byte // '[' list, '{' inline table, 'h' table header, 0 the file
	value   bool // behind the equals sign
	dots    int  // in the key that is being read
	path    int  // parts of the path that leads here
}

// checkShape refuses nesting, paths and numbers of keys beyond the bounds.
func checkShape(src []byte) *finding {
	s := &shape{src: src, open: make([]level, 0, maxNesting)}
	for s.pos < len(src) {
		start := s.pos
		if code, message, help := s.step(); code != "" {
			return &finding{Problem: flow.Problem{Code: code, Message: message, Help: help}, span: span{start, start + 1}}
		}
	}
	return nil
}

// step consumes a string, a comment or one byte.
func (s *shape) step() (code flow.Code, message, help string) {
	c := s.src[s.pos]
	switch c {
	case '"', '\'':
		s.pos = stringEnd(s.src, s.pos)
		return "", "", ""
	case '#':
		s.pos = lineEnd(s.src, s.pos)
		return "", "", ""
	case '[', '{':
		s.push(c)
	case ']', '}':
		s.pop()
	case '.':
		if !s.cur.value {
			s.cur.dots++
			s.items++
		}
	case '=':
		s.cur.value = true
		s.items++
	case ',':
		s.items++
		if s.cur.bracket == '{' {
			s.cur.value, s.cur.dots = false, 0
		}
	case '\n':
		if s.cur.bracket == 0 {
			s.cur.value, s.cur.dots = false, 0
		}
	}
	s.pos++
	return s.exceeded()
}

func (s *shape) exceeded() (code flow.Code, message, help string) {
	switch {
	case len(s.open) > maxNesting:
		return flow.CodeTooDeep, fmt.Sprintf("brackets are nested more than %d levels deep", maxNesting),
			"look for a bracket that is not closed, or give inner tables a [header] of their own"
	case s.cur.dots >= maxKeyParts:
		return flow.CodeKeyTooLong, fmt.Sprintf("the key has more than %d parts", maxKeyParts), "use fewer dots"
	case s.cur.path+s.cur.dots >= maxPath:
		return flow.CodeKeyTooLong, fmt.Sprintf("the path to the value has more than %d parts", maxPath), "use fewer tables inside tables"
	case s.items > maxItems:
		return flow.CodeTooMany, fmt.Sprintf("the manifest has more than %d keys, tables and list items", maxItems), tooLargeHelp
	}
	return "", "", ""
}

func (s *shape) push(bracket byte) {
	next := level{bracket: bracket, path: s.cur.path + s.cur.dots + 1}
	switch {
	case s.cur.bracket == 'h', s.cur.bracket == 0 && !s.cur.value:
		next = level{bracket: 'h'}
	case bracket == '[':
		next.value = true // a list holds no keys
	}
	s.open = append(s.open, s.cur)
	s.cur = next
	s.items++
}

func (s *shape) pop() {
	if len(s.open) == 0 {
		return // a closing bracket too many: the parser says so
	}
	inner := s.cur
	s.cur = s.open[len(s.open)-1]
	s.open = s.open[:len(s.open)-1]
	if inner.bracket != 'h' {
		return
	}
	if s.cur.bracket == 'h' { // [[name]]
		s.cur.dots = inner.dots
		return
	}
	s.cur.path, s.cur.dots = inner.dots+1, 0
}

// stringEnd returns the offset behind the string that starts at pos. A string that is not closed ends with its line,
// one over several lines with the text.
func stringEnd(src []byte, pos int) int {
	quote := src[pos]
	if bytes.HasPrefix(src[pos:], []byte{quote, quote, quote}) {
		return multilineEnd(src, pos+3, quote)
	}
	for i := pos + 1; i < len(src); i++ {
		switch c := src[i]; {
		case c == quote:
			return i + 1
		case c == '\n':
			return i
		case c == '\\' && quote == '"' && i+1 < len(src) && src[i+1] != '\n':
			i++
		}
	}
	return len(src)
}

func multilineEnd(src []byte, pos int, quote byte) int {
	for i := pos; i < len(src); i++ {
		switch {
		case src[i] == '\\' && quote == '"':
			i++
		case bytes.HasPrefix(src[i:], []byte{quote, quote, quote}):
			end := i + 3
			// Up to two quotes may stand directly before the closing three.
			for range 2 {
				if end < len(src) && src[end] == quote {
					end++
				}
			}
			return end
		}
	}
	return len(src)
}

// lineEnd returns the offset of the newline at or behind pos, or the end of the text.
func lineEnd(src []byte, pos int) int {
	if i := bytes.IndexByte(src[pos:], '\n'); i >= 0 {
		return pos + i
	}
	return len(src)
}
