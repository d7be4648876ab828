package plan

import (
	"strings"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
)

const (
	maxSteps    = 256
	maxAttempts = 100
	maxParallel = 64
	maxCatchup  = 10_000
	maxTime     = flow.Duration(7 * 24 * time.Hour)
	minTime     = flow.Duration(time.Millisecond)
	minStart    = flow.Duration(time.Second)
	minMemory   = 64 * flow.KiB
	maxMemory   = 4*flow.GiB - 64*flow.KiB
	maxBytes    = 64 * flow.MiB
	maxBlobs    = 64 * flow.GiB
)

const (
	defaultRun      = flow.Duration(time.Hour)
	defaultStep     = flow.Duration(time.Minute)
	defaultParallel = 4
)

func defaultLimits() flow.Limits {
	return flow.Limits{Memory: 64 * flow.MiB, Output: flow.MiB, Log: flow.MiB, Artifacts: 64 * flow.MiB}
}

// last returns the last value that is set.
func last[T comparable](values ...T) T {
	var zero, found T
	for _, v := range values {
		if v != zero {
			found = v
		}
	}
	return found
}

// policy checks the tables of policy where they are written: what is merged from them is then good as well.
func (b *builder) policy(at key, r flow.Retry, t flow.Timeout, l flow.Limits) {
	if r.Attempts < 0 || r.Attempts > maxAttempts {
		b.fail(flow.CodeOutOfRange, at.to("retry", "attempts"), "", "attempts is %d; it lies between 1 and %d", r.Attempts, maxAttempts)
	}
	if r.Backoff.Min < 0 || r.Backoff.Max < r.Backoff.Min || flow.Duration(r.Backoff.Max) > maxTime {
		b.fail(flow.CodeOutOfRange, at.to("retry", "backoff"), "write a range such as 1s..1m", "backoff %s is no range of at most 7 days", r.Backoff)
	}
	for _, c := range []struct {
		name  string
		value flow.Duration
		min   flow.Duration
	}{{"step", t.Step, minTime}, {"run", t.Run, minTime}, {"start", t.Start, minStart}} {
		if c.value != 0 && (c.value < c.min || c.value > maxTime) {
			b.fail(flow.CodeOutOfRange, at.to("timeout", c.name), "", "timeout.%s is %s; it lies between %s and 168h (7 days)", c.name, c.value, c.min)
		}
	}
	b.limits(at.to("limits"), l)
	b.beyondTimeout(at, t)
}

// layer is what one table of the manifest sets.
type layer struct {
	at      key
	limits  flow.Limits
	timeout flow.Timeout
}

// table is how a table is written in the manifest.
func table(at key) string { return "[" + strings.Join(at, ".") + "]" }

// bounds merges what the layers set for a step, and names the tables that had the last word; each value is checked where
// it is written.
func bounds(out *flow.PlanStep, layers ...layer) {
	out.Limits, out.Timeout, out.SetBy = defaultLimits(), defaultStep, map[string]string{}
	for _, l := range layers {
		own := func(name string, set bool) bool {
			if set {
				out.SetBy[name] = table(l.at)
			}
			return set
		}
		for _, c := range []struct {
			name     string
			to, from *flow.Size
		}{
			{"memory", &out.Limits.Memory, &l.limits.Memory},
			{"output", &out.Limits.Output, &l.limits.Output},
			{"log", &out.Limits.Log, &l.limits.Log},
			{"artifacts", &out.Limits.Artifacts, &l.limits.Artifacts},
		} {
			if own(c.name, *c.from != 0) {
				*c.to = *c.from
			}
		}
		if own("fuel", l.limits.Fuel != 0) {
			out.Limits.Fuel = l.limits.Fuel
		}
		if own("timeout", l.timeout.Step != 0) {
			out.Timeout = l.timeout.Step
		}
	}
}

// runTimeout merges what bounds a whole run, and names the table that sets it.
func (b *builder) runTimeout(p *flow.Plan, at key, own flow.Timeout) {
	p.Timeout = last(defaultRun, b.m.Defaults.Timeout.Run, own.Run)
	switch {
	case own.Run != 0:
		p.TimeoutFrom = table(at)
	case b.m.Defaults.Timeout.Run != 0:
		p.TimeoutFrom = table(key{"defaults"})
	}
	b.lowerRun(p)
}

// limits checks a limits table where it is written.
func (b *builder) limits(at key, l flow.Limits) {
	b.beyondLimits(at, l)
	for _, c := range []struct {
		name            string
		value, min, max flow.Size
	}{
		{"memory", l.Memory, minMemory, maxMemory},
		{"output", l.Output, 1, maxBytes},
		{"log", l.Log, 1, maxBytes},
		{"artifacts", l.Artifacts, 1, maxBlobs},
	} {
		if c.value != 0 && (c.value < c.min || c.value > c.max) {
			b.fail(flow.CodeOutOfRange, at.to(c.name), "", "%s is %s; it lies between %s and %s", c.name, c.value, c.min, c.max)
		}
	}
	if l.Fuel < 0 {
		b.fail(flow.CodeOutOfRange, at.to("fuel"), "leave it out for no budget", "fuel is %d; it is at least 1", l.Fuel)
	}
}

// retries merges the policies of a step.
func retries(layers ...flow.Retry) flow.Retry {
	out := flow.Retry{Attempts: 1, Backoff: flow.Backoff{Min: time.Second, Max: time.Minute}}
	for _, r := range layers {
		out.Attempts = last(out.Attempts, r.Attempts)
		out.Backoff = last(out.Backoff, r.Backoff)
	}
	return out
}

// slots checks what says how slots are treated, where it is written.
func (b *builder) slots(at key, o flow.Overlap, c flow.Catchup, r flow.OnResume) {
	b.word(at.to("on_resume"), string(r), string(flow.ResumeNone), string(flow.ResumeLatest), string(flow.ResumeAll))
	b.word(at.to("overlap"), string(o), string(flow.OverlapWait), string(flow.OverlapWaitAll), string(flow.OverlapSkip), string(flow.OverlapReplace))
	b.word(at.to("catchup", "runs"), c.Runs, "none", "latest", "all")
	if c.Max < 0 || c.Max > maxCatchup {
		b.fail(flow.CodeOutOfRange, at.to("catchup", "max"), "", "max is %d; it lies between 1 and %d", c.Max, maxCatchup)
	}
}

// crash checks what is to become of runs that a crash cuts off.
func (b *builder) crash(at key, c flow.OnCrash) {
	b.word(at.to("on_crash"), string(c), string(flow.CrashResume), string(flow.CrashRestart), string(flow.CrashFail))
}

// catchups merges what a schedule, its pipeline and the defaults say.
func catchups(layers ...flow.Catchup) flow.Catchup {
	out := flow.Catchup{Runs: "latest", Within: flow.Duration(24 * time.Hour), Max: 100}
	for _, c := range layers {
		out.Runs = last(out.Runs, c.Runs)
		out.Within = last(out.Within, c.Within)
		out.Max = last(out.Max, c.Max)
	}
	return out
}

func (b *builder) keep(at key, own flow.Keep) flow.Keep {
	d := b.m.Defaults.Keep
	out := flow.Keep{Runs: last(10_000, d.Runs, own.Runs), Days: last(90, d.Days, own.Days)}
	if out.Runs < 1 || out.Days < 1 {
		b.fail(flow.CodeOutOfRange, at.to("keep"), "", "keep holds %d runs and %d days; both are at least 1", out.Runs, out.Days)
	}
	return out
}
