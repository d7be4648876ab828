// Package first is what the first-party plugins have in common: how a step reads its inputs strictly, the bytes that
// they name, and how it hands over bytes of any size. It holds no state.
package first

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"strings"

	"github.com/uniflow-dev/uniflow/sdk"
)

// With stores the inputs of the step in the value that v points to. An input that v does not know is a permanent
// failure, so that a typing error never becomes a setting that silently does not hold.
func With(c *uniflow.Context, v any) error {
	doc := c.With
	if len(doc) == 0 {
		doc = json.RawMessage("{}")
	}
	dec := json.NewDecoder(bytes.NewReader(doc))
	dec.DisallowUnknownFields()
	dec.UseNumber()
	if err := dec.Decode(v); err != nil {
		return Wrong("with: %s", strings.TrimPrefix(err.Error(), "json: "))
	}
	return nil
}

// Wrong is a permanent failure: the same inputs cannot do better the next time.
func Wrong(format string, args ...any) error { return uniflow.Permanent(fmt.Errorf(format, args...)) }

// ErrCancelled ends a step that was asked to stop.
var ErrCancelled = errors.New("the attempt is being cancelled")

// MediaType returns the media type for a file name, or otherwise where its suffix says nothing.
func MediaType(name, otherwise string) string {
	switch strings.ToLower(path.Ext(name)) {
	case ".csv":
		return "text/csv"
	case ".tsv":
		return "text/tab-separated-values"
	case ".json":
		return "application/json"
	case ".ndjson", ".jsonl":
		return "application/x-ndjson"
	case ".html", ".htm":
		return "text/html"
	case ".md":
		return "text/markdown"
	case ".txt":
		return "text/plain"
	case ".xml":
		return "application/xml"
	case ".svg":
		return "image/svg+xml"
	}
	return otherwise
}
