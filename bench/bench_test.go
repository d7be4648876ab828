package main

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/uniflow-dev/uniflow/host"
)

// TestMain makes this program a worker where a measurement asks for one.
func TestMain(m *testing.M) {
	host.WorkerMain()
	crowdMain()
	historyMain()
	os.Exit(m.Run())
}

// TestVariantsAgree runs every variant that this machine has and names those
// that it has not.
func TestVariantsAgree(t *testing.T) {
	t.Parallel()
	l := newLineup(t.TempDir(), time.Millisecond)
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
	if count[langC] != 7 || count[langGo] != 8 {
		t.Errorf("got %v variants by language, left out ones included, want 7 of C and 8 of Go", count)
	}
}

func TestAnotherAnswerIsRefused(t *testing.T) {
	t.Parallel()
	l := newLineup(t.TempDir(), time.Millisecond)
	l.add(langC, "right", peer, func(context.Context) ([]byte, error) { return answer(), nil })
	l.add(langC, "wrong", peer, func(context.Context) ([]byte, error) { return []byte(`{"sum":1}`), nil })
	l.add(langC, "broken", peer, func(context.Context) ([]byte, error) { return nil, errors.New("a trap") })
	err := l.check(t.Context())
	if err == nil || strings.Contains(err.Error(), "right") || !strings.Contains(err.Error(), "wrong") || !strings.Contains(err.Error(), "a trap") {
		t.Errorf("got %v", err)
	}
	if _, err := l.measure(t.Context()); err == nil {
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
	all := []series{
		line(langC, "ours", ours, 100, 200, 400),
		line(langC, "floor", floor, 50, 51, 52),
		line(langC, nameExtism, peer, 200, 600, 800),
		line(langGo, "ours", ours, 1000, 1000, 1000),
		line(langGo, "unsteady floor", floor, 100, 100, 140),
	}
	r := report{Rows: newRows(all), Goals: stepGoals(all).Goals, LeftOut: []omission{{langC, "native", "this machine has no cc"}}}
	if got := r.Rows[2]; got.P50 != 600 || got.Ratio.Value != 2 || got.Ratio.Min != 2 || got.Ratio.Max != 3 || got.Warning != "" {
		t.Errorf("got %+v", got)
	}
	if got := r.Rows[4].Warning; got != "unsteady floor varied by 40 %" {
		t.Errorf("got %q", got)
	}
	wants := []string{"this machine has no cc", "step in Go are not shown", "2.00x..3.00x", "600 ns", ">= 60.0x", "skipped: unsteady floor varied by 40 %", "0 goals met, 2 missed, 1 skipped"}
	holds(t, r, wants, []string{"0.100x", "10.0x"})
}

// holds looks for words in both forms of a report.
func holds(t *testing.T, r report, wanted, unwanted []string) {
	t.Helper()
	var text, page strings.Builder
	if err := errors.Join(r.text(&text), r.markdown(&page)); err != nil {
		t.Fatal(err)
	}
	for _, want := range wanted {
		if !strings.Contains(text.String(), want) || !strings.Contains(page.String(), want) {
			t.Errorf("%q is not in both of:\n%s\n%s", want, text.String(), page.String())
		}
	}
	for _, word := range unwanted {
		if strings.Contains(text.String(), word) {
			t.Errorf("%q is in:\n%s", word, text.String())
		}
	}
}

func TestVerdictsOfGoals(t *testing.T) {
	t.Parallel()
	f := figure{Unit: times, Value: 2}
	for want, got := range map[string]string{
		"met":           f.most(2).verdict(),
		"missed":        f.most(1.9).verdict(),
		"skipped: busy": f.most(2).unless("", "busy", "later").verdict(),
		"":              f.verdict(),
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	if got := f.least(2).verdict() + f.least(2.1).verdict(); got != "metmissed" {
		t.Errorf("got %q", got)
	}
}

func TestSpreadLeavesTheExtremesAside(t *testing.T) {
	t.Parallel()
	if got := spread([]time.Duration{100, 1000, 110, 120, 1}); got > 0.19 || got < 0.18 {
		t.Errorf("got %v, want 20/110", got)
	}
	if got := spread([]time.Duration{100, 200, 100}); got != 1 {
		t.Errorf("got %v of too few to leave any aside, want 1", got)
	}
}

// TestMeasurements takes every other measurement in as little time as it can.
// It changes how many processors there are, so it runs alone.
func TestMeasurements(t *testing.T) {
	l := newLineup(t.TempDir(), time.Millisecond)
	t.Cleanup(func() { l.close(context.Background()) })
	err := unpack(l.dir)
	if err == nil {
		l.goReactor, err = buildModule(t.Context(), l.dir, "reactor")
	}
	if err != nil {
		t.Fatal(err)
	}
	goals := 0
	for _, m := range l.measurements()[1:] { // the steps have a test of their own
		p, err := m.take(t.Context())
		if err != nil {
			t.Errorf("%s: %v", m.of, err)
		}
		for _, f := range slices.Concat(p.Goals, p.Details) {
			if f.Value <= 0 && f.Skipped == "" {
				t.Errorf("%s: %+v", m.of, f)
			}
		}
		goals += len(p.Goals)
	}
	if goals < 19 {
		t.Errorf("got %d goals", goals)
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
	if got := number(0.02345); got != "0.0234" && got != "0.0235" {
		t.Errorf("got %q", got)
	}
}

func TestArgumentsAreChecked(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"-time", "0s"}, {"-json", "-md"}, {"-md", "-only", "a"}, {"more"}, {"-none"}} {
		var said strings.Builder
		if code := run(t.Context(), args, &said, &said); code != 2 || said.Len() == 0 {
			t.Errorf("%q: got %d, %q", args, code, said.String())
		}
	}
}
