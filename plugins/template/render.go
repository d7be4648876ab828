package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	html "html/template"
	"io"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	text "text/template"
	"unicode/utf8"

	"github.com/uniflow-dev/uniflow/plugins/internal/first"
	"github.com/uniflow-dev/uniflow/sdk"
	"github.com/uniflow-dev/uniflow/sdk/abi"
)

// Bounds, in bytes.
const (
	maxTemplate = 1 << 20
	maxData     = 16 << 20
	maxPage     = 16 << 20
)

// options are the inputs of render.
type options struct {
	Template string            `json:"template"` // the template itself
	From     first.Source      `json:"from"`     // or an artifact or mounted file that holds it
	Partials map[string]string `json:"partials"` // further templates by name: {{template "head" .}}
	Format   string            `json:"format"`   // html escapes what is filled in, text does not; defaults to html for names in .html, .htm and .svg, else text
	Data     json.RawMessage   `json:"data"`     // what is filled in
	DataFrom first.Source      `json:"data_from"`
	Missing  string            `json:"missing"` // what becomes of a key that is not there: fail or empty; defaults to fail
	To       string            `json:"to"`      // stores the result under this name; without it, it is the output text
	Type     string            `json:"type"`    // its media type; defaults to what the name says

	funcs map[string]any
}

// render is the function render.
func render(c *uniflow.Context) error {
	var o options
	if err := o.decode(c); err != nil {
		return err
	}
	page, err := o.fill()
	if err != nil {
		return err
	}
	c.Info("%d bytes of %s", len(page), o.Format)
	if o.To == "" {
		err := c.Output("text", string(page))
		if errors.Is(err, abi.TooLarge) {
			return first.Wrong("%w: store the text by to, or raise limits.output", err)
		}
		return err
	}
	sink := first.NewSink(c, o.To, o.Type)
	if _, err := sink.Write(page); err != nil {
		return err
	}
	return sink.Close()
}

// decode reads and checks the inputs.
func (o *options) decode(c *uniflow.Context) error {
	if err := first.With(c, o); err != nil {
		return err
	}
	if o.From.Given() == (o.Template != "") {
		return first.Wrong("with: give either template, the text of one, or from, an artifact or a mounted file")
	}
	if o.DataFrom.Given() && len(o.Data) > 0 {
		return first.Wrong("with: give data or data_from, not both")
	}
	if !slices.Contains([]string{"", "html", "text"}, o.Format) {
		return first.Wrong("with: format %q is neither html nor text", o.Format)
	}
	if !slices.Contains([]string{"", "fail", "empty"}, o.Missing) {
		return first.Wrong("with: missing %q is neither fail nor empty", o.Missing)
	}
	o.setFormat()
	return o.read(c)
}

// setFormat fills in format and media type by the name.
func (o *options) setFormat() {
	if o.Format == "" {
		o.Format = "text"
		if slices.Contains([]string{".html", ".htm", ".svg"}, strings.ToLower(path.Ext(o.To))) {
			o.Format = "html"
		}
	}
	if o.Type == "" {
		o.Type = first.MediaType(o.To, "text/plain")
	}
}

// read reads template and data where they are not among the inputs.
func (o *options) read(c *uniflow.Context) error {
	if o.From.Given() {
		content, err := o.From.ReadAll(c, "from", maxTemplate)
		if err != nil {
			return err
		}
		if !utf8.Valid(content) {
			return first.Wrong("from: the template is no UTF-8")
		}
		o.Template = string(content)
	}
	if o.DataFrom.Given() {
		content, err := o.DataFrom.ReadAll(c, "data_from", maxData)
		if err != nil {
			return err
		}
		o.Data = content
	}
	if len(o.Template) > maxTemplate {
		return first.Wrong("the template has %d bytes, at most %d", len(o.Template), maxTemplate)
	}
	return nil
}

// filled is a template of either kind.
type filled interface {
	Execute(w io.Writer, data any) error
}

// fill fills the template.
func (o *options) fill() ([]byte, error) {
	var data any
	if len(o.Data) > 0 {
		dec := json.NewDecoder(bytes.NewReader(o.Data))
		dec.UseNumber()
		if err := dec.Decode(&data); err != nil {
			return nil, first.Wrong("data: %w", err)
		}
	}
	o.funcs = funcs(o.Format == "html")
	parse := o.parseText
	if o.Format == "html" {
		parse = o.parseHTML
	}
	t, err := parse()
	if err != nil {
		return nil, first.Wrong("%s", placed(err))
	}
	page := bounded{}
	if err := t.Execute(&page, native(data)); err != nil {
		return nil, first.Wrong("%s", placed(err))
	}
	return page.Bytes(), nil
}

// option is what a missing key means to the engine.
func (o *options) option() string {
	if o.Missing == "empty" {
		return "missingkey=zero"
	}
	return "missingkey=error"
}

func (o *options) parseText() (filled, error) {
	t := text.New("template").Funcs(o.funcs).Option(o.option())
	for _, name := range slices.Sorted(maps.Keys(o.Partials)) {
		if _, err := t.New(name).Parse(o.Partials[name]); err != nil {
			return nil, err
		}
	}
	return t.Parse(o.Template)
}

func (o *options) parseHTML() (filled, error) {
	t := html.New("template").Funcs(o.funcs).Option(o.option())
	for _, name := range slices.Sorted(maps.Keys(o.Partials)) {
		if _, err := t.New(name).Parse(o.Partials[name]); err != nil {
			return nil, err
		}
	}
	return t.Parse(o.Template)
}

// placed is a mistake with the place that the engine gives it, in words.
func placed(err error) string {
	said := err.Error()
	for _, prefix := range []string{"template: ", "html/template: ", "html/template:"} {
		said = strings.TrimPrefix(said, prefix)
	}
	return regexp.MustCompile(`^([\w.-]+):(\d+)(?::(\d+))?:`).ReplaceAllStringFunc(said, func(at string) string {
		part := strings.Split(strings.TrimSuffix(at, ":"), ":")
		if len(part) < 3 {
			return fmt.Sprintf("%s, line %s:", part[0], part[1])
		}
		return fmt.Sprintf("%s, line %s, byte %s:", part[0], part[1], part[2])
	})
}

// bounded is a page that does not grow for ever.
type bounded struct{ bytes.Buffer }

// Write implements io.Writer.
func (b *bounded) Write(p []byte) (int, error) {
	if b.Len()+len(p) > maxPage {
		return 0, fmt.Errorf("the result has more than %d bytes", maxPage)
	}
	return b.Buffer.Write(p)
}

// native makes numbers of decoded data comparable in a template: whole ones are int, others float64.
func native(v any) any {
	switch v := v.(type) {
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return int(n)
		}
		if n, err := v.Float64(); err == nil {
			return n
		}
		return v.String()
	case []any:
		for i := range v {
			v[i] = native(v[i])
		}
	case map[string]any:
		for k := range v {
			v[k] = native(v[k])
		}
	}
	return v
}
