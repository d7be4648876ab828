package secret

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html"
	"io"
	"net/url"
	"strings"
	"testing"
	"testing/iotest"
)

const token = `s3cr/et+T0ken="<&>'ä\|9`

// spellings are ways in which a program may repeat a secret.
func spellings(s string) map[string]string {
	quoted, _ := json.Marshal(s)
	var all, low strings.Builder
	for _, c := range []byte(s) {
		fmt.Fprintf(&all, "%%%02X", c)
		fmt.Fprintf(&low, "%%%02x", c)
	}
	out := map[string]string{
		"plain": s, "quoted": string(quoted), "php": strings.ReplaceAll(string(quoted), "/", `\/`), "query": url.QueryEscape(s), "path": url.PathEscape(s), "html": html.EscapeString(s),
		"hex": hex.EncodeToString([]byte(s)), "HEX": strings.ToUpper(hex.EncodeToString([]byte(s))), "escaped": all.String(), "escaped low": low.String(),
		"two lines": s[:3] + "\n" + s[3:], "three lines": s[:2] + "\r\n" + s[2:5] + "\r\n    " + s[5:], "escaped line": s[:4] + `\n` + s[4:],
	}
	for i := range 4 {
		for name, e := range map[string]*base64.Encoding{"std": base64.StdEncoding, "url": base64.RawURLEncoding} {
			out[fmt.Sprintf("base64 %s at %d", name, i)] = e.EncodeToString([]byte(strings.Repeat("x", i) + s + strings.Repeat("y", 3-i)))
		}
	}
	mime := base64.StdEncoding.EncodeToString([]byte("Bearer " + s))
	out["mime"] = mime[:14] + "\r\n" + mime[14:]
	return out
}

func veilOf(values ...string) *Veil {
	var v Veil
	for i, value := range values {
		v.Add(fmt.Sprintf("S%d", i), value)
	}
	return &v
}

// Promise: a secret that comes back is masked in every form in which programs repeat it, wherever it stands.
func TestSecretIsMaskedInEveryForm(t *testing.T) {
	t.Parallel()
	for _, secret := range []string{token, "abcdef", "0123456789abcdef0123456789abcdef", "ghp_AbCdEfGhIjKlMnOpQrStUvWxYz012345"} {
		v := veilOf(secret)
		for name, text := range spellings(secret) {
			got := v.Text("before " + text + " after " + text)
			if !strings.HasPrefix(got, "before ") || strings.Count(got, "[secret S0]") != 2 || strings.Contains(got, text) {
				t.Errorf("%s of %s: %q", name, secret, got)
			}
		}
	}
	v := veilOf(token, "another-one", token+"-longer")
	if got, want := v.Text(token+"-longer another-one "+token), "[secret S2] [secret S1] [secret S0]"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	for _, text := range []string{"", "nothing", "abc\ndef", "s3cr/et"} {
		if got := v.Text(text); got != text {
			t.Errorf("%q became %q", text, got)
		}
	}
	if got := veilOf("short").Text("a short one"); got != "a short one" {
		t.Errorf("a word is masked: %q", got)
	}
	if got := veilOf(base64.StdEncoding.EncodeToString([]byte("user:password"))).Text("hello user:password"); got != "hello [secret S0]" {
		t.Errorf("what the secret encodes is told: %q", got)
	}
}

func TestDocumentsStayJSON(t *testing.T) {
	t.Parallel()
	v := veilOf(token, "123456789")
	quoted, _ := json.Marshal(token)
	escaped := strings.ReplaceAll(string(quoted), "s3cr", `\u00733cr`)
	for doc, want := range map[string]string{
		`{"a": 1.50, "b" : [true,null,"x\u0041"]}`:                  `{"a": 1.50, "b" : [true,null,"x\u0041"]}`,
		`{"a":` + string(quoted) + `,"a":"x"}`:                      `{"a":"[secret S0]","a":"x"}`,
		`{` + escaped + `:` + escaped + `}`:                         `{"[secret S0]":"[secret S0]"}`,
		`[123456789,-123456789,1234567890.5e7,"12345678",12345678]`: `["[secret S1]","-[secret S1]","[secret S1]0.5e7","12345678",12345678]`,
		`"a\\"`: `"a\\"`,
	} {
		got := v.JSON(json.RawMessage(doc))
		if string(got) != want || !json.Valid(got) {
			t.Errorf("%s\n got %s\nwant %s", doc, got, want)
		}
	}
}

