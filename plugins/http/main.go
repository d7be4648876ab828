// Package main is the plugin http: it makes one request, stores or hands over what comes back, and knows whether that has
// changed since the last time.
package main

import (
	"encoding/json"
	"maps"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/uniflow-dev/uniflow/plugins/internal/first"
	"github.com/uniflow-dev/uniflow/sdk"
	"github.com/uniflow-dev/uniflow/sdk/abi"
)

// Marker marks the module as a reactor.
//
//go:wasmexport uniflow_abi_v1
func Marker() {}

// Run is the entry of a step that names no function.
//
//go:wasmexport uniflow_run
func Run() int32 { return uniflow.Handle(fetch) }

// Fetch is the entry that a manifest names by function = "fetch".
//
//go:wasmexport fetch
func Fetch() int32 { return uniflow.Handle(fetch) }

var _ = registered()

// registered has the codecs learn the types of the plugin before the first attempt.
func registered() bool {
	uniflow.Warm(func() {
		var o options
		c := &uniflow.Context{}
		c.With = []byte(`{"url":"https://example.com/a.csv","headers":{"a":"b"},"status":[200],"unchanged":"skip","json":{"a":1}}`)
		var m mark
		_ = o.decode(c)
		_ = json.Unmarshal([]byte(`{"etag":"a"}`), &m)
		_, _ = json.Marshal(m) // nobody reads it
	})
	return true
}

func main() {}

// options are the inputs of fetch.
type options struct {
	URL         string            `json:"url"`
	Query       map[string]any    `json:"query"`   // added to the URL: texts, numbers, booleans
	Method      string            `json:"method"`  // defaults to GET, or POST with a body
	Headers     map[string]string `json:"headers"` // secrets are filled in by the host
	Body        string            `json:"body"`    // at most one of body, json and from
	JSON        json.RawMessage   `json:"json"`
	From        first.Source      `json:"from"`
	Status      []int             `json:"status"`      // what is expected; defaults to 200 to 299
	Timeout     string            `json:"timeout"`     // of the request; defaults to what the host allows
	As          string            `json:"as"`          // artifact, json, text or none; defaults to artifact
	Name        string            `json:"name"`        // of the artifact; defaults to the end of the URL's path
	Unchanged   string            `json:"unchanged"`   // skip or report: asks only for what has changed; defaults to asking always
	Idempotency bool              `json:"idempotency"` // sends the header Idempotency-Key, the same at every attempt

	timeout time.Duration
}

// decode reads and checks the inputs.
func (o *options) decode(c *uniflow.Context) error {
	if err := first.With(c, o); err != nil {
		return err
	}
	u, err := url.Parse(o.URL)
	if err != nil || u.Host == "" {
		return first.Wrong("with: url %q is not the URL of a server", o.URL)
	}
	if err := o.addQuery(u); err != nil {
		return err
	}
	if o.Timeout != "" {
		if o.timeout, err = time.ParseDuration(o.Timeout); err != nil || o.timeout <= 0 {
			return first.Wrong(`with: timeout %q is no duration: write "30s"`, o.Timeout)
		}
	}
	if !slices.Contains([]string{"", "artifact", "json", "text", "none"}, o.As) {
		return first.Wrong("with: as %q is none of artifact, json, text, none", o.As)
	}
	if !slices.Contains([]string{"", "skip", "report"}, o.Unchanged) {
		return first.Wrong("with: unchanged %q is neither skip nor report", o.Unchanged)
	}
	if o.Name == "" {
		if o.Name = path.Base(u.Path); o.Name == "." || o.Name == "/" {
			o.Name = "body"
		}
	}
	return o.decodeBody()
}

func (o *options) addQuery(u *url.URL) error {
	if len(o.Query) == 0 {
		return nil
	}
	query := u.Query()
	for _, name := range slices.Sorted(maps.Keys(o.Query)) {
		switch v := o.Query[name].(type) {
		case string:
			query.Set(name, v)
		case json.Number:
			query.Set(name, v.String())
		case bool:
			query.Set(name, strconv.FormatBool(v))
		default:
			return first.Wrong("with: query %q is no text, number or boolean", name)
		}
	}
	u.RawQuery = query.Encode()
	o.URL = u.String()
	return nil
}

func (o *options) decodeBody() error {
	bodies := 0
	for _, given := range []bool{o.Body != "", len(o.JSON) > 0, o.From.Given()} {
		if given {
			bodies++
		}
	}
	if bodies > 1 {
		return first.Wrong("with: give at most one of body, json and from")
	}
	if o.Method = strings.ToUpper(o.Method); o.Method == "" {
		o.Method = "GET"
		if bodies > 0 {
			o.Method = "POST"
		}
	}
	if o.Unchanged != "" && o.Method != "GET" { //nolint:usestdlibvars // a guest does without net/http
		return first.Wrong("with: unchanged is for GET, and the method is %s", o.Method)
	}
	return nil
}

// request is what the host is asked for.
func (o *options) request(c *uniflow.Context) (uniflow.HTTPRequest, error) {
	r := uniflow.HTTPRequest{Method: o.Method, URL: o.URL, Header: map[string]string{}, Body: []byte(o.Body), Timeout: o.timeout}
	for name, value := range o.Headers {
		r.Header[strings.ToLower(name)] = value
	}
	switch {
	case len(o.JSON) > 0:
		r.Body = o.JSON
		setDefault(r.Header, "content-type", "application/json")
	case o.From.Given():
		var err error
		if r.Body, err = o.From.ReadAll(c, "from", abi.MaxBody); err != nil {
			return r, err
		}
		if ref, ok := o.From.Ref(); ok && ref.Type != "" {
			setDefault(r.Header, "content-type", ref.Type)
		}
	}
	if o.Idempotency {
		setDefault(r.Header, "idempotency-key", c.IdempotencyKey)
	}
	if o.As == "" || o.As == "artifact" {
		r.Artifact = o.Name
	}
	return r, nil
}

func setDefault(header map[string]string, name, value string) {
	if _, set := header[name]; !set {
		header[name] = value
	}
}
