package main

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"
)

// TestVariantsAgree runs every variant that this machine has and names those
// that it has not.
func TestVariantsAgree(t *testing.T) {
	t.Parallel()
	l := newLineup(t.TempDir())
	t.Cleanup(func() { l.close(context.Background()) })
	if err := l.assemble(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := l.check(t.Context()); err != nil {
		t.Error(err)
	}
	count := map[string]int{}
	for _, v := range l.variants {
		count[v.Lang]++
		t.Logf("agrees: %s, %s", v.Lang, v.Name)
	}
	for _, o := range l.leftOut {
		count[o.Lang]++
		t.Logf("left out: %s, %s: %s", o.Lang, o.Name, o.Why)
	}
	if count[langC] != 6 || count[langGo] != 8 {
		t.Errorf("got %v variants by language, left out ones included, want 6 of C and 8 of Go", count)
	}
}

func TestAnotherAnswerIsRefused(t *testing.T) {
	t.Parallel()
	l := newLineup(t.TempDir())
	l.add(langC, "right", peer, func(context.Context) ([]byte, error) { return answer(), nil })
	l.add(langC, "wrong", peer, func(context.Context) ([]byte, error) { return []byte(`{"sum":1}`), nil })
	l.add(langC, "broken", peer, func(context.Context) ([]byte, error) { return nil, errors.New("a trap") })
	err := l.check(t.Context())
	if err == nil || strings.Contains(err.Error(), "right") || !strings.Contains(err.Error(), "wrong") || !strings.Contains(err.Error(), "a trap") {
		t.Errorf("got %v", err)
	}
	if _, err := l.measure(t.Context(), time.Microsecond); err == nil {
		t.Error("a wrong answer is measured")
	}
}

func TestDocumentHasItsSize(t *testing.T) {
	t.Parallel()
	if got := len(document()); got != docSize {
		t.Errorf("got %d bytes, want %d", got, docSize)
	}
}

// TestReportComparesWithinOneRound gives both languages the same ratios while
// the machine slows down, and one of them a floor that is not steady.
func TestReportComparesWithinOneRound(t *testing.T) {
	t.Parallel()
	line := func(lang, name string, role role, p50 ...time.Duration) series {
		return series{variant{Lang: lang, Name: name, role: role}, p50}
	}
	r := newReport([]series{
		line(langC, "ours", ours, 100, 200, 400),
		line(langC, "floor", floor, 10, 11, 12),
		line(langC, "peer", peer, 200, 600, 800),
		line(langGo, "ours", ours, 1000, 1000, 1000),
		line(langGo, "floor", floor, 100, 100, 140),
	}, []omission{{langC, "native", "this machine has no cc"}})
	if got := r.Rows[2]; got.P50 != 600 || got.Ratio != 2 || got.Min != 2 || got.Max != 3 || got.Noisy {
		t.Errorf("got %+v", got)
	}
	if got := r.Rows[4]; got.Ratio != 0.1 || !got.Noisy {
		t.Errorf("got %+v", got)
	}
	var text, page strings.Builder
	if err := r.text(&text); err != nil {
		t.Fatal(err)
	}
	if err := r.markdown(&page); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"this machine has no cc", "rows of Go are marked", "0.100x (noisy)", "2.00x..3.00x", "600 ns"} {
		if !strings.Contains(text.String(), want) || !strings.Contains(page.String(), want) {
			t.Errorf("%q is not in both of:\n%s\n%s", want, text.String(), page.String())
		}
	}
}

func TestFiguresHaveThreeDigits(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		999:                      "999 ns",
		1643:                     "1.64 µs",
		127_400:                  "127 µs",
		5_260 * time.Microsecond: "5.26 ms",
		1020 * time.Millisecond:  "1.02 s",
		0:                        "0.00 ns",
	} {
		if got := duration(d); got != want {
			t.Errorf("%d: got %q, want %q", d, got, want)
		}
	}
	if got := ratio(0.02345); got != "0.0234x" && got != "0.0235x" {
		t.Errorf("got %q", got)
	}
}

func TestArgumentsAreChecked(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"-time", "0s"}, {"-json", "-md"}, {"more"}, {"-none"}} {
		var said strings.Builder
		if code := run(t.Context(), args, &said, &said); code != 2 || said.Len() == 0 {
			t.Errorf("%q: got %d, %q", args, code, said.String())
		}
	}
}
