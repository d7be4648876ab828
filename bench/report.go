package main

import (
	"bytes"
	"context"
	_ "embed"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"text/template"
	"time"
)

// noisy is the spread of a floor, in shares of its median, over which the
// ratios of its rows are marked.
const noisy = 0.30

// report is everything that a run of this program says.
type report struct {
	Rows    []row      `json:"rows"`
	LeftOut []omission `json:"left_out"`
	Load    loadTimes  `json:"load_of_the_go_module"`
	Machine []string   `json:"machine"`
}

// row is what is said of one variant. A ratio is its p50 to that of our step
// in the same language and the same round: above 1, ours is faster.
type row struct {
	Lang  string        `json:"lang"`
	Name  string        `json:"name"`
	P50   time.Duration `json:"p50_ns"` // median of the rounds
	Ratio float64       `json:"ratio"`  // median of the rounds
	Min   float64       `json:"ratio_min"`
	Max   float64       `json:"ratio_max"`
	Noisy bool          `json:"noisy"`
}

func newReport(all []series, leftOut []omission) report {
	r := report{LeftOut: leftOut}
	for _, s := range all {
		base, quiet := find(all, s.Lang, ours), find(all, s.Lang, floor)
		ratios := make([]float64, len(s.p50))
		for i := range s.p50 {
			ratios[i] = float64(s.p50[i]) / float64(base.p50[i])
		}
		r.Rows = append(r.Rows, row{
			Lang: s.Lang, Name: s.Name, P50: median(s.p50),
			Ratio: median(ratios), Min: slices.Min(ratios), Max: slices.Max(ratios), Noisy: spread(quiet.p50) > noisy,
		})
	}
	return r
}

func find(all []series, lang string, role role) series {
	return all[slices.IndexFunc(all, func(s series) bool { return s.Lang == lang && s.role == role })]
}

// spread returns the distance of the extremes in shares of the median.
func spread(p50 []time.Duration) float64 {
	return float64(slices.Max(p50)-slices.Min(p50)) / float64(median(p50))
}

// table returns the rows as text, the head first.
func (r report) table() [][]string {
	cells := [][]string{{"step in", "run by", "p50", "p50 to ours", "min..max"}}
	for _, row := range r.Rows {
		mark := ""
		if row.Noisy {
			mark = " (noisy)"
		}
		cells = append(cells, []string{
			row.Lang, row.Name, duration(row.P50), ratio(row.Ratio) + mark, ratio(row.Min) + ".." + ratio(row.Max),
		})
	}
	return cells
}

// Warnings returns a sentence for each language whose floor was not steady.
func (r report) Warnings() []string {
	var said []string
	for _, lang := range []string{langC, langGo} {
		if slices.ContainsFunc(r.Rows, func(row row) bool { return row.Lang == lang && row.Noisy }) {
			said = append(said, fmt.Sprintf(
				"rows of %s are marked: the p50 of their floor, wazero with a reused instance, spread by more than %.0f %% over the rounds, "+
					"so the machine was busy with other work. Measure again on a quiet one.", lang, noisy*100))
		}
	}
	return said
}

// LoadText says how long the Go module takes to load.
func (r report) LoadText() string {
	return fmt.Sprintf("Loading the Go module under Uniflow: %s cold, %s from the cache (%s to 1).",
		duration(r.Load.Cold), duration(r.Load.Cached), figure(float64(r.Load.Cold)/float64(r.Load.Cached)))
}

// text prints the report for a terminal.
func (r report) text(w io.Writer) error {
	out := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, cells := range r.table() {
		fmt.Fprintln(out, strings.Join(cells, "\t"))
	}
	if err := out.Flush(); err != nil {
		return err
	}
	for _, o := range r.LeftOut {
		fmt.Fprintf(w, "left out: %s, %s: %s\n", o.Lang, o.Name, o.Why)
	}
	for _, warning := range r.Warnings() {
		fmt.Fprintln(w, "warning:", warning)
	}
	_, err := fmt.Fprintf(w, "%s\n%s\n", r.LoadText(), strings.Join(r.Machine, "\n"))
	return err
}

// Rounds is how many rounds were measured.
func (report) Rounds() int { return rounds }

// NoisyPercent is the mark of a row as the page says it.
func (report) NoisyPercent() int { return 100 * noisy }

// AnswerBytes is the length of the answer.
func (report) AnswerBytes() int { return len(answer()) }

//go:embed performance.md.tmpl
var page string

// markdown prints the report as docs/PERFORMANCE.md.
func (r report) markdown(w io.Writer) error {
	return template.Must(template.New("page").Parse(page)).Execute(w, r)
}

// Table returns the rows as a table of a Markdown document.
func (r report) Table() string {
	var b strings.Builder
	for i, cells := range r.table() {
		fmt.Fprintf(&b, "| %s |\n", strings.Join(cells, " | "))
		if i == 0 {
			b.WriteString("|---|---|---:|---:|---:|\n")
		}
	}
	return b.String()
}

// duration formats a time with three figures.
func duration(d time.Duration) string {
	switch {
	case d < time.Microsecond:
		return figure(float64(d)) + " ns"
	case d < time.Millisecond:
		return figure(float64(d)/1e3) + " µs"
	case d < time.Second:
		return figure(float64(d)/1e6) + " ms"
	}
	return figure(float64(d)/1e9) + " s"
}

func ratio(v float64) string { return figure(v) + "x" }

// figure formats a positive number with three significant figures, without an
// exponent.
func figure(v float64) string {
	decimals := 2
	for scale := v; scale >= 10 && decimals > 0; scale /= 10 {
		decimals--
	}
	for scale := v; scale < 1 && scale > 0; scale *= 10 {
		decimals++
	}
	return strconv.FormatFloat(v, 'f', decimals, 64)
}

// facts says on what and with what was measured.
func (l *lineup) facts(ctx context.Context) ([]string, error) {
	said, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Path}} {{.Version}}",
		"github.com/tetratelabs/wazero", "github.com/extism/go-sdk", "github.com/extism/go-pdk").Output()
	if err != nil {
		return nil, fmt.Errorf("versions of the engines (start it in the folder bench): %w", err)
	}
	facts := []string{
		fmt.Sprintf("measured on %s, %s/%s, %d cores, %s%s",
			time.Now().UTC().Format(time.DateOnly), runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), runtime.Version(), priority()),
	}
	facts = append(facts, strings.Split(strings.TrimSpace(string(said)), "\n")...)
	return append(facts, l.tools...), nil
}

// priority says whether the measurement went ahead of all other work on the
// machine, where that can be read.
func priority() string {
	const policy, fifo, roundRobin = 38, "1", "2" // place behind the name in parentheses, and values; see proc(5)
	stat, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		return ""
	}
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(fields) > policy && (fields[policy] == fifo || fields[policy] == roundRobin) {
		return ", in the real-time class"
	}
	return ""
}
