package main

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// noisy is the spread of a floor, in shares of its median, over which what
// stands on it is not reported.
const noisy = 0.30

// Units of figures.
const (
	times     = "x"  // a ratio
	seconds   = "s"  // shown in the unit that fits
	perSecond = "/s" // of whatever is counted
	megabytes = "MB"
)

// figure is one quantity, beside its goal where it has one.
type figure struct {
	Name    string  `json:"name"`
	Unit    string  `json:"unit"`
	Goal    float64 `json:"goal,omitempty"` // 0 for none
	AtLeast bool    `json:"at_least,omitempty"`
	Value   float64 `json:"value"`
	Min     float64 `json:"min"`
	Max     float64 `json:"max"`
	// Skipped says why the value means nothing; it is then not shown.
	Skipped string `json:"skipped,omitempty"`
}

// part is what one measurement has to say.
type part struct {
	Goals   []figure
	Details []figure
}

// ratios makes the ratio of two series, round by round.
func ratios(name string, over, under []time.Duration) figure {
	all := make([]float64, len(over))
	for i := range over {
		all[i] = float64(over[i]) / float64(under[i])
	}
	return summary(name, times, all)
}

// summary makes a figure of the values of all rounds.
func summary(name, unit string, all []float64) figure {
	return figure{Name: name, Unit: unit, Value: median(all), Min: slices.Min(all), Max: slices.Max(all)}
}

// lasting makes a figure of durations.
func lasting(name string, all []time.Duration) figure {
	f := make([]float64, len(all))
	for i, d := range all {
		f[i] = d.Seconds()
	}
	return summary(name, seconds, f)
}

// most sets the goal: at most so much.
func (f figure) most(goal float64) figure { f.Goal = goal; return f }

// least sets the goal: at least so much.
func (f figure) least(goal float64) figure { f.Goal, f.AtLeast = goal, true; return f }

// unless skips the figure for the first reason that is not empty.
func (f figure) unless(reasons ...string) figure {
	f.Skipped = cmp.Or(append([]string{f.Skipped}, reasons...)...)
	return f
}

// verdict says whether the goal is met.
func (f figure) verdict() string {
	switch {
	case f.Skipped != "":
		return "skipped: " + f.Skipped
	case f.Goal == 0:
		return ""
	case f.AtLeast && f.Value >= f.Goal, !f.AtLeast && f.Value <= f.Goal:
		return "met"
	}
	return "missed"
}

// goal says what is wanted.
func (f figure) goal() string {
	if f.AtLeast {
		return ">= " + f.show(f.Goal)
	}
	return "<= " + f.show(f.Goal)
}

// show formats a value in the unit of the figure.
func (f figure) show(v float64) string {
	switch f.Unit {
	case seconds:
		return duration(time.Duration(v * float64(time.Second)))
	case perSecond:
		return fmt.Sprintf("%.0f/s", v)
	case megabytes:
		return fmt.Sprintf("%.0f MB", v)
	}
	return number(v) + "x"
}

// cells are the figure as a row of a table.
func (f figure) cells() []string {
	value, spread := f.show(f.Value), f.show(f.Min)+".."+f.show(f.Max)
	if f.Skipped != "" {
		value, spread = "-", "-"
	}
	return []string{f.Name, f.goal(), value, spread, f.verdict()}
}

// unsteady says that a floor varied too much for anything to stand on it, or
// nothing. The extremes of the rounds are left aside: what is reported is a
// median, which one of them does not move.
func unsteady(name string, p50 []time.Duration) string {
	if s := spread(p50); s > noisy {
		return fmt.Sprintf("%s varied by %.0f %%", name, s*100)
	}
	return ""
}

// spread returns how far the values lie apart, in shares of the median and
// without the smallest and the largest of five and more.
func spread[T time.Duration | float64](values []T) float64 {
	sorted := slices.Sorted(slices.Values(values))
	if len(sorted) >= 5 {
		sorted = sorted[1 : len(sorted)-1]
	}
	return float64(sorted[len(sorted)-1]-sorted[0]) / float64(median(sorted))
}
