package main

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/tool"
)

// screen is an app whose talk goes to a terminal of 40 columns and 10 rows.
func screen(b *bytes.Buffer) *app {
	talk := newOutput(b)
	talk.terminal, talk.size = true, func() (int, int) { return 40, 10 }
	return &app{out: newOutput(&bytes.Buffer{}), talk: talk, painting: true}
}

func TestTreeFollowsEvents(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	v := &view{app: screen(&b), run: "R", live: true, steps: []*viewStep{{name: "load"}, {name: "report"}}}
	at := time.Now()
	v.event(flow.Event{At: at, Kind: flow.AttemptStarted, Step: "load", Attempt: 1})
	v.event(flow.Event{At: at.Add(1500 * time.Millisecond), Kind: flow.StepEnded, Step: "load", Ending: flow.Ending{Outcome: flow.Succeeded}})
	v.event(flow.Event{At: at, Kind: flow.AttemptStarted, Step: "report", Attempt: 2})
	v.event(flow.Event{At: at, Kind: flow.StepProgress, Step: "report", Ending: flow.Ending{Message: "page \x1b[2J of " + strings.Repeat("many ", 20)}})
	v.draw()
	for _, want := range []string{"run R\n", "load  succeeded, 1.5 s\n", ", attempt 2  page \\x1b["} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in %q", want, b.String())
		}
	}
	b.Reset()
	v.draw()
	if !strings.HasPrefix(b.String(), "\x1b[3A\x1b[J") {
		t.Errorf("the tree of three lines is not taken away first: %q", b.String())
	}
}

func TestTreeKeepsToTheScreen(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	v := &view{app: screen(&b), run: "R", live: true}
	for range 50 {
		v.steps = append(v.steps, &viewStep{name: "step"})
	}
	v.draw()
	if got := strings.Count(b.String(), "\n"); got != 9 || v.drawn != 9 {
		t.Errorf("%d lines, %d counted, want 9 of a screen of 10", got, v.drawn)
	}
}

func TestViewEndsWithoutATrace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var b bytes.Buffer
		v := screen(&b).newView(&flow.Plan{Steps: []flow.PlanStep{{Name: "a"}}}, "R")
		time.Sleep(3 * redrawEvery)
		v.close()
		if !strings.HasSuffix(b.String(), "\x1b[2A\x1b[J") || strings.Count(b.String(), "run R") < 3 {
			t.Errorf("got %q", b.String())
		}
	})
}

// stream is a host whose streams of events break.
type stream struct {
	flow.Control
	follow    func(ctx context.Context, q flow.EventQuery, yield func(flow.Event) bool) error
	cancelled int
}

func (s *stream) Follow(ctx context.Context, q flow.EventQuery, yield func(flow.Event) bool) error {
	return s.follow(ctx, q, yield)
}

func (s *stream) Cancel(context.Context, flow.RunID) (flow.RunRecord, error) {
	s.cancelled++
	return flow.RunRecord{}, nil
}

func TestBrokenStreamIsTakenUpWhereItBroke(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		broken := &flow.Error{Code: flow.CodeUnreachable, Message: "gone"}
		var asked, seen []int64
		s := &stream{follow: func(_ context.Context, q flow.EventQuery, yield func(flow.Event) bool) error {
			asked = append(asked, q.After)
			if q.After == 3 {
				return nil
			}
			yield(flow.Event{Seq: q.After + 1})
			return broken
		}}
		if err := followAgain(t.Context(), &tool.Link{Control: s}, flow.EventQuery{Run: "R"}, func(e flow.Event) { seen = append(seen, e.Seq) }); err != nil {
			t.Error(err)
		}
		if len(asked) != 4 || len(seen) != 3 || seen[2] != 3 {
			t.Errorf("asked %v, seen %v", asked, seen)
		}
		s.follow = func(context.Context, flow.EventQuery, func(flow.Event) bool) error { return broken }
		began := time.Now()
		if err := followAgain(t.Context(), &tool.Link{Control: s}, flow.EventQuery{}, nil); !errors.Is(err, broken) {
			t.Errorf("got %v", err)
		}
		if got := time.Since(began); got != retries*retryWait {
			t.Errorf("a host that is gone was asked for %s, want %s", got, retries*retryWait)
		}
	})
}

func TestRunThatDoesNotEndIsGivenUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &stream{follow: func(ctx context.Context, _ flow.EventQuery, _ func(flow.Event) bool) error {
			<-ctx.Done()
			return context.Cause(ctx)
		}}
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(errInterrupted)
		a := &app{out: newOutput(&bytes.Buffer{}), talk: newOutput(&bytes.Buffer{})}
		began := time.Now()
		err := a.follow(ctx, &tool.Link{Control: s}, "R", a.newView(&flow.Plan{}, "R"))
		if exitOf(err) != exitInterrupted || s.cancelled != 1 || time.Since(began) != cancelTime {
			t.Errorf("got %v after %s, asked %d times", err, time.Since(began), s.cancelled)
		}
	})
}
