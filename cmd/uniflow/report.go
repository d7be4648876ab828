package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/tool"
)

// told writes a finished run for a person: how it went to talk, outputs to standard output.
func (a *app) told(ctx context.Context, l *tool.Link, report *flow.RunReport, files []flow.ArtifactFile) {
	if !a.quiet || report.Run.Outcome == flow.Failed {
		a.tree(a.talk, &report.Run)
		a.lastWords(ctx, l, &report.Run)
	}
	if len(report.Outputs) > 0 {
		a.outputs(report)
	}
	for i := range files {
		f := &files[i]
		where := nearPath(f.Path)
		if where == "" {
			where = "uniflow runs artifacts " + string(report.Run.ID) + " --out DIR"
		}
		a.say("%s.%s: %s (%s)", line(f.Step), line(f.Output), where, bytesText(f.Bytes))
	}
}

// nearPath is a path as seen from the working directory, if it lies below it.
func nearPath(path string) string {
	dir, err := os.Getwd()
	if err != nil {
		return path
	}
	if near, err := filepath.Rel(dir, path); err == nil && filepath.IsLocal(near) {
		return near
	}
	return path
}

// tree writes a run and its steps.
func (a *app) tree(w io.Writer, r *flow.RunRecord) {
	length := ""
	if r.StartedAt != nil {
		length = " in " + took(r.Duration(time.Now()))
	}
	fmt.Fprintf(w, "run %s of %s: %s%s\n", r.ID, line(flow.ID(r.Tenant, r.Pipeline)), a.paintOn(w, outcomeStyle(r.Outcome), standing(r)), length)
	if r.Trigger.Of != "" {
		fmt.Fprintf(w, "  %s of run %s\n", r.Trigger.Kind, r.Trigger.Of)
	}
	if r.Message != "" {
		fmt.Fprintf(w, "  %s\n", line(r.Message))
	}
	width := 0
	for i := range r.Steps {
		width = max(width, len(r.Steps[i].Name))
	}
	for i := range r.Steps {
		a.branch(w, &r.Steps[i], width)
	}
}

// branch writes a step: mark, name, ending, time, attempts, what was consumed; or whose it was.
func (a *app) branch(w io.Writer, s *flow.StepRecord, width int) {
	ending := endingWords(s.Ending)
	if s.State != flow.StateEnded {
		ending = string(s.State)
	}
	facts := []string{a.paintOn(w, outcomeStyle(s.Outcome), ending)}
	if s.Reused != "" {
		facts = append(facts, "reused from run "+string(s.Reused))
	}
	if s.StartedAt != nil && s.EndedAt != nil {
		facts = append(facts, took(s.EndedAt.Sub(*s.StartedAt)))
	}
	if tries := attemptsText(s.Attempts); tries != "" {
		facts = append(facts, tries)
	}
	var used flow.Usage
	for i := range s.Attempts {
		used.Fuel += s.Attempts[i].Usage.Fuel
		used.Memory = max(used.Memory, s.Attempts[i].Usage.Memory)
	}
	if used.Fuel > 0 {
		facts = append(facts, fmt.Sprintf("fuel %d", used.Fuel))
	}
	if used.Memory > 0 {
		facts = append(facts, "memory "+bytesText(int64(used.Memory)))
	}
	fmt.Fprintf(w, "  %s %-*s  %s\n", a.mark(w, s.State, s.Outcome), width, line(s.Name), strings.Join(facts, ", "))
	if s.Message != "" {
		fmt.Fprintf(w, "    %s\n", strings.ReplaceAll(lines(s.Message), "\n", "\n    "))
	}
}

// shownAttempts is how many attempts of one step are listed.
const shownAttempts = 20

// consumption writes what each attempt used of what limits bound.
func consumption(w io.Writer, r *flow.RunRecord) {
	for i := range r.Steps {
		s := &r.Steps[i]
		for n := range s.Attempts {
			if n == shownAttempts {
				fmt.Fprintf(w, "used     %s: %d attempts more, in uniflow runs show %s --json\n", line(s.Name), len(s.Attempts)-n, r.ID)
				break
			}
			at := &s.Attempts[n]
			which := fmt.Sprintf("%s, attempt %d", line(s.Name), at.Attempt)
			if at.Item != nil {
				which = fmt.Sprintf("%s, element %d, attempt %d", line(s.Name), *at.Item, at.Attempt)
			}
			if used := usageText(&at.Usage); used != "" {
				fmt.Fprintf(w, "used     %s: %s\n", which, used)
			}
		}
	}
}

