package main

import (
	"io"
	"path"
	"strings"

	"github.com/itchyny/gojq"

	"github.com/uniflow-dev/uniflow/plugins/internal/first"
	"github.com/uniflow-dev/uniflow/sdk"
)

// formatOf is the format that a file name stands for.
func formatOf(name string) string {
	switch suffix := strings.ToLower(path.Ext(name)); suffix {
	case ".json", ".ndjson", ".txt":
		return suffix
	case ".jsonl":
		return ".ndjson"
	}
	return ""
}

// store writes the results as they come to an artifact.
func (o *options) store(c *uniflow.Context, code *gojq.Code, values *values) error {
	sink := first.NewSink(c, o.To, first.MediaType(o.To, ""))
	w := writer{to: sink, format: formatOf(o.To)}
	if err := o.each(c, code, values, w.add); err != nil {
		return err
	}
	if err := w.end(); err != nil {
		return err
	}
	c.Info("%d results", w.count)
	if err := c.Output("count", w.count); err != nil {
		return err
	}
	return sink.Close()
}

// writer writes results: .json holds the only one, .ndjson one a line, .txt texts as they are.
type writer struct {
	to     io.Writer
	format string
	count  int
	size   int
}

func (w *writer) add(v any) error {
	doc, err := w.encode(v)
	if err != nil {
		return err
	}
	w.count++
	if w.size += len(doc); w.size > maxStored || w.count > maxResults {
		return first.Wrong("the results are more than %d bytes or %d in number", maxStored, maxResults)
	}
	if w.format == ".json" && w.count > 1 {
		return first.Wrong("the filter has more than one result: collect them by [...], or store one a line as .ndjson")
	}
	doc = append(doc, '\n')
	_, err = w.to.Write(doc)
	return err
}

func (w *writer) encode(v any) ([]byte, error) {
	if text, ok := v.(string); ok && w.format == ".txt" {
		return []byte(text), nil
	}
	doc, err := gojq.Marshal(v)
	if err != nil {
		return nil, first.Wrong("result %d: %w", w.count+1, err)
	}
	return doc, nil
}

func (w *writer) end() error {
	if w.format != ".json" || w.count > 0 {
		return nil
	}
	_, err := io.WriteString(w.to, "null\n")
	return err
}
