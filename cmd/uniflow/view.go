package main

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// view shows a run as it goes: on a terminal a tree that is drawn anew, elsewhere a line per event. It may be told of
// events by one goroutine at a time.
type view struct {
	app   *app
	run   flow.RunID
	live  bool // a tree
	quiet bool

	mu      sync.Mutex
	steps   []*viewStep
	drawn   int // lines of the tree that are on the screen
	redraw  chan struct{}
	drawing sync.WaitGroup
}

// viewStep is a line of the tree.
type viewStep struct {
	name    string
	state   flow.State
	ending  flow.Ending
	since   time.Time
	took    time.Duration
	attempt int
	note    string
	reused  bool
}

// redrawEvery is the time between drawings; running steps show their time.
const redrawEvery = 200 * time.Millisecond

// newView begins to show a run. The caller closes it.
func (a *app) newView(plan *flow.Plan, id flow.RunID) *view {
	v := &view{app: a, run: id, live: a.talk.terminal && a.painting, quiet: a.quiet || a.json, redraw: make(chan struct{})}
	for i := range plan.Steps {
		v.steps = append(v.steps, &viewStep{name: plan.Steps[i].Name, state: flow.StateQueued})
	}
	if v.live && !v.quiet {
		v.drawing.Go(v.drawAlways)
	}
	return v
}

// close ends the drawing and leaves the screen to what follows.
func (v *view) close() {
	close(v.redraw)
	v.drawing.Wait()
	if v.live && !v.quiet {
		v.mu.Lock()
		defer v.mu.Unlock()
		v.erase()
	}
}

func (v *view) drawAlways() {
	ticker := time.NewTicker(redrawEvery)
	defer ticker.Stop()
	for {
		v.mu.Lock()
		v.draw()
		v.mu.Unlock()
		select {
		case <-ticker.C:
		case <-v.redraw:
			return
		}
	}
}

// event takes one recorded change.
func (v *view) event(e flow.Event) {
	if v.quiet {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.apply(&e)
	if !v.live {
		if text := eventText(&e); text != "" {
			v.app.say("%s", text)
		}
	}
}

// apply changes the step that an event is about.
func (v *view) apply(e *flow.Event) {
	for _, s := range v.steps {
		if s.name != e.Step {
			continue
		}
		switch e.Kind {
		case flow.AttemptStarted:
			if s.since.IsZero() {
				s.since = e.At
			}
			s.state, s.attempt, s.note = flow.StateRunning, e.Attempt, ""
		case flow.AttemptEnded:
			if e.RetryAt != nil {
				s.note = "again at " + e.RetryAt.Local().Format("15:04:05")
			}
		case flow.StepProgress:
			s.note = line(e.Message)
		case flow.StepEnded:
			s.state, s.ending, s.note, s.reused = flow.StateEnded, e.Ending, "", e.Reused != ""
			if !s.since.IsZero() {
				s.took = e.At.Sub(s.since)
			}
		}
	}
}

// erase takes the tree off the screen.
func (v *view) erase() {
	if v.drawn > 0 {
		fmt.Fprintf(v.app.talk, "\x1b[%dA\x1b[J", v.drawn)
	}
	v.drawn = 0
}

// draw puts the tree on the screen, in place of the one before; steps beyond a screenful are left out.
func (v *view) draw() {
	width, height := v.app.talk.size()
	v.erase()
	var b strings.Builder
	b.WriteString(clip("run "+string(v.run), width) + "\n")
	v.drawn = 1
	for _, s := range v.steps {
		if v.drawn >= height-1 {
			break
		}
		// The mark is coloured, so the rest alone is clipped.
		fmt.Fprintf(&b, "  %s %s\n", v.app.mark(v.app.talk, s.state, s.ending.Outcome), clip(s.text(time.Now()), width-4))
		v.drawn++
	}
	_, _ = v.app.talk.Write([]byte(b.String())) // output keeps the error
}

// text says where a step stands.
func (s *viewStep) text(now time.Time) string {
	text := line(s.name)
	switch s.state {
	case flow.StateEnded:
		text += "  " + endingWords(s.ending)
		if s.reused {
			text += ", reused"
		}
		if s.took > 0 {
			text += ", " + took(s.took)
		}
	case flow.StateRunning:
		text += "  " + took(max(now.Sub(s.since), 0).Truncate(100*time.Millisecond))
		if s.attempt > 1 {
			text += fmt.Sprintf(", attempt %d", s.attempt)
		}
	}
	if s.note != "" {
		text += "  " + s.note
	}
	return text
}

// clip cuts a line to a width.
func clip(text string, width int) string {
	if runes := []rune(text); len(runes) > width && width > 1 {
		return string(runes[:width-1]) + "…"
	}
	return text
}

// eventText is a line about an event; "" for those that nobody waits for.
func eventText(e *flow.Event) string {
	step := line(e.Step)
	if e.Item != nil {
		step += fmt.Sprintf("[%d]", *e.Item)
	}
	switch e.Kind {
	case flow.RunQueued:
		return fmt.Sprintf("run %s waits for its turn", e.Run)
	case flow.RunStarted, flow.RunResumed, flow.RunCancelling:
		return fmt.Sprintf("run %s %s", e.Run, strings.TrimPrefix(string(e.Kind), "run."))
	case flow.AttemptStarted:
		if e.Attempt > 1 {
			return fmt.Sprintf("%s started, attempt %d", step, e.Attempt)
		}
		return step + " started"
	case flow.AttemptEnded:
		if e.RetryAt != nil {
			return fmt.Sprintf("%s %s, again at %s: %s", step, endingWords(e.Ending), stamp(*e.RetryAt), line(e.Message))
		}
	case flow.StepEnded:
		if e.Reused != "" {
			return fmt.Sprintf("%s %s, reused", step, endingWords(e.Ending))
		}
		return fmt.Sprintf("%s %s", step, endingWords(e.Ending))
	}
	return ""
}
