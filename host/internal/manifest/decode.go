package manifest

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/BurntSushi/toml"
	"github.com/pelletier/go-toml/v2/unstable"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// decode returns the values of src. repeated are the keys that stand twice, with their places.
func decode(src []byte, repeated []repeat) (tree map[string]any, findings []finding) {
	// The decoder panics where it meets what its author held to be impossible. A manifest must not stop the host.
	defer func() {
		if fault := recover(); fault != nil {
			tree, findings = nil, []finding{{span: span{-1, -1}, Problem: flow.Problem{
				Code: flow.CodeSyntax, Message: "the manifest is not TOML", Help: "look for unusual escapes, numbers or dates",
			}}}
		}
	}()
	_, err := toml.Decode(string(src), &tree)
	if err == nil {
		return tree, nil
	}
	fault, ok := errors.AsType[toml.ParseError](err)
	if !ok {
		fault.Message = err.Error()
	}
	if strings.Contains(fault.Message, " already ") && len(repeated) > 0 {
		return nil, duplicates(src, repeated)
	}
	return nil, []finding{syntax(src, fault)}
}

// duplicates reports every key that stands twice: unlike other faults of syntax, these hide nothing behind them.
func duplicates(src []byte, repeated []repeat) []finding {
	var findings []finding
	for _, r := range repeated {
		p := flow.Problem{
			Code: flow.CodeDuplicate, Path: r.path, OnKey: true,
			Message: fmt.Sprintf("%s is defined twice", dotted(r.path)),
			Note:    fmt.Sprintf("first defined at line %d", 1+bytes.Count(src[:r.first.start], []byte("\n"))),
			Help:    "keep one of the two, or join their keys in one table",
		}
		if r.inside > 0 {
			p.Message = fmt.Sprintf("%s cannot be added: %s is complete already", dotted(r.path), dotted(r.path[:r.inside]))
			p.Note, p.Help = "", "write all keys of a value in one place, as a [table] or in one pair of braces"
		}
		findings = append(findings, finding{p, r.second})
		if len(findings) > maxShown {
			break // the first repetition is the one to mend; thousands say no more
		}
	}
	return findings
}

// syntax turns a decoder's fault into a problem. Its place is taken from the position parser where that one stops at
// the same fault: it is exact there, and the decoder's can be off by a character or a line end.
func syntax(src []byte, fault toml.ParseError) finding {
	at := span{fault.Position.Start, fault.Position.Start + max(fault.Position.Len, 1)}
	if exact, ok := stop(src); ok && near(exact, at) {
		if exact.start == at.start {
			exact.end = max(exact.end, at.end)
		}
		at = exact
	}
	at.start = min(max(at.start, 0), len(src))
	at.end = min(max(at.end, at.start), len(src))
	for at.end < len(src) && at.end > at.start && !utf8.RuneStart(src[at.end]) {
		at.end++
	}
	if at.start == len(src) && at.start > 0 && src[at.start-1] == '\n' {
		at.start-- // the end of the last line says more than an empty line behind it
	}
	message, help := explain(fault.Message, string(src[at.start:at.end]))
	return finding{span: at, Problem: flow.Problem{Code: flow.CodeSyntax, Message: message, Help: help}}
}

// stop returns where the position parser stops at a fault.
func stop(src []byte) (at span, ok bool) {
	defer func() {
		if recover() != nil {
			ok = false
		}
	}()
	var p unstable.Parser
	p.Reset(src)
	for p.NextExpression() {
		continue
	}
	fault, ok := errors.AsType[*unstable.ParserError](p.Error())
	if !ok {
		return span{}, false
	}
	r := p.Range(fault.Highlight)
	return span{int(r.Offset), int(r.Offset + r.Length)}, true
}

// near tells whether two faults are the same one.
func near(a, b span) bool {
	const distance = 12 // characters of an escape, plus some
	return a.start-b.start <= distance && b.start-a.start <= distance
}

// explain words a fault of syntax for people.
func explain(message, found string) (text, help string) {
	found = strings.TrimRight(found, "\r\n")
	first, _ := utf8.DecodeRuneInString(found)
	switch {
	case strings.Contains(message, "expected value but found"):
		return badValue(found)
	case strings.Contains(message, "strings cannot contain newlines"):
		return "a string is not closed at the end of its line", `close it with its quote, or use """ for a text over several lines`
	case strings.Contains(message, `expected '"""'`), strings.Contains(message, `expected "'''"`):
		return "a string over several lines is never closed", `close it with the same three quotes`
	case strings.Contains(message, "invalid escape"), strings.Contains(message, "hexadecimal digits after"):
		return "a backslash starts an escape that TOML does not know", `write two backslashes, or use 'single quotes', in which a backslash is itself`
	case strings.HasPrefix(found, "{"):
		return "a brace cannot start a line: this is TOML, not JSON", "write key = value, one on each line"
	case strings.Contains(message, "expected '.' or '='") && first >= utf8.RuneSelf:
		return fmt.Sprintf("the character %U cannot stand in a key", first), "remove it, or put the key in quotes"
	case strings.Contains(message, "expected '.' or '='"):
		return "a key is not followed by =", `write key = value; a key with other characters than letters, digits, _ and - needs quotes`
	case strings.Contains(message, "to end with a newline"):
		return "something follows a complete value or table header on its line", "put it on a line of its own, or make it a # comment"
	case strings.Contains(message, "array terminator"):
		return "a comma or ] is missing in a list", "separate items with commas and close the list with ]"
	case strings.Contains(message, "inline table terminator"):
		return "a comma or } is missing in an inline table", "separate keys with commas and close the table with }"
	case strings.Contains(message, "to end table name"), strings.Contains(message, "table array name delimiter"):
		return "a table header is not closed", "close it with ] on the same line: [pipelines.hello]"
	case strings.Contains(message, "invalid datetime"):
		return clip(found) + " is not a date or time", "write it as 2027-01-31, 07:30:00 or 2027-01-31T07:30:00Z"
	case strings.Contains(message, "out of range for int64"):
		return clip(found) + " does not fit into 64 bits", "write it as a string"
	case strings.Contains(message, "control characters"):
		return fmt.Sprintf("the control character %U cannot stand here", first), "remove it, or write it as an escape in double quotes"
	}
	message = clip(strings.TrimSuffix(message, "."))
	if message != "" && !strings.HasPrefix(message, "TOML") {
		message = strings.ToLower(message[:1]) + message[1:]
	}
	return message, "docs/MANIFEST.md shows how a manifest is written"
}

func badValue(found string) (text, help string) {
	switch lower := strings.ToLower(found); {
	case strings.TrimSpace(found) == "":
		return "a value is missing after =", "give the key a value, or remove the line"
	case lower == "true", lower == "false":
		return clip(found) + " is not a value", "write it in lower case: " + lower
	case lower == "null", lower == "nil", lower == "none":
		return clip(found) + " is not a value: TOML has no null", "leave the key out"
	}
	return clip(found) + " is not a value", "put text in quotes"
}