// usageText says what an attempt used, in the order of the manifest's limits.
func usageText(u *flow.Usage) string {
	var facts []string
	for _, f := range []struct {
		name string
		size flow.Size
	}{{"memory", u.Memory}, {"output", u.Output}, {"log", u.Log}, {"artifacts", u.Artifacts}} {
		if f.size > 0 {
			facts = append(facts, f.name+" "+bytesText(int64(f.size)))
		}
	}
	if u.Fuel > 0 {
		facts = append(facts, fmt.Sprintf("fuel %d", u.Fuel))
	}
	if u.HostCalls > 0 {
		facts = append(facts, count(int(u.HostCalls), "host call"))
	}
	return strings.Join(facts, ", ")
}

// attemptsText counts the elements of a step with each, and the attempts where there was more than one for something.
func attemptsText(attempts []flow.AttemptRecord) string {
	items := map[int]bool{}
	for i := range attempts {
		if item := attempts[i].Item; item != nil {
			items[*item] = true
		}
	}
	var parts []string
	if len(items) > 0 {
		parts = append(parts, count(len(items), "element"))
	}
	if n := len(attempts); n > max(len(items), 1) {
		parts = append(parts, count(n, "attempt"))
	}
	return strings.Join(parts, ", ")
}

// mark is a sign for where something stands.
func (a *app) mark(w io.Writer, state flow.State, o flow.Outcome) string {
	switch {
	case o == flow.Succeeded:
		return a.paintOn(w, good, "✓")
	case o == flow.Failed:
		return a.paintOn(w, bad, "✗")
	case o != "":
		return a.paintOn(w, alert, "-")
	case state == flow.StateRunning:
		return a.paintOn(w, alert, "›")
	}
	return a.paintOn(w, faint, "·")
}

// lastLines is how many log lines of a failed step are shown.
const lastLines = 5

// lastWords shows what failed steps logged last, and where there is more.
func (a *app) lastWords(ctx context.Context, l *tool.Link, r *flow.RunRecord) {
	if r.Outcome != flow.Failed {
		return
	}
	for i := range r.Steps {
		if r.Steps[i].Outcome != flow.Failed {
			continue
		}
		logs, err := allLogs(ctx, l, flow.LogQuery{Run: r.ID, Step: r.Steps[i].Name})
		if err != nil || len(logs) == 0 {
			continue // the run's own ending was told
		}
		for _, words := range logs[max(0, len(logs)-lastLines):] {
			fmt.Fprintf(a.talk, "    | %s\n", line(words.Message))
		}
	}
	fmt.Fprintf(a.talk, "   = more: uniflow runs logs %s\n", r.ID)
}

// outputs writes the outputs as JSON. On a terminal it is cut to a screenful.
func (a *app) outputs(report *flow.RunReport) {
	raw, err := indented(report.Outputs)
	if err != nil {
		return // cannot be: outputs are JSON
	}
	if !a.out.terminal {
		fmt.Fprintf(a.out, "%s\n", raw)
		return
	}
	width, height := a.out.size()
	text, cut := screenful(lines(string(raw)), width, max(height-6, 5))
	fmt.Fprintln(a.out, text)
	if cut {
		a.say("… cut; all of it: uniflow runs outputs %s", report.Run.ID)
	}
}

// screenful cuts text to so many lines of so many characters.
func screenful(text string, width, height int) (string, bool) {
	rows := strings.Split(text, "\n")
	cut := len(rows) > height
	rows = rows[:min(len(rows), height)]
	for i, row := range rows {
		if runes := []rune(row); len(runes) > width {
			rows[i], cut = string(runes[:width-1])+"…", true
		}
	}
	return strings.Join(rows, "\n"), cut
}
