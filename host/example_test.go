package host_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/uniflow-dev/uniflow/host"
	"github.com/uniflow-dev/uniflow/host/flow"
)

// open opens a host of its own data folder with a function "greet" and a pipeline "hello" that calls it.
func open() (*host.Host, func()) {
	data, err := os.MkdirTemp("", "uniflow-example-*")
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	h, err := host.Open(ctx, host.Config{Data: data})
	if err != nil {
		log.Fatal(err)
	}
	greet := func(_ context.Context, c *host.Call) error {
		return c.Output("greeting", "hello, "+text(c.Context["name"]))
	}
	if err := h.Register("greet", greet); err != nil {
		log.Fatal(err)
	}
	hello := flow.Pipeline{
		Name: "hello", Project: "demo",
		Context: map[string]json.RawMessage{"name": json.RawMessage(`"world"`)},
		Steps:   map[string]flow.Step{"greet": {Plugin: "greet"}},
	}
	if err := h.Define(ctx, hello); err != nil {
		log.Fatal(err)
	}
	return h, func() {
		_ = h.Close()
		_ = os.RemoveAll(data)
	}
}

// text unquotes a JSON string.
func text(raw json.RawMessage) string { return string(raw[1 : len(raw)-1]) }

func ExampleHost_RunNow() {
	h, done := open()
	defer done()
	ctx := context.Background()

	result, err := h.RunNow(ctx, "hello", map[string]any{"name": "Ada"})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(result.Success, string(result.Outputs["greet"]["greeting"]))
	// Output: true "hello, Ada"
}

func ExampleHost_ScheduleDaily() {
	h, done := open()
	defer done()
	ctx := context.Background()

	// Two schedules of one pipeline, each with a context of its own.
	if err := h.ScheduleDaily(ctx, "morning", "hello", 6, 30, map[string]any{"name": "early bird"}); err != nil {
		log.Fatal(err)
	}
	if err := h.ScheduleDaily(ctx, "evening", "hello", 18, 0, map[string]any{"name": "night owl"}); err != nil {
		log.Fatal(err)
	}
	schedules, err := h.Schedules(ctx)
	if err != nil {
		log.Fatal(err)
	}
	for _, s := range schedules {
		fmt.Println(s.Name, s.Pipeline, s.Type, s.Value, s.Enabled, string(s.Context["name"]), s.LastRun == nil, s.NextRun.After(time.Now()))
	}
	// Output:
	// evening hello daily daily 18:00 true "night owl" true true
	// morning hello daily daily 06:30 true "early bird" true true
}

func ExampleHost_ScheduleHourly() {
	h, done := open()
	defer done()
	ctx := context.Background()

	if err := h.ScheduleHourly(ctx, "quarter-past", "hello", 15, nil); err != nil {
		log.Fatal(err)
	}
	next, err := h.Next(ctx, "quarter-past", time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC), 2)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(next[0].Format(time.TimeOnly), next[1].Format(time.TimeOnly))
	// Output: 00:15:00 01:15:00
}

func ExampleHost_ScheduleInterval() {
	h, done := open()
	defer done()
	ctx := context.Background()

	if err := h.ScheduleInterval(ctx, "often", "hello", time.Second, nil); err != nil {
		log.Fatal(err)
	}
	if err := h.Start(ctx); err != nil {
		log.Fatal(err)
	}
	// Follow tells of every change as it is recorded; here, until the first run that a slot made has ended.
	err := h.Follow(ctx, flow.EventQuery{}, func(e flow.Event) bool {
		if e.Kind == flow.RunEnded {
			fmt.Println(e.Pipeline, e.Outcome)
		}
		return e.Kind != flow.RunEnded
	})
	if err != nil {
		log.Fatal(err)
	}
	if err := h.Stop(ctx); err != nil {
		log.Fatal(err)
	}
	// Output: hello succeeded
}

