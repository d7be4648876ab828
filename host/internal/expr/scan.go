package expr

import (
	"strings"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// part is a piece of a template: literal text, or the text of an expression and where it begins.
type part struct {
	text string
	code bool
	at   span
}

// scan splits a string at its `${...}`; `$${` is a literal `${`.
func scan(text string) ([]part, *Error) {
	var parts []part
	var literal strings.Builder
	for i := 0; i < len(text); {
		switch rest := text[i:]; {
		case strings.HasPrefix(rest, "$${"):
			literal.WriteString("${")
			i += 3
		case strings.HasPrefix(rest, "${"):
			end := codeEnd(text, i+2)
			if end < 0 {
				return nil, fault(flow.CodeExprSyntax, span{i, len(text)}, "close it with }, or write $${ for a literal ${", "${ has no end")
			}
			if literal.Len() > 0 {
				parts = append(parts, part{text: literal.String()})
				literal.Reset()
			}
			parts = append(parts, part{text: text[i+2 : end], code: true, at: span{i + 2, end}})
			i = end + 1
		default:
			literal.WriteByte(text[i])
			i++
		}
	}
	if literal.Len() > 0 || len(parts) == 0 {
		parts = append(parts, part{text: literal.String()})
	}
	return parts, nil
}

// codeEnd returns the index of the brace that closes an expression, or -1. Braces in strings and in comments of CEL do
// not count.
func codeEnd(text string, i int) int {
	depth := 0
	for i < len(text) {
		switch c := text[i]; {
		case c == '"' || c == '\'':
			raw := i > 0 && (text[i-1]|0x20) == 'r' && !nameBefore(text, i-1)
			if i = stringEnd(text, i, raw); i < 0 {
				return -1
			}
			continue
		case c == '/' && strings.HasPrefix(text[i:], "//"):
			line := strings.IndexByte(text[i:], '\n')
			if line < 0 {
				return -1
			}
			i += line
		case c == '{':
			depth++
		case c == '}' && depth == 0:
			return i
		case c == '}':
			depth--
		}
		i++
	}
	return -1
}

// nameBefore reports whether the letter at i is the end of a longer name, so that it is no prefix of a string; the b
// of br"..." is one.
func nameBefore(text string, i int) bool {
	if i > 0 && (text[i-1]|0x20) == 'b' {
		i--
	}
	if i == 0 {
		return false
	}
	c := text[i-1] | 0x20
	return (c >= 'a' && c <= 'z') || text[i-1] == '_' || (text[i-1] >= '0' && text[i-1] <= '9')
}

// stringEnd returns the index after the string of CEL that begins at i, or -1.
func stringEnd(text string, i int, raw bool) int {
	quote := text[i : i+1]
	if triple := strings.Repeat(quote, 3); strings.HasPrefix(text[i:], triple) {
		quote = triple
	}
	for i += len(quote); i < len(text); i++ {
		if strings.HasPrefix(text[i:], quote) {
			return i + len(quote)
		}
		if text[i] == '\\' && !raw {
			i++
		}
	}
	return -1
}
