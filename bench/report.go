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

// report is everything that a run of this program says.
type report struct {
	Goals   []figure   `json:"goals"`
	Rows    []row      `json:"rows"`
	Details []figure   `json:"details"`
	LeftOut []omission `json:"left_out"`
	Machine []string   `json:"machine"`
}

// row is what is said of one variant of the step. A ratio is its p50 to that of
// our step in the same language and the same round: above 1, ours is faster.
type row struct {
	Lang    string        `json:"lang"`
	Name    string        `json:"name"`
	P50     time.Duration `json:"p50_ns"` // median of the rounds
	Ratio   figure        `json:"ratio"`
	Warning string        `json:"warning,omitempty"` // why the ratio is not shown
}

func newRows(all []series) []row {
	rows := make([]row, len(all))
	for i, s := range all {
		base, quiet := find(all, s.Lang, ours), find(all, s.Lang, floor)
		busy := unsteady(quiet.Name, quiet.p50)
		rows[i] = row{Lang: s.Lang, Name: s.Name, P50: median(s.p50), Ratio: ratios("", s.p50, base.p50).unless(busy), Warning: busy}
	}
	return rows
}

// rowTable returns the variants of the step as text, the head first.
func (r report) rowTable() [][]string {
	cells := [][]string{{"step in", "run by", "p50", "p50 to ours", "min..max"}}
	for _, row := range r.Rows {
		ratio := row.Ratio.cells()
		cells = append(cells, []string{row.Lang, row.Name, duration(row.P50), ratio[2], ratio[3]})
	}
	return cells
}

// goalTable returns the figures that have a goal.
func (r report) goalTable() [][]string {
	cells := [][]string{{"figure", "goal", "measured", "min..max", "verdict"}}
	for _, f := range r.Goals {
		cells = append(cells, f.cells())
	}
	return cells
}

// detailTable returns the figures that have none.
func (r report) detailTable() [][]string {
	cells := [][]string{{"figure", "median", "min..max", ""}}
	for _, f := range r.Details {
		c := f.cells()
		cells = append(cells, []string{c[0], c[2], c[3], c[4]})
	}
	return cells
}

// Warnings returns a sentence for each language whose floor was not steady.
func (r report) Warnings() []string {
	var said []string
	for _, lang := range []string{langC, langGo} {
		if i := slices.IndexFunc(r.Rows, func(row row) bool { return row.Lang == lang && row.Warning != "" }); i >= 0 {
			said = append(said, fmt.Sprintf("ratios of the step in %s are not shown: their floor, %s over the rounds, "+
				"so the machine was busy with other work. Measure again on a quiet one.", lang, r.Rows[i].Warning))
		}
	}
	return said
}

// Met says how many goals were met.
func (r report) Met() string {
	count := map[string]int{}
	for _, f := range r.Goals {
		verdict, _, _ := strings.Cut(f.verdict(), ":")
		count[verdict]++
	}
	return fmt.Sprintf("%d goals met, %d missed, %d skipped", count["met"], count["missed"], count["skipped"])
}

// text prints the report for a terminal.
func (r report) text(w io.Writer) error {
	out := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, table := range [][][]string{r.goalTable(), r.rowTable(), r.detailTable()} {
		for _, cells := range table {
			fmt.Fprintln(out, strings.Join(cells, "\t"))
		}
		fmt.Fprintln(out)
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
	_, err := fmt.Fprintf(w, "%s\n%s\n", r.Met(), strings.Join(r.Machine, "\n"))
	return err
}

// Rounds is how many rounds were measured.
func (report) Rounds() int { return rounds }

// NoisyPercent is the mark of a row as the page says it.
func (report) NoisyPercent() int { return 100 * noisy }

// RunawayTime is the deadline of runaway guests.
func (report) RunawayTime() time.Duration { return runawayTime }

// AnswerBytes is the length of the answer.
func (report) AnswerBytes() int { return len(answer()) }

//go:embed performance.md.tmpl
var page string

// markdown prints the report as docs/PERFORMANCE.md.
func (r report) markdown(w io.Writer) error {
	return template.Must(template.New("page").Parse(page)).Execute(w, r)
}

// GoalTable is goalTable as Markdown.
func (r report) GoalTable() string { return markdownTable(r.goalTable(), "|---|---:|---:|---:|---|") }

// RowTable is rowTable as Markdown.
func (r report) RowTable() string { return markdownTable(r.rowTable(), "|---|---|---:|---:|---:|") }

// DetailTable is detailTable as Markdown.
func (r report) DetailTable() string { return markdownTable(r.detailTable(), "|---|---:|---:|---|") }

func markdownTable(table [][]string, rule string) string {
	var b strings.Builder
	for i, cells := range table {
		fmt.Fprintf(&b, "| %s |\n", strings.Join(cells, " | "))
		if i == 0 {
			b.WriteString(rule + "\n")
		}
	}
	return b.String()
}

// duration formats a time with three figures.
func duration(d time.Duration) string {
	switch {
	case d < time.Microsecond:
		return number(float64(d)) + " ns"
	case d < time.Millisecond:
		return number(float64(d)/1e3) + " µs"
	case d < time.Second:
		return number(float64(d)/1e6) + " ms"
	}
	return number(float64(d)/1e9) + " s"
}

// number formats a positive number with three significant figures, without an
// exponent.
func number(v float64) string {
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
		"github.com/tetratelabs/wazero", "github.com/extism/go-sdk", "github.com/extism/go-pdk", "github.com/hashicorp/go-plugin").Output()
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