func TestStreamIsMaskedWhereverItIsCut(t *testing.T) {
	t.Parallel()
	v := veilOf(token)
	filler := strings.Repeat("0123456789", 9000)
	for name, text := range spellings(token) {
		for _, before := range []int{0, 1, chunk - 10, chunk - 1, chunk, 80_000} {
			content := filler[:before] + text + "|" + filler + text
			for _, r := range []io.Reader{strings.NewReader(content), iotest.HalfReader(strings.NewReader(content)), iotest.DataErrReader(strings.NewReader(content))} {
				got, err := io.ReadAll(v.Reader(r))
				if want := v.Text(content); err != nil || string(got) != want {
					t.Fatalf("%s after %d bytes: %d bytes, %v, want %d", name, before, len(got), err, len(want))
				}
			}
		}
	}
	lines := strings.Repeat("\n", 3*chunk) + token
	if got, err := io.ReadAll(v.Reader(strings.NewReader(lines))); err != nil || !bytes.HasSuffix(got, []byte("[secret S0]")) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if _, err := io.ReadAll(v.Reader(io.MultiReader(strings.NewReader("x"), iotest.ErrReader(io.ErrClosedPipe)))); err != io.ErrClosedPipe { //nolint:errorlint // as it is
		t.Errorf("got %v", err)
	}
}

func TestLinesAreMaskedAcrossTheirEnds(t *testing.T) {
	t.Parallel()
	v := veilOf(token)
	for at := 1; at < len(token); at++ {
		lines := []string{"first " + token[:at], token[at:] + " last"}
		got := v.Lines(lines)
		if len(got) != 2 || !strings.HasPrefix(got[0], "first [") || !strings.HasSuffix(got[1], "] last") {
			t.Errorf("cut at %d: %q", at, got)
		}
		if want := at >= leastBegun; v.Begun(lines[:1]) != want {
			t.Errorf("cut at %d: begun is %t", at, !want)
		}
	}
	if v.Begun([]string{"first " + token}) || v.Begun(nil) || v.Begun([]string{"", "nothing"}) {
		t.Error("nothing has begun there")
	}
	if !v.Begun([]string{token[:3], token[3:5]}) {
		t.Error("two lines have begun it")
	}
}

func TestNamesAreHiddenWhateverTheirCase(t *testing.T) {
	t.Parallel()
	v := veilOf("AbCdEf-Token")
	if !v.Hides("X-abcdef-token") || v.Hides("x-other") {
		t.Error("a name of a header tells a secret, or hides nothing")
	}
}

// FuzzVeil: no text holds a secret after it was masked, cut into lines and chunks or not.
func FuzzVeil(f *testing.F) {
	f.Add("before ", token, " after", 5)
	f.Add("\n", "aaaaaa", "aaaaaaaa\n", 1)
	f.Add(`\`, `n\n\n\n\n`, `\`, 3)
	f.Add("123", "123456", "456", 0)
	const twice = "[secret S0][secret S0]"
	f.Fuzz(func(t *testing.T, before, secret, after string, at int) {
		if len(secret) < LeastLength || strings.Contains(twice, secret) || len(secret) > 1000 {
			return
		}
		v := veilOf(secret)
		text := before + secret + after
		masked := v.Text(text)
		if rest := strings.ReplaceAll(masked, "[secret S0]", "\x00"); strings.Contains(rest, secret) {
			t.Fatalf("%q of %q is left in %q", secret, text, masked)
		}
		if b, err := io.ReadAll(v.Reader(strings.NewReader(text))); err != nil || string(b) != masked {
			t.Fatalf("as a stream %q, %v, as a text %q", b, err, masked)
		}
		at = min(max(at, 0), len(text))
		if rest := strings.ReplaceAll(strings.Join(v.Lines([]string{text[:at], text[at:]}), "\n"), "[secret S0]", "\x00"); strings.Contains(rest, secret) {
			t.Fatalf("%q of %q is left in %q", secret, text, rest)
		}
		if doc, err := json.Marshal(text); err == nil && !json.Valid(v.JSON(doc)) {
			t.Fatalf("%s became %s", doc, v.JSON(doc))
		}
	})
}
