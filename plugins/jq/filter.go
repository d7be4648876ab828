package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/itchyny/gojq"

	"github.com/uniflow-dev/uniflow/plugins/internal/first"
	"github.com/uniflow-dev/uniflow/sdk"
	"github.com/uniflow-dev/uniflow/sdk/abi"
)

// Bounds, in bytes but for maxResults.
const (
	maxFilter  = 64 << 10
	maxValue   = 16 << 20  // one input, or all of them with slurp
	maxList    = 8 << 20   // results that are an output
	maxStored  = 512 << 20 // results that are stored
	maxResults = 5_000_000
)

// options are the inputs of filter.
type options struct {
	Filter string          `json:"filter"`
	Value  json.RawMessage `json:"value"`  // what it is run over
	From   first.Source    `json:"from"`   // or an artifact or mounted file: one JSON value after another
	Format string          `json:"format"` // of from: json, or lines, each of which is a text; defaults to json
	Slurp  bool            `json:"slurp"`  // runs once, over the list of all inputs
	Args   map[string]any  `json:"args"`   // variables: name becomes $name
	Output string          `json:"output"` // one, list or members; defaults to one
	To     string          `json:"to"`     // stores the results: a name that ends in .json, .ndjson or .txt

	inputs gojq.Iter
	ticks  int
	args   []any
}

// decode reads and checks the inputs, and compiles the filter.
func (o *options) decode(c *uniflow.Context) (*gojq.Code, error) {
	if err := first.With(c, o); err != nil {
		return nil, err
	}
	if o.From.Given() && len(o.Value) > 0 {
		return nil, first.Wrong("with: give value or from, not both")
	}
	if !slices.Contains([]string{"", "json", "lines"}, o.Format) {
		return nil, first.Wrong("with: format %q is neither json nor lines", o.Format)
	}
	if !slices.Contains([]string{"", "one", "list", "members"}, o.Output) {
		return nil, first.Wrong("with: output %q is none of one, list, members", o.Output)
	}
	if o.To != "" {
		if o.Output != "" {
			return nil, first.Wrong("with: give output or to, not both")
		}
		if formatOf(o.To) == "" {
			return nil, first.Wrong("with: to %q names no format: it ends in .json, .ndjson or .txt", o.To)
		}
	}
	return o.compile()
}

// compile makes code of the filter.
func (o *options) compile() (*gojq.Code, error) {
	if len(o.Filter) > maxFilter {
		return nil, first.Wrong("the filter has %d bytes, at most %d", len(o.Filter), maxFilter)
	}
	query, err := gojq.Parse(o.Filter)
	if err != nil {
		return nil, misread(o.Filter, err)
	}
	names := slices.Sorted(maps.Keys(o.Args))
	var variables []string
	for _, name := range names {
		variables = append(variables, "$"+name)
		value, err := plain(o.Args[name])
		if err != nil {
			return nil, first.Wrong("args: %s: %w", name, err)
		}
		o.args = append(o.args, value)
	}
	code, err := gojq.Compile(query, gojq.WithVariables(variables), gojq.WithInputIter(inputs{o}))
	if err != nil {
		return nil, uncompiled(o.Filter, err)
	}
	return code, nil
}

// inputs are what input and inputs of a filter read: the values after the one that it is run over.
type inputs struct{ o *options }

// Next implements gojq.Iter.
func (i inputs) Next() (any, bool) {
	if i.o.inputs == nil {
		return nil, false
	}
	return i.o.inputs.Next()
}

// plain makes of a decoded value one that a filter takes.
func plain(v any) (any, error) {
	doc, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	value, ok := newValues(strings.NewReader(string(doc)), "value").Next()
	if err, failed := value.(error); failed {
		return nil, err
	}
	if !ok {
		return nil, io.ErrUnexpectedEOF
	}
	return value, nil
}

