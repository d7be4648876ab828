package abi_test

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/uniflow-dev/uniflow/sdk/abi"
)

// documents are pieces of JSON, whole, cut off and wrong.
var documents = []string{
	``, ` `, `null`, ` null `, `nul`, `nulll`, `true`, `tru`, `false`, `falsey`, `null null`, "\x00", "null\x00", `-`, `0`, `-0`, `00`, `01`,
	`-01`, `12`, `1.`, `1.5`, `.5`, `1e`, `1e5`, `1E+5`, `1e-`, `1e-05`, `+1`, `1.e1`, `0x1`, `1_0`, `NaN`, `Infinity`, `""`, `"`, `"a`, `"\"`, `"\""`,
	`"\\"`, `"\/\b\f\n\r\t"`, `"\a"`, `"\u12"`, `"\u12aF"`, `"\u12aG"`, `"\u"`, `"\`, `'a'`, "\"\x1f\"", "\"\x20\x21\x7f\"", "\"\t\"", "\"\n\"", `"äöü€𝄞"`,
	"\"\xff\"", "\"\xed\xa0\x80\"", "\xef\xbb\xbfnull", `[]`, `[ ]`, `[1]`, `[1,]`, `[,1]`, `[1 2]`, `[1,2]`, `[`, `]`, `[[]`, `[]]`, `[}`, `{}`, `{ }`, `{"a"}`,
	`{"a":}`, `{"a":1}`, `{"a":1,}`, `{"a":1,"a":2}`, `{a:1}`, `{1:1}`, `{"a" : 1 , "b" : [ { } ] }`, `{"a":1 "b":2}`, `{"a":1}}`, `{"":""}`,
	"\f1", "\u00a01", "\v1", `1 `, "1\n", `"12345678"`, `"1234567\"12345678\\"`, "\"1234567\x00\"", "\"12345678\x1f345678\"", `"123456789012345`,
	"\"aaaa\xc3\xa4aaa\\u00e4aaaaaaa\x80\"",
	`{"abi":1,"context":{"year":2015,"ratio":-1.5e-7},"with":[true,false,null],"text":"a long text, longer than a word of the machine"}`,
	strings.Repeat("[", abi.MaxDepth) + strings.Repeat("]", abi.MaxDepth), strings.Repeat("[", abi.MaxDepth+1) + strings.Repeat("]", abi.MaxDepth+1),
	strings.Repeat(`{"a":`, abi.MaxDepth) + "1" + strings.Repeat("}", abi.MaxDepth), strings.Repeat(`{"a":`, abi.MaxDepth+1) + "1" + strings.Repeat("}", abi.MaxDepth+1),
	strings.Repeat("[", 1<<20), strings.Repeat(`{"a":[`, 1<<18),
}

// accepted is the rule of CheckJSON in terms of the standard library.
func accepted(value []byte) bool {
	return utf8.Valid(value) && json.Valid(value) && nesting(value) <= abi.MaxDepth
}

// nesting is the depth of a JSON value.
func nesting(value []byte) int {
	depth, deepest := 0, 0
	for d := json.NewDecoder(bytes.NewReader(value)); ; {
		token, err := d.Token()
		if err != nil {
			return deepest
		}
		switch token {
		case json.Delim('{'), json.Delim('['):
			depth++
			deepest = max(deepest, depth)
		case json.Delim('}'), json.Delim(']'):
			depth--
		}
	}
}

func agrees(t *testing.T, value []byte) {
	t.Helper()
	if got, want := abi.CheckJSON(value) == abi.OK, accepted(value); got != want {
		t.Fatalf("%.100q is taken: %v, want %v", value, got, want)
	}
}

func TestCheckJSONTakesWhatTheStandardLibraryTakes(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	for _, doc := range documents {
		agrees(t, []byte(doc))
		if doc == "" || len(doc) > 4096 {
			continue
		}
		for at := range len(doc) { // each byte lost, or another
			agrees(t, []byte(doc[:at]))
			agrees(t, []byte(doc[:at]+doc[at+1:]))
			for _, c := range []byte("\x00\x1f \"\\{}[],:0e-u\x7f\x80\xff") {
				agrees(t, []byte(doc[:at]+string([]byte{c})+doc[at+1:]))
			}
			agrees(t, []byte(doc[:at]+documents[random.IntN(60)]+doc[at:]))
		}
	}
}

func FuzzCheckJSON(f *testing.F) {
	for _, doc := range documents {
		if len(doc) < 4096 {
			f.Add([]byte(doc))
		}
	}
	f.Fuzz(agrees)
}

func BenchmarkCheckJSON(b *testing.B) {
	for name, text := range map[string]string{
		"text":    `"` + strings.Repeat("x", 1<<20) + `"`,
		"foreign": `"` + strings.Repeat("ä€", 1<<18) + `"`,
		"rows":    "[" + strings.Repeat(`{"date":"2015-01-01","precipitation":1.5,"temp_max":10,"weather":"rain"},`, 1<<13) + "0]",
	} {
		value := []byte(text)
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(value)))
			for b.Loop() {
				if abi.CheckJSON(value) != abi.OK {
					b.Fatal("refused")
				}
			}
		})
	}
}
