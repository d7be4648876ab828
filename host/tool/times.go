package tool

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/calendar"
	"github.com/uniflow-dev/uniflow/host/internal/manifest"
	"github.com/uniflow-dev/uniflow/host/internal/plan"
)

// NotOn replaces the calendar files among items of not_on by what they say. Unlike those of a manifest, they are files of
// the caller, wherever they are.
func NotOn(items []string) ([]string, error) {
	var all []string
	for _, item := range items {
		if !plan.IsCalendar(item) {
			all = append(all, item)
			continue
		}
		text, err := readBounded(item, calendar.MaxFile)
		if err != nil {
			return nil, err
		}
		entries, err := calendar.ReadFile(filepath.Base(item), text)
		if err != nil {
			return nil, err
		}
		all = append(all, entries...)
	}
	return all, nil
}

// readBounded reads a file of at most limit bytes.
func readBounded(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, &flow.Error{Code: flow.CodeInput, Op: "read " + path, Message: "it cannot be read", Hint: "check the path", Err: err}
	}
	defer f.Close()
	var b bytes.Buffer
	if n, err := io.Copy(&b, io.LimitReader(f, limit+1)); err != nil || n > limit {
		return nil, &flow.Error{Code: flow.CodeInput, Op: "read " + path, Message: fmt.Sprintf("expected a file of at most %s", flow.Size(limit)), Err: err}
	}
	return b.Bytes(), nil
}

// Durations reads a TOML text of durations by the id of a pipeline.
func Durations(name string, text []byte) (map[string]time.Duration, error) {
	return manifest.Durations(name, text)
}
