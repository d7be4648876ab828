package egress

import (
	"strings"
)

// unescaped are the characters of a path that stand for themselves, the slash among them.
const unescaped = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~!$&'()*+,;=:@/"

// unreserved are those that mean the same whether they are escaped or not.
const unreserved = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_~"

// parsePath brings an escaped path into canonical form. A server may decode a path more than once, or decode it before it
// walks the segments: what would be another path then is refused.
func parsePath(path string) (string, *Mistake) {
	if path == "" {
		return "/", nil
	}
	var b strings.Builder
	for i := 0; i < len(path); i++ {
		c := path[i]
		if c != '%' {
			if strings.IndexByte(unescaped, c) < 0 {
				return "", mistake("escape it with %XX", "the path holds %q", c)
			}
			b.WriteByte(c)
			continue
		}
		decoded, ok := unhex(path[i:])
		if !ok {
			return "", mistake("write %25 for a percent sign", "the path holds a %% that is no escape")
		}
		if m := goodEscape(decoded, path[i+3:]); m != nil {
			return "", m
		}
		if strings.IndexByte(unreserved, decoded) >= 0 {
			b.WriteByte(decoded)
		} else {
			b.WriteString("%" + strings.ToUpper(path[i+1:i+3]))
		}
		i += 2
	}
	canonical := b.String()
	for segment := range strings.SplitSeq(canonical, "/") {
		name, _, _ := strings.Cut(segment, ";")
		if name == "." || name == ".." {
			return "", mistake("write the path that it leads to", "the path holds a segment %q", clip(segment))
		}
	}
	return canonical, nil
}

// goodEscape refuses escapes that change what a path means to some server; rest is what follows.
func goodEscape(c byte, rest string) *Mistake {
	twice, double := unhex("%" + rest)
	switch {
	case c == '/' || c == '\\' || c == '.':
		return mistake("write it without the escape, or leave it out", "the path holds an escaped %q", c)
	case c < ' ' || c == 0x7f:
		return mistake("", "the path holds an escaped control character")
	case c == '%' && double && (twice == '/' || twice == '\\' || twice == '.' || twice == '%' || twice < ' '):
		return mistake("", "the path holds %q, escaped twice", twice)
	}
	return nil
}

// unhex reads %XX at the beginning of a text.
func unhex(text string) (byte, bool) {
	if len(text) < 3 || text[0] != '%' {
		return 0, false
	}
	high, low := digit(text[1]), digit(text[2])
	return byte(high<<4 | low), high >= 0 && low >= 0
}

func digit(c byte) int { return strings.IndexByte("0123456789abcdef", c|0x20) }
