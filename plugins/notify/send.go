package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/uniflow-dev/uniflow/plugins/internal/first"
	"github.com/uniflow-dev/uniflow/sdk"
	"github.com/uniflow-dev/uniflow/sdk/abi"
)

// options are the inputs of send.
type options struct {
	URL       string            `json:"url"`
	URLSecret string            `json:"url_secret"` // or the exposed secret that holds it
	Format    string            `json:"format"`     // webhook, slack or discord; defaults to webhook
	Title     string            `json:"title"`
	Text      string            `json:"text"`
	Level     string            `json:"level"`   // info, success, warning or error; defaults to info
	Fields    map[string]any    `json:"fields"`  // facts beside the text
	Link      string            `json:"link"`    // where to read more
	Type      string            `json:"type"`    // of a webhook; defaults to uniflow.notify
	Data      json.RawMessage   `json:"data"`    // of a webhook: what a program reads
	Headers   map[string]string `json:"headers"` // secrets are filled in by the host
	Sign      string            `json:"sign"`    // the exposed secret that signs a webhook: whsec_ and base64
	Timeout   string            `json:"timeout"` // of the request; defaults to what the host allows

	timeout time.Duration
	where   string // the URL as far as it may be told
}

// decode reads and checks the inputs.
func (o *options) decode(c *uniflow.Context) error {
	if err := first.With(c, o); err != nil {
		return err
	}
	if (o.URL == "") == (o.URLSecret == "") {
		return first.Wrong("with: give url, or url_secret, the name of an exposed secret that holds it")
	}
	if o.Format == "" {
		o.Format = "webhook"
	}
	if !slices.Contains([]string{"webhook", "slack", "discord"}, o.Format) {
		return first.Wrong("with: format %q is none of webhook, slack, discord", o.Format)
	}
	if o.Level == "" {
		o.Level = "info"
	}
	if _, known := colours()[o.Level]; !known {
		return first.Wrong("with: level %q is none of info, success, warning, error", o.Level)
	}
	if o.Title == "" && o.Text == "" && len(o.Data) == 0 {
		return first.Wrong("with: there is nothing to tell: give title, text or data")
	}
	if o.Format != "webhook" && (o.Sign != "" || len(o.Data) > 0 || o.Type != "") {
		return first.Wrong("with: sign, type and data are for the format webhook")
	}
	if o.Timeout != "" {
		var err error
		if o.timeout, err = time.ParseDuration(o.Timeout); err != nil || o.timeout <= 0 {
			return first.Wrong(`with: timeout %q is no duration: write "10s"`, o.Timeout)
		}
	}
	return nil
}

// send is the function send.
func send(c *uniflow.Context) error {
	var o options
	if err := o.decode(c); err != nil {
		return err
	}
	if err := o.findURL(c); err != nil {
		return err
	}
	body, err := abi.Marshal(o.payload(c))
	if err != nil {
		return first.Wrong("the message: %w", err)
	}
	header, err := o.header(c, body)
	if err != nil {
		return err
	}
	answer, err := c.HTTP(uniflow.HTTPRequest{Method: "POST", URL: o.URL, Header: header, Body: body, Timeout: o.timeout})
	if err != nil {
		return first.Unreached(err)
	}
	if answer.Status < 200 || answer.Status > 299 {
		return first.Answered("POST", o.where, answer)
	}
	c.Info("told %s: %d", o.where, answer.Status)
	if err := c.Output("status", answer.Status); err != nil {
		return err
	}
	return c.Output("id", c.IdempotencyKey)
}

// findURL reads the URL where it is a secret. Only its origin is told further.
func (o *options) findURL(c *uniflow.Context) error {
	if o.URLSecret != "" {
		secret, err := c.Secret(o.URLSecret)
		if err != nil {
			return err
		}
		o.URL = strings.TrimSpace(secret)
	}
	u, err := url.Parse(o.URL)
	if err != nil || u.Host == "" {
		if o.URLSecret != "" {
			return first.Wrong("the secret %s holds no URL of a server", o.URLSecret)
		}
		return first.Wrong("with: url %q is not the URL of a server", o.URL)
	}
	o.where = u.Scheme + "://" + u.Host
	return nil
}

// header is what goes with the message. A receiver knows a repeated one by its id.
func (o *options) header(c *uniflow.Context, body []byte) (map[string]string, error) {
	header := map[string]string{"content-type": "application/json", "idempotency-key": c.IdempotencyKey}
	if o.Format == "webhook" {
		header["webhook-id"] = c.IdempotencyKey
		header["webhook-timestamp"] = strconv.FormatInt(now(c).Unix(), 10)
	}
	if o.Sign != "" {
		secret, err := c.Secret(o.Sign)
		if err != nil {
			return nil, err
		}
		if header["webhook-signature"], err = sign(strings.TrimSpace(secret), header["webhook-id"], header["webhook-timestamp"], body); err != nil {
			return nil, first.Wrong("the secret %s: %w", o.Sign, err)
		}
	}
	for name, value := range o.Headers {
		header[strings.ToLower(name)] = value
	}
	return header, nil
}

// now is the time of the attempt: of the clock where it is granted, and of the start of the run at the earliest, because
// without the grant the clock begins at the scheduled instant.
func now(c *uniflow.Context) time.Time {
	at := time.Now()
	if at.Before(c.StartedAt) {
		return c.StartedAt
	}
	return at
}

// fact is a field as texts.
type fact struct{ name, value string }

// facts are the fields in the order of their names.
func (o *options) facts() []fact {
	var all []fact
	for _, name := range slices.Sorted(maps.Keys(o.Fields)) {
		value := ""
		switch v := o.Fields[name].(type) {
		case nil:
		case string:
			value = v
		case json.Number, bool:
			value = fmt.Sprint(v)
		default:
			doc, err := abi.Marshal(v)
			if err == nil {
				value = string(doc)
			}
		}
		all = append(all, fact{name, value})
	}
	return all
}