func ExampleHost_Disable() {
	h, done := open()
	defer done()
	ctx := context.Background()

	if err := h.ScheduleHourly(ctx, "hourly", "hello", 0, nil); err != nil {
		log.Fatal(err)
	}
	if err := h.Disable(ctx, "hourly"); err != nil {
		log.Fatal(err)
	}
	health, err := h.ScheduleHealth(ctx)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(health[0].Schedule, health[0].Status)

	if err := h.Enable(ctx, "hourly"); err != nil {
		log.Fatal(err)
	}
	if health, err = h.ScheduleHealth(ctx); err != nil {
		log.Fatal(err)
	}
	fmt.Println(health[0].Schedule, health[0].Status)
	// Output:
	// hourly disabled
	// hourly ok
}

func ExampleHost_Unschedule() {
	h, done := open()
	defer done()
	ctx := context.Background()

	for minute, name := range []string{"a", "b", "c"} {
		if err := h.ScheduleHourly(ctx, name, "hello", minute, nil); err != nil {
			log.Fatal(err)
		}
	}
	if err := h.Unschedule(ctx, "b"); err != nil {
		log.Fatal(err)
	}
	cleared, err := h.Clear(ctx)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(cleared.Removed)
	fmt.Println(errors.Is(h.Unschedule(ctx, "a"), flow.ErrNotFound))
	// Output:
	// [a c]
	// true
}

// A pipeline whose condition is false is skipped, which is no failure.
func ExampleHost_Define_condition() {
	h, done := open()
	defer done()
	ctx := context.Background()

	err := h.Define(ctx, flow.Pipeline{
		Name: "careful", When: `context.mode == "go"`,
		Context: map[string]json.RawMessage{"mode": json.RawMessage(`"stop"`), "name": json.RawMessage(`"all"`)},
		Steps:   map[string]flow.Step{"greet": {Plugin: "greet"}},
	})
	if err != nil {
		log.Fatal(err)
	}
	for _, mode := range []string{"stop", "go"} {
		result, err := h.RunNow(ctx, "careful", map[string]any{"mode": mode})
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(mode, result.Success, result.Skipped)
	}
	// Output:
	// stop true true
	// go true false
}

// A step that fails is tried again under its policy; what stays a failure is told by the result.
func ExampleHost_Define_retry() {
	h, done := open()
	defer done()
	ctx := context.Background()

	tries := 0
	shaky := func(context.Context, *host.Call) error {
		if tries++; tries < 3 {
			return errors.New("not yet")
		}
		return nil
	}
	broken := func(context.Context, *host.Call) error { return host.Permanent(errors.New("no such table")) }
	if err := errors.Join(h.Register("shaky", shaky), h.Register("broken", broken)); err != nil {
		log.Fatal(err)
	}
	retry := flow.Retry{Attempts: 3, Backoff: flow.Backoff{Min: time.Millisecond, Max: time.Millisecond}}
	for _, name := range []string{"shaky", "broken"} {
		p := flow.Pipeline{Name: name, Retry: retry, Steps: map[string]flow.Step{"try": {Plugin: name}}}
		if err := h.Define(ctx, p); err != nil {
			log.Fatal(err)
		}
		result, err := h.RunNow(ctx, name, nil)
		if err != nil {
			log.Fatal(err)
		}
		step := result.Steps[0]
		fmt.Printf("%s: success %v after %d attempts [%s]\n", name, result.Success, len(step.Attempts), step.Message)
	}
	// Output:
	// shaky: success true after 3 attempts []
	// broken: success false after 1 attempts [no such table]
}