// filter is the function filter.
func filter(c *uniflow.Context) error {
	var o options
	code, err := o.decode(c)
	if err != nil {
		return err
	}
	from := io.NopCloser(strings.NewReader(string(o.Value)))
	name := "value"
	if o.From.Given() {
		name = "from"
		if from, err = o.From.Open(c, "from"); err != nil {
			return err
		}
	} else if len(o.Value) == 0 {
		from = io.NopCloser(strings.NewReader("null"))
	}
	defer from.Close()
	values := newValues(from, name)
	values.lines = o.Format == "lines"
	if o.To != "" {
		return o.store(c, code, values)
	}
	found := results{most: maxList}
	if err := o.each(c, code, values, found.add); err != nil {
		return err
	}
	return o.hand(c, &found)
}

// each runs the filter over all inputs and hands on the results.
func (o *options) each(c *uniflow.Context, code *gojq.Code, values *values, to func(any) error) error {
	if o.Slurp {
		list, err := values.all()
		if err != nil {
			return err
		}
		return o.run(c, code, list, values, to)
	}
	o.inputs = values
	for {
		value, ok := values.Next()
		if !ok {
			return nil
		}
		if err, failed := value.(error); failed {
			return err
		}
		if err := o.run(c, code, value, values, to); err != nil {
			return err
		}
	}
}

// run runs the filter over one input.
func (o *options) run(c *uniflow.Context, code *gojq.Code, value any, values *values, to func(any) error) error {
	results := code.Run(value, o.args...)
	for {
		if o.ticks++; o.ticks%10_000 == 0 && c.Progress(0, values.place()) {
			return first.ErrCancelled
		}
		result, ok := results.Next()
		if !ok {
			return nil
		}
		if err, failed := result.(error); failed {
			return o.ended(err, values)
		}
		if err := to(result); err != nil {
			return err
		}
	}
}

// ended says what it means that a filter ended with an error.
func (o *options) ended(err error, values *values) error {
	if halt, ok := errors.AsType[*gojq.HaltError](err); ok && halt.ExitCode() == 0 {
		return first.Wrong("%s: the filter halts: use empty, or limit", values.place())
	}
	if _, ours := errors.AsType[*uniflow.Ending](err); ours {
		return err
	}
	return first.Wrong("%s: %w", values.place(), err)
}

// results are those of all inputs, as JSON.
type results struct {
	list  []byte // with commas between them
	count int
	one   json.RawMessage
	most  int
}

func (r *results) add(v any) error {
	doc, err := gojq.Marshal(v)
	if err != nil {
		return first.Wrong("result %d: %w", r.count+1, err)
	}
	if r.count++; r.count > 1 {
		r.list = append(r.list, ',')
	}
	if r.list = append(r.list, doc...); len(r.list) > r.most {
		return first.Wrong("the results have more than %d bytes: store them by to", r.most)
	}
	if r.count > maxResults {
		return first.Wrong("the filter has more than %d results", maxResults)
	}
	r.one = doc
	return nil
}

// hand sets the outputs.
func (o *options) hand(c *uniflow.Context, found *results) error {
	if err := c.Output("count", found.count); err != nil {
		return err
	}
	switch o.Output {
	case "list":
		return larger(c.Output("result", json.RawMessage("["+string(found.list)+"]")))
	case "members":
		return o.members(c, found)
	}
	if found.count > 1 {
		return first.Wrong(`the filter has %d results: collect them by [...], or take them all by output = "list"`, found.count)
	}
	if found.count == 0 {
		found.one = json.RawMessage("null")
	}
	return larger(c.Output("result", found.one))
}

// members sets an output for each member of the only result.
func (o *options) members(c *uniflow.Context, found *results) error {
	var all map[string]json.RawMessage
	if found.count != 1 || json.Unmarshal(found.one, &all) != nil || all == nil {
		return first.Wrong("output = %q needs one object as the result, and the filter has %d results", o.Output, found.count)
	}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if name == "count" {
			return first.Wrong("a member named count would hide the number of results: name it otherwise")
		}
		if err := larger(c.Output(name, all[name])); err != nil {
			return err
		}
	}
	return nil
}

// larger says what to do about a result that is no output.
func larger(err error) error {
	if errors.Is(err, abi.TooLarge) {
		return first.Wrong("%w: store it by to, or raise limits.output", err)
	}
	if err != nil {
		return fmt.Errorf("the result: %w", err)
	}
	return nil
}
