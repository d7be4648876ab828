package secret

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"
)

// formsOf lists the ways in which programs write a secret. One that is base64 itself is known by what it encodes, too: a
// service may show a user what it has understood.
func formsOf(secret string) []string {
	values := []string{secret}
	for _, encoding := range []*base64.Encoding{base64.StdEncoding, base64.RawStdEncoding, base64.URLEncoding, base64.RawURLEncoding} {
		if plain, err := encoding.DecodeString(secret); err == nil && len(plain) >= LeastLength && printable(string(plain)) {
			values = append(values, string(plain))
		}
	}
	var forms []string
	for _, value := range values {
		forms = append(forms, value)
		forms = append(forms, escaped(value)...)
		forms = append(forms, inBase64(value)...)
		lower := hex.EncodeToString([]byte(value))
		forms = append(forms, lower, strings.ToUpper(lower))
	}
	slices.Sort(forms)
	forms = slices.Compact(forms)
	return slices.DeleteFunc(forms, func(f string) bool { return len(f) < LeastLength })
}

func printable(text string) bool {
	return utf8.ValidString(text) && !strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f })
}

// escaped are the forms of a value in URLs, JSON and HTML.
func escaped(value string) []string {
	forms := []string{url.QueryEscape(value), url.PathEscape(value), html.EscapeString(value)}
	forms = append(forms, lowerEscapes(forms[0]), lowerEscapes(forms[1]))
	for _, format := range []string{"%%%02X", "%%%02x", `\x%02x`} { // all of it
		var b strings.Builder
		for _, c := range []byte(value) {
			fmt.Fprintf(&b, format, c)
		}
		forms = append(forms, b.String())
	}
	var quoted strings.Builder
	enc := json.NewEncoder(&quoted)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(value); err == nil {
		inner := strings.TrimSuffix(quoted.String()[1:], "\"\n")
		for _, text := range []string{inner, forHTML(inner)} {
			forms = append(forms, text, ascii(text), strings.ReplaceAll(text, "/", `\/`), strings.ReplaceAll(ascii(text), "/", `\/`))
		}
	}
	return forms
}

// forHTML escapes what JSON in a page must not hold.
func forHTML(quoted string) string {
	return strings.NewReplacer("<", `\u003c`, ">", `\u003e`, "&", `\u0026`).Replace(quoted)
}

// lowerEscapes writes the digits of escapes in lower case.
func lowerEscapes(text string) string {
	b := []byte(text)
	for i := 0; i+2 < len(b); i++ {
		if b[i] == '%' {
			copy(b[i:], strings.ToLower(string(b[i:i+3])))
			i += 2
		}
	}
	return string(b)
}

// ascii escapes what is not ASCII as JSON does.
func ascii(text string) string {
	var b strings.Builder
	for _, r := range text {
		switch {
		case r < 0x80:
			b.WriteRune(r)
		case r < 0x10000:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			r -= 0x10000
			fmt.Fprintf(&b, `\u%04x\u%04x`, 0xd800+r>>10, 0xdc00+r&0x3ff)
		}
	}
	return b.String()
}

// inBase64 is what is sure to stand in the base64 of any text that holds a value, at each of the three places where it may
// begin, in both alphabets. Characters that hold bits of its neighbours are left out.
func inBase64(value string) []string {
	const bits = 6
	var forms []string
	for _, encoding := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		for before := range 3 {
			text := encoding.EncodeToString(append(make([]byte, before), value...))
			first := (before*8 + bits - 1) / bits
			last := (before + len(value)) * 8 / bits
			forms = append(forms, text[first:last])
		}
	}
	return forms
}