// Past runs are kept, newest first; versions are saved with metadata of the caller's.
func ExampleHost_Runs() {
	h, done := open()
	defer done()
	ctx := context.Background()

	for _, name := range []string{"Ada", "Grace", "Mary"} {
		if _, err := h.RunNow(ctx, "hello", map[string]any{"name": name}); err != nil {
			log.Fatal(err)
		}
	}
	runs, err := h.Runs(ctx, flow.RunQuery{Pipeline: "hello", Limit: 2})
	if err != nil {
		log.Fatal(err)
	}
	for _, r := range runs { // a list has neither contexts nor steps
		whole, err := h.Run(ctx, string(r.ID))
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(r.Pipeline, r.Trigger.Kind, r.Outcome, string(whole.Context["name"]), len(whole.Steps))
	}
	version, err := h.SaveVersion(ctx, "hello", map[string]string{"why": "first good one"})
	if err != nil {
		log.Fatal(err)
	}
	saved, err := h.Versions(ctx, "hello")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(len(saved), saved[0].Digest == version.Digest, saved[0].Metadata["why"])
	// Output:
	// hello manual succeeded "Mary" 1
	// hello manual succeeded "Grace" 1
	// 1 true first good one
}

// A run that failed is run again from there: what succeeded is reused, what it was for is done now.
func ExampleHost_Rerun() {
	h, done := open()
	defer done()
	ctx := context.Background()

	ready := false
	send := func(_ context.Context, c *host.Call) error {
		if !ready {
			return host.Permanent(errors.New("the mail server is down"))
		}
		return c.Output("sent", text(c.With["text"]))
	}
	mail := flow.Pipeline{
		Name: "mail", Context: map[string]json.RawMessage{"name": json.RawMessage(`"world"`)},
		Steps: map[string]flow.Step{
			"greet": {Plugin: "greet"},
			"send":  {Plugin: "send", With: map[string]json.RawMessage{"text": json.RawMessage(`"${steps.greet.greeting}"`)}},
		},
	}
	if err := errors.Join(h.Register("send", send), h.Define(ctx, mail)); err != nil {
		log.Fatal(err)
	}
	first, err := h.RunNow(ctx, "mail", nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(first.Success, first.Steps[1].Message)

	ready = true
	again, err := h.Rerun(ctx, flow.RerunRequest{Run: string(first.Run), Failed: true})
	if err != nil {
		log.Fatal(err)
	}
	if err := h.Follow(ctx, flow.EventQuery{Run: again.ID}, func(flow.Event) bool { return true }); err != nil {
		log.Fatal(err)
	}
	second, err := h.Result(ctx, again.ID)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(second.Success, string(second.Outputs["send"]["sent"]), second.Steps[0].Reused == first.Run)
	// Output:
	// false the mail server is down
	// true "hello, world" true
}

// The slots of days that are past are run, in order; here, those that have no run that succeeded.
func ExampleHost_Backfill() {
	h, done := open()
	defer done()
	ctx := context.Background()

	if err := h.ScheduleDaily(ctx, "morning", "hello", 6, 30, nil); err != nil {
		log.Fatal(err)
	}
	report, err := h.Backfill(ctx, flow.BackfillRequest{
		Name: "morning", MissingOnly: true,
		From: time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC), To: time.Date(2026, 3, 3, 23, 59, 59, 0, time.UTC),
	})
	if err != nil {
		log.Fatal(err)
	}
	for _, s := range report.Slots {
		// The run waits its turn; Follow returns when it has ended.
		if err := h.Follow(ctx, flow.EventQuery{Run: s.Run}, func(flow.Event) bool { return true }); err != nil {
			log.Fatal(err)
		}
		run, err := h.Run(ctx, string(s.Run))
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(run.Trigger.Kind, run.Trigger.ScheduledAt.Format(time.RFC3339), run.Outcome)
	}
	// Output:
	// backfill 2026-03-01T06:30:00Z succeeded
	// backfill 2026-03-02T06:30:00Z succeeded
	// backfill 2026-03-03T06:30:00Z succeeded
}

// Pipelines are found by name, with project and version.
func ExampleHost_Pipeline() {
	h, done := open()
	defer done()
	ctx := context.Background()

	p, err := h.Pipeline(ctx, "hello")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(p.ID, p.Project, p.Steps, p.Version.Valid())
	_, err = h.Pipeline(ctx, "hallo")
	fmt.Println(err)
	// Output:
	// hello demo [greet] true
	// no pipeline "hallo": not found
}
