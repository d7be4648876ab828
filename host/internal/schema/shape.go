package schema

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
	"golang.org/x/text/language"
	"golang.org/x/text/message"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// Misfit is a value that does not have the shape that a schema asks for.
type Misfit struct {
	// Path leads to the value, from member to member; indexes of lists are numbers as text.
	Path    []string
	Message string
}

// String names the place and what is wrong there.
func (m Misfit) String() string {
	if len(m.Path) == 0 {
		return m.Message
	}
	var b bytes.Buffer
	for i, name := range m.Path {
		if i > 0 {
			b.WriteByte('.')
		}
		b.WriteString(name)
	}
	return b.String() + ": " + m.Message
}

// mostMisfits bounds what is told of one value.
const mostMisfits = 10

// Shapes judges values by the JSON Schemas (drafts 4 to 2020-12) that plugins carry. A schema is foreign text: it loads
// nothing, and its patterns take linear time. It is safe for concurrent use.
type Shapes struct {
	mu    sync.Mutex
	known map[flow.Digest]*jsonschema.Schema
}

// mostShapes bounds the compiled schemas that are kept.
const mostShapes = 256

// Misfits returns where a value does not have the shape that a schema asks for. Nothing is said of what lies at or below a
// path in open: it is not known yet. The error says that the schema is none.
func (s *Shapes) Misfits(schema json.RawMessage, value any, open [][]string) ([]Misfit, error) {
	compiled, err := s.compile(schema)
	if err != nil {
		return nil, err
	}
	err = compiled.Validate(value)
	if err == nil {
		return nil, nil
	}
	invalid, ok := errors.AsType[*jsonschema.ValidationError](err)
	if !ok {
		return nil, fmt.Errorf("judge a value by its schema: %w", err)
	}
	found := misfits(invalid, open, nil)
	slices.SortFunc(found, func(a, b Misfit) int {
		return cmp.Or(slices.Compare(a.Path, b.Path), cmp.Compare(a.Message, b.Message))
	})
	return found[:min(len(found), mostMisfits)], nil
}

// Decode reads JSON as Misfits takes it: numbers stay exact.
func Decode(doc json.RawMessage) (any, error) {
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(doc))
	if err != nil {
		return nil, fmt.Errorf("read JSON: %w", err)
	}
	return v, nil
}

// nothing loads no other schemas.
type nothing struct{}

// Load implements jsonschema.URLLoader.
func (nothing) Load(url string) (any, error) {
	return nil, fmt.Errorf("a schema of a plugin stands alone; it refers to %q", url)
}

func (s *Shapes) compile(schema json.RawMessage) (*jsonschema.Schema, error) {
	digest := flow.DigestOf(schema)
	s.mu.Lock()
	defer s.mu.Unlock()
	if known := s.known[digest]; known != nil {
		return known, nil
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(schema))
	if err != nil {
		return nil, fmt.Errorf("read the schema: %w", err)
	}
	c := jsonschema.NewCompiler()
	c.UseLoader(nothing{})
	const name = "uniflow:shape"
	if err := c.AddResource(name, doc); err != nil {
		return nil, fmt.Errorf("read the schema: %w", err)
	}
	compiled, err := c.Compile(name)
	if err != nil {
		return nil, fmt.Errorf("read the schema: %s", strings.Join(strings.Fields(err.Error()), " "))
	}
	if s.known == nil || len(s.known) >= mostShapes {
		s.known = map[flow.Digest]*jsonschema.Schema{}
	}
	s.known[digest] = compiled
	return compiled, nil
}

// misfits collects the innermost errors. A choice between shapes (anyOf and the like) is one error: which of them was
// meant is not known; and none, where what it depends on is open.
func misfits(e *jsonschema.ValidationError, open [][]string, found []Misfit) []Misfit {
	choice := false
	switch e.ErrorKind.(type) {
	case *kind.AnyOf, *kind.OneOf, *kind.Not, *kind.Contains, *kind.MinContains, *kind.MaxContains:
		choice = true
	}
	for _, path := range open {
		if within(e.InstanceLocation, path) || choice && within(path, e.InstanceLocation) {
			return found
		}
	}
	if len(e.Causes) > 0 && !choice {
		for _, cause := range e.Causes {
			found = misfits(cause, open, found)
		}
		return found
	}
	text := e.ErrorKind.LocalizedString(message.NewPrinter(language.English))
	return append(found, Misfit{Path: e.InstanceLocation, Message: text})
}

// within reports whether path lies at or below another.
func within(path, other []string) bool {
	return len(path) >= len(other) && slices.Equal(path[:len(other)], other)
}
