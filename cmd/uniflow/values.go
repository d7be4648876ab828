package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/tool"
)

// maxContext bounds a context that is read; the host takes no larger one.
const maxContext = 8 << 20

// contextOf makes the context of a run from a file (or "-" for standard input) and from NAME=VALUE pairs, which win.
func (a *app) contextOf(file string, pairs []string, params map[string]flow.Param) (map[string]json.RawMessage, error) {
	values := map[string]json.RawMessage{}
	if file != "" {
		var err error
		if values, err = a.readObject("--context", file); err != nil {
			return nil, err
		}
	}
	for _, pair := range pairs {
		name, value, err := tool.ParseSet(pair, params)
		if err != nil {
			return nil, err
		}
		values[name] = value
	}
	return values, nil
}

// readObject reads a JSON object: the given text itself, or from a file, or from standard input for "-".
func (a *app) readObject(flag, file string) (map[string]json.RawMessage, error) {
	if text := strings.TrimSpace(file); strings.HasPrefix(text, "{") || strings.HasPrefix(text, "[") {
		return object(flag, []byte(text))
	}
	raw, err := a.readFile(flag, file)
	if err != nil {
		return nil, err
	}
	return object(flag+" "+file, raw)
}

// readFile reads what a flag names: a file, or standard input for "-".
func (a *app) readFile(flag, file string) ([]byte, error) {
	op := fmt.Sprintf("%s %.200s", flag, file)
	raw, err := a.readInput(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, &flow.Error{Code: flow.CodeInput, Op: op, Message: "there is no such file", Hint: "check the path, or use - for standard input"}
	case err != nil:
		return nil, &flow.Error{Code: flow.CodeInput, Op: op, Message: "it cannot be read", Err: err}
	case len(raw) > maxContext:
		return nil, &flow.Error{Code: flow.CodeInput, Op: op, Message: fmt.Sprintf("it is larger than %s", flow.Size(maxContext)), Hint: "give plugins large data through a mount"}
	}
	return raw, nil
}

func (a *app) readInput(file string) ([]byte, error) {
	in := a.in
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		in = f
	}
	return io.ReadAll(io.LimitReader(in, maxContext+1))
}

// object reads a JSON object.
func object(op string, raw []byte) (map[string]json.RawMessage, error) {
	var values map[string]json.RawMessage
	err := json.Unmarshal(raw, &values)
	if err == nil && values != nil {
		return values, nil
	}
	e := &flow.Error{Code: flow.CodeInput, Op: op, Message: "expected a JSON object, found no JSON", Hint: `{"year": 2013}`}
	if broken, ok := errors.AsType[*json.SyntaxError](err); ok {
		e.Message += fmt.Sprintf(": %v, at byte %d", broken, broken.Offset)
	} else {
		e.Message = "expected a JSON object, found something else"
	}
	return nil, e
}

// stamp writes an instant for tables: UTC, whole seconds.
func stamp(t time.Time) string { return t.UTC().Format(stampLayout) }

// took writes a length of time with as many digits as a person wants.
func took(d time.Duration) string {
	switch {
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < time.Minute:
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
	return flow.Duration(d.Round(time.Second)).String()
}

// standing says in a word or two where a run stands.
func standing(r *flow.RunRecord) string {
	if r.State != flow.StateEnded {
		if r.Cancelling {
			return "cancelling"
		}
		return string(r.State)
	}
	return endingWords(r.Ending)
}

// endingWords is an outcome with its reason.
func endingWords(e flow.Ending) string {
	if e.Reason == "" {
		return string(e.Outcome)
	}
	return fmt.Sprintf("%s (%s)", e.Outcome, e.Reason)
}

// outcomeStyle is the colour of an outcome.
func outcomeStyle(o flow.Outcome) string {
	switch o {
	case flow.Succeeded:
		return good
	case flow.Failed:
		return bad
	}
	return alert
}
