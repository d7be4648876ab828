package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/uniflow-dev/uniflow/plugins/internal/first"
	"github.com/uniflow-dev/uniflow/sdk"
	"github.com/uniflow-dev/uniflow/sdk/abi"
)

// mark is what the pipeline keeps of the last answer for a URL.
type mark struct {
	URL          string `json:"url"` // for people
	ETag         string `json:"etag,omitempty"`
	LastModified string `json:"last_modified,omitempty"`
	Digest       string `json:"digest"` // of the body
}

// key is where the mark of the step stands.
func (o *options) key(c *uniflow.Context) string {
	sum := sha256.Sum256([]byte(o.URL))
	return "http/" + c.Step + "/" + hex.EncodeToString(sum[:8])
}

// fetch is the function fetch.
func fetch(c *uniflow.Context) error {
	var o options
	if err := o.decode(c); err != nil {
		return err
	}
	r, err := o.request(c)
	if err != nil {
		return err
	}
	var last mark
	if o.Unchanged != "" {
		if _, err := c.GetState(o.key(c), &last); err != nil {
			return fmt.Errorf("the mark of the last answer: %w", err)
		}
		last.ask(r.Header)
	}
	answer, err := c.HTTP(r)
	if err != nil {
		return first.Unreached(err)
	}
	if answer.Status == statusNotModified && o.Unchanged != "" && last.Digest != "" {
		return o.same(c, answer)
	}
	if !o.expects(answer.Status) {
		return first.Answered(o.Method, o.URL, answer)
	}
	return o.take(c, answer, last)
}

const statusNotModified = 304

// ask makes a request one for what has changed.
func (m *mark) ask(header map[string]string) {
	if m.ETag != "" {
		setDefault(header, "if-none-match", m.ETag)
	}
	if m.LastModified != "" {
		setDefault(header, "if-modified-since", m.LastModified)
	}
}

func (o *options) expects(status int) bool {
	if len(o.Status) == 0 {
		return status >= 200 && status <= 299
	}
	return slices.Contains(o.Status, status)
}

// take hands over an answer that was expected.
func (o *options) take(c *uniflow.Context, answer uniflow.HTTPResponse, last mark) error {
	if o.Unchanged != "" {
		now := mark{URL: clip(o.URL), ETag: answer.Header["etag"], LastModified: answer.Header["last-modified"], Digest: digest(answer)}
		if err := c.SetState(o.key(c), now); err != nil {
			return fmt.Errorf("the mark of this answer: %w", err)
		}
		if now.Digest == last.Digest {
			return o.same(c, answer) // the server does not know marks, or a new one means nothing
		}
	}
	if err := o.hand(c, answer); err != nil {
		return err
	}
	c.Info("%s %s: %d", o.Method, o.URL, answer.Status)
	return o.report(c, answer, true)
}

// same ends a step whose answer is that of the last time.
func (o *options) same(c *uniflow.Context, answer uniflow.HTTPResponse) error {
	if err := o.report(c, answer, false); err != nil {
		return err
	}
	if o.Unchanged == "skip" {
		return uniflow.Skip("unchanged since the last time: " + o.URL)
	}
	c.Info("%s %s: unchanged", o.Method, o.URL)
	return nil
}

// hand sets the output that holds the body.
func (o *options) hand(c *uniflow.Context, answer uniflow.HTTPResponse) error {
	switch o.As {
	case "none":
		return nil
	case "json":
		if abi.CheckJSON(answer.Body) != abi.OK {
			return first.Wrong("%s %s: the body of %d bytes is no JSON", o.Method, o.URL, len(answer.Body))
		}
		return c.Output("json", json.RawMessage(bytes.TrimSpace(answer.Body)))
	case "text":
		if !utf8.Valid(answer.Body) {
			return first.Wrong("%s %s: the body of %d bytes is no text", o.Method, o.URL, len(answer.Body))
		}
		return c.Output("text", string(answer.Body))
	}
	if answer.Artifact == nil {
		return fmt.Errorf("%s %s: the host has not stored the body", o.Method, o.URL)
	}
	return c.Output("artifact", answer.Artifact)
}

// report sets the outputs that every answer has.
func (o *options) report(c *uniflow.Context, answer uniflow.HTTPResponse, changed bool) error {
	headers := answer.Header
	if headers == nil {
		headers = map[string]string{}
	}
	for _, output := range []struct {
		name  string
		value any
	}{{"status", answer.Status}, {"headers", headers}, {"changed", changed}} {
		if err := c.Output(output.name, output.value); err != nil {
			return err
		}
	}
	return nil
}

// digest names the bytes of a body.
func digest(answer uniflow.HTTPResponse) string {
	if answer.Artifact != nil {
		return answer.Artifact.Artifact
	}
	sum := sha256.Sum256(answer.Body)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// clip shortens what is kept for people alone.
func clip(s string) string {
	if len(s) > 500 {
		return strings.ToValidUTF8(s[:500], "")
	}
	return s
}
