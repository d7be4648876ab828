package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/tool"
)

func (a *app) simulateCommand() *cobra.Command {
	var from, to, file string
	var pairs []string
	c := &cobra.Command{
		Use:   "simulate",
		Short: "Rehearse the schedules: overlaps, clock changes, load",
		Long: `Rehearse the enabled schedules of the manifest on a virtual clock: which slots get a run, which are coalesced or
skipped because a run is live or by not_on, which cannot start in time, what happens on days on which clocks change, and
when most runs are live at once. Nothing runs. Every run is taken to succeed, in the median time of the pipeline's recorded runs, or in a minute where there are
none.`,
		Example: "  uniflow simulate --to 2028-01-01\n  uniflow simulate --duration weather=20m --json",
		Args:    args(0, 0),
		RunE: func(c *cobra.Command, _ []string) error {
			var r tool.Rehearsal
			var err error
			if r.From, err = instantFlag(c, "--from", from, time.Now().UTC().Truncate(time.Second)); err != nil {
				return err
			}
			if r.To, err = instantFlag(c, "--to", to, r.From.AddDate(1, 0, 0)); err != nil {
				return err
			}
			if r.Durations, err = a.durationsOf(c, file, pairs); err != nil {
				return err
			}
			report, err := tool.Simulate(c.Context(), a.target(), r)
			if err != nil {
				return err
			}
			return a.answer(report, func() { a.simulated(&report) })
		},
	}
	flags := c.Flags()
	flags.StringVar(&from, "from", "", "first `INSTANT` (default: now)")
	flags.StringVar(&to, "to", "", "`INSTANT` of the end, not included (default: a year later)")
	flags.StringVar(&file, "durations", "", "`FILE` of how long runs take: NAME.toml with lines like weather = \"5m\", or a JSON object; - for JSON on standard input")
	flags.StringArrayVar(&pairs, "duration", nil, "`PIPELINE=TIME` that its runs take; may stand several times")
	return c
}

// durationsOf reads durations from a file and from PIPELINE=TIME pairs, which win.
func (a *app) durationsOf(c *cobra.Command, file string, pairs []string) (map[string]time.Duration, error) {
	all := map[string]time.Duration{}
	switch {
	case file == "":
	case strings.HasSuffix(file, ".toml"):
		raw, err := a.readFile("--durations", file)
		if err != nil {
			return nil, err
		}
		if all, err = tool.Durations(file, raw); err != nil {
			return nil, err
		}
	default:
		values, err := a.readObject("--durations", file)
		if err != nil {
			return nil, err
		}
		for name, raw := range values {
			var d flow.Duration
			if err := json.Unmarshal(raw, &d); err != nil {
				return nil, &flow.Error{Code: flow.CodeInput, Op: "--durations " + file, Message: fmt.Sprintf("%q is %s, expected a duration", name, raw), Hint: fmt.Sprintf("{%q: \"5m\"}", name)}
			}
			all[name] = d.Std()
		}
	}
	for _, pair := range pairs {
		name, text, _ := strings.Cut(pair, "=")
		d, err := flow.ParseDuration(text)
		if err != nil || name == "" {
			return nil, usage(c, "--duration %q is not like weather=5m", pair)
		}
		all[name] = d
	}
	return all, nil
}

// simulated writes a rehearsal for a person.
func (a *app) simulated(r *flow.SimulateReport) {
	fmt.Fprintf(a.out, "%s to %s\n", stamp(r.From), stamp(r.To))
	a.simulatedSchedules(r)
	a.heading("runs")
	rows := [][]string{{"PIPELINE", "ONE RUN", "RUNS", "LOAD"}}
	for i := range r.Pipelines {
		p := &r.Pipelines[i]
		rows = append(rows, []string{p.Pipeline, lengthText(p), fmt.Sprint(p.Runs), fmt.Sprintf("%.1f %%", 100*p.Load)})
	}
	a.table(a.out, rows)
	if len(r.Overlaps) > 0 {
		a.heading("slots that came due while a run was in their way")
		rows := [][]string{{"SCHEDULE", "RUN OF", "SLOTS", "FIRST", "LAST"}}
		for _, o := range r.Overlaps {
			rows = append(rows, []string{o.Schedule, o.With, fmt.Sprint(o.Slots), stamp(o.First), stamp(o.Last)})
		}
		a.table(a.out, rows)
	}
	a.simulatedClocks(r.ClockChanges)
	a.heading("load")
	if r.Peak.At != nil {
		fmt.Fprintf(a.out, "at most %s at once, first at %s\n", count(r.Peak.Runs, "run"), stamp(*r.Peak.At))
	}
	hours := slices.Clone(r.Hours)
	slices.SortStableFunc(hours, func(a, b flow.SimulatedHour) int { return cmp.Compare(b.Starts, a.Starts) })
	for _, h := range hours[:busiestHours] {
		if h.Starts > 0 {
			fmt.Fprintf(a.out, "%02d:00 to %02d:00 %s: %s, at most %d at once\n", h.Hour, h.Hour+1, r.Timezone, count(int(h.Starts), "start"), h.Peak)
		}
	}
}

// busiestHours is how many hours of the day are shown.
const busiestHours = 5

func (a *app) heading(text string) { fmt.Fprintf(a.out, "\n%s\n", a.onOut(bold, text)) }

func (a *app) simulatedSchedules(r *flow.SimulateReport) {
	a.heading("slots")
	rows := [][]string{{"SCHEDULE", "PIPELINE", "OVERLAP", "SLOTS", "RUNS", "COALESCED", "SKIPPED", "MISSED", "REPLACED", "LATEST START"}}
	for i := range r.Schedules {
		s := &r.Schedules[i]
		late := "on time"
		if s.LateAt != nil {
			late = s.Late.String() + " late, " + stamp(*s.LateAt)
		}
		rows = append(rows, []string{
			s.Schedule, s.Pipeline, string(s.Overlap), fmt.Sprint(s.Slots), fmt.Sprint(s.Runs), fmt.Sprint(s.Coalesced),
			fmt.Sprint(s.Skipped), fmt.Sprint(s.Missed), fmt.Sprint(s.Replaced), late,
		})
	}
	a.table(a.out, rows)
	for i := range r.Schedules {
		if s := &r.Schedules[i]; s.Calendar > 0 {
			fmt.Fprintf(a.out, "%s: %s skipped by not_on\n", line(s.Schedule), count(int(s.Calendar), "slot"))
		}
	}
	for _, name := range r.Disabled {
		fmt.Fprintf(a.out, "%s is disabled\n", line(name))
	}
}

// simulatedClocks shows the days on which clocks change and a written time is touched.
func (a *app) simulatedClocks(changes []flow.ClockChange) {
	changes = slices.DeleteFunc(slices.Clone(changes), func(c flow.ClockChange) bool {
		return c.Effect == flow.ClockNone || c.Effect == flow.ClockElapsed
	})
	if len(changes) == 0 {
		return
	}
	a.heading("clock changes that touch a slot")
	rows := [][]string{{"SCHEDULE", "", "WHAT HAPPENS"}}
	for _, c := range changes {
		rows = append(rows, []string{c.Schedule, string(c.Shift), c.Text})
	}
	a.table(a.out, rows)
}

// lengthText says how long a run takes and how that is known.
func lengthText(p *flow.SimulatedPipeline) string {
	text := took(p.Duration.Std()) + ", " + string(p.Source)
	if p.Source == flow.DurationRecorded {
		text = fmt.Sprintf("%s, median of %s", took(p.Duration.Std()), count(p.Recorded, "run"))
	}
	if p.Cut {
		text += ", cut by its timeout"
	}
	return text
}
