package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// finish tells an error, if there is one that was not told yet, and returns the exit code.
func (a *app) finish(ctx context.Context, err error) int {
	code := exitOf(err)
	if err != nil && errors.Is(context.Cause(ctx), errInterrupted) {
		code = exitInterrupted
	}
	if _, told := errors.AsType[ended](err); told || err == nil {
		return code
	}
	if code == exitInterrupted && flow.CodeOf(err) == "" {
		err = &flow.Error{Code: flow.CodeInterrupted, Message: "interrupted"}
	}
	if a.json {
		a.errorJSON(err)
	} else {
		a.errorText(err)
	}
	return code
}

// errorJSON writes an error as one line of JSON.
func (a *app) errorJSON(err error) {
	report := flow.ErrorReport{Code: flow.CodeOf(err), Message: message(err)}
	if e, ok := errors.AsType[*flow.Error](err); ok {
		report.Hint = e.Hint
	}
	if problems, ok := errors.AsType[flow.Problems](err); ok {
		report.Problems, report.Message = problems, countProblems(problems)
	}
	raw, err := compact(report)
	if err != nil {
		return // cannot be: all of it is text
	}
	fmt.Fprintf(a.talk, "%s\n", raw)
}

// message is the text of an error; that what is not there was not found goes without saying.
func message(err error) string {
	return strings.TrimSuffix(err.Error(), ": "+flow.ErrNotFound.Error())
}

// errorText writes an error for a person: what, next action, where to read more.
func (a *app) errorText(err error) {
	if problems, ok := errors.AsType[flow.Problems](err); ok {
		a.problems(problems)
		return
	}
	code := flow.CodeOf(err)
	label := "error"
	if code != "" {
		label = fmt.Sprintf("error[%s]", code)
	}
	fmt.Fprintf(a.talk, "%s: %s\n", a.paint(bad, label), lines(message(err)))
	if e, ok := errors.AsType[*flow.Error](err); ok && e.Hint != "" {
		fmt.Fprintf(a.talk, "   = help: %s\n", lines(e.Hint))
	}
	if code != "" {
		fmt.Fprintf(a.talk, "   = more: uniflow explain %s\n", code)
	}
}

// problems writes all mistakes of a manifest, and how many there are.
func (a *app) problems(problems flow.Problems) {
	for i := range problems {
		text := lines(problems[i].String())
		style := bad
		if problems[i].Severity == flow.SeverityWarning {
			style = alert
		}
		head, rest, _ := strings.Cut(text, ":")
		fmt.Fprintf(a.talk, "%s:%s\n\n", a.paint(style, head), rest)
	}
	fmt.Fprintf(a.talk, "%s\n", countProblems(problems))
}

// countProblems says how many mistakes there are, and in which file.
func countProblems(problems flow.Problems) string {
	errs := len(problems.Errors())
	warnings := len(problems) - errs
	var parts []string
	if errs > 0 {
		parts = append(parts, count(errs, "error"))
	}
	if warnings > 0 {
		parts = append(parts, count(warnings, "warning"))
	}
	text := strings.Join(parts, ", ")
	if len(problems) > 0 && problems[0].File != "" {
		file := problems[0].File
		if filepath.IsAbs(file) {
			file = filepath.Base(file)
		}
		text += " in " + line(file)
	}
	return text
}

// count says a number of things: 1 step, 2 steps.
func count(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

// answer writes a value as JSON if that is asked for, and calls text otherwise.
func (a *app) answer(value any, text func()) error {
	if !a.json {
		text()
		return nil
	}
	return a.writeJSON(value)
}

// writeJSON writes a value as indented JSON.
func (a *app) writeJSON(value any) error {
	raw, err := indented(value)
	if err != nil {
		return err
	}
	if a.out.terminal {
		raw = []byte(lines(string(raw)))
	}
	fmt.Fprintf(a.out, "%s\n", raw)
	return nil
}

func indented(value any) ([]byte, error) {
	raw, err := compact(value)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if err := json.Indent(&b, raw, "", "  "); err != nil {
		return nil, fmt.Errorf("write the answer: %w", err)
	}
	return b.Bytes(), nil
}

// compact is JSON on one line, with <, > and & as they are.
func compact(value any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(value); err != nil {
		return nil, fmt.Errorf("write the answer: %w", err)
	}
	return bytes.TrimSpace(b.Bytes()), nil
}

// list is a list that is never null in JSON.
func list[T any](l []T) []T {
	if l == nil {
		return []T{}
	}
	return l
}

// say talks, unless quiet is asked for or data is for a program.
func (a *app) say(format string, args ...any) {
	if !a.quiet && !a.json {
		fmt.Fprintf(a.talk, format+"\n", args...)
	}
}
