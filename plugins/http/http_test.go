package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/uniflow-dev/uniflow/sdk/abi"
	"github.com/uniflow-dev/uniflow/sdk/sdktest"
)

// world is a host with one server and the state of a pipeline.
type world struct {
	answer func(r request) string // the answer of http.request as JSON; an error where it is empty
	state  map[string]json.RawMessage
	asked  []request
}

// request is what the step asked for.
type request struct {
	Method   string            `json:"method"`
	URL      string            `json:"url"`
	Headers  map[string]string `json:"headers"`
	Timeout  int64             `json:"timeout_ms"`
	Artifact string            `json:"artifact"`
	body     string
}

func (w *world) call(op string, doc, body []byte) ([]byte, error) {
	var kept struct {
		Key   string          `json:"key"`
		Value json.RawMessage `json:"value"`
	}
	switch op {
	case abi.OpHTTPRequest:
		var r request
		if err := json.Unmarshal(doc, &r); err != nil {
			return nil, err
		}
		r.body = string(body)
		w.asked = append(w.asked, r)
		if answer := w.answer(r); answer != "" {
			return []byte(answer), nil
		}
		return nil, &abi.Refusal{Op: op, Errno: abi.Unavailable, Message: "no answer within 30s"}
	case abi.OpStateGet, abi.OpStateSet:
		if err := json.Unmarshal(doc, &kept); err != nil {
			return nil, err
		}
		if op == abi.OpStateSet {
			w.state[kept.Key] = kept.Value
			return []byte("{}"), nil
		}
		if value, ok := w.state[kept.Key]; ok {
			return json.Marshal(map[string]json.RawMessage{"value": value})
		}
		return nil, abi.NotFound
	}
	return nil, abi.UnknownOp
}

func newWorld(answer func(r request) string) *world {
	return &world{answer: answer, state: map[string]json.RawMessage{}}
}

func (w *world) run(t *testing.T, with string) sdktest.Result {
	t.Helper()
	result, err := sdktest.Run(fetch, sdktest.Input{With: json.RawMessage(with), Call: w.call})
	if err != nil {
		t.Fatal(err)
	}
	return result
}

func says(answer string) func(request) string { return func(request) string { return answer } }

func TestTheBodyBecomesAnArtifact(t *testing.T) {
	t.Parallel()
	w := newWorld(says(`{"status":200,"headers":{"etag":"x"},"artifact":{"$artifact":"sha256:01","size":3,"type":"text/csv"}}`))
	result := w.run(t, `{"url":"https://example.com/a/b.csv?x=1","query":{"y":2,"z":"a b"},"timeout":"90s"}`)
	got, _ := json.Marshal(w.asked[0]) // what was read from JSON is JSON
	want := `{"method":"GET","url":"https://example.com/a/b.csv?x=1\u0026y=2\u0026z=a+b","headers":null,"timeout_ms":90000,"artifact":"b.csv"}`
	if string(got) != want {
		t.Errorf("asked %s, want %s", got, want)
	}
	if string(result.Outputs["artifact"]) != `{"$artifact":"sha256:01","size":3,"type":"text/csv"}` || string(result.Outputs["status"]) != "200" || string(result.Outputs["changed"]) != "true" {
		t.Errorf("got %+v, %v", result.Verdict, result.Outputs)
	}
	if len(w.state) > 0 {
		t.Error("something is kept that nobody asked for")
	}
}

func TestJSONIsSentAndHandedOver(t *testing.T) {
	t.Parallel()
	w := newWorld(says(`{"status":201,"headers":{},"body":" {\"id\": 7}\n"}`))
	result := w.run(t, `{"url":"https://example.com/","json":{"a": [1]},"as":"json","status":[201],"headers":{"X-Mine":"y"},"idempotency":true}`)
	r := w.asked[0]
	if r.Method != http.MethodPost || r.body != `{"a":[1]}` || r.Headers["content-type"] != "application/json" || r.Headers["x-mine"] != "y" || r.Headers["idempotency-key"] != "test" || r.Artifact != "" {
		t.Errorf("asked %+v", r)
	}
	if string(result.Outputs["json"]) != `{"id": 7}` {
		t.Errorf("got %+v, %s", result.Verdict, result.Outputs["json"])
	}
}

func TestMarksAreSentTheNextTime(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"skip", "report"} {
		w := newWorld(func(r request) string {
			if r.Headers["if-none-match"] == `"v1"` && r.Headers["if-modified-since"] == "Thu, 26 Nov 2026 10:00:00 GMT" {
				return `{"status":304,"headers":{}}`
			}
			return `{"status":200,"headers":{"etag":"\"v1\"","last-modified":"Thu, 26 Nov 2026 10:00:00 GMT"},"body":"a"}`
		})
		with := `{"url":"https://example.com/a","as":"text","unchanged":"` + how + `"}`
		if first := w.run(t, with); string(first.Outputs["text"]) != `"a"` || string(first.Outputs["changed"]) != "true" {
			t.Errorf("%s: first %+v", how, first)
		}
		again := w.run(t, with)
		want := map[string]abi.Kind{"skip": abi.KindSkip, "report": abi.KindOK}[how]
		if again.Verdict.Kind != want || string(again.Outputs["changed"]) != "false" || again.Outputs["text"] != nil {
			t.Errorf("%s: again %+v", how, again)
		}
		if other := w.run(t, strings.Replace(with, "/a", "/b", 1)); string(other.Outputs["changed"]) != "true" {
			t.Errorf("%s: another URL has the same mark", how)
		}
	}
}

func TestTheSameBytesAreUnchangedWithoutMarks(t *testing.T) {
	t.Parallel()
	w := newWorld(says(`{"status":200,"headers":{"etag":"random"},"artifact":{"$artifact":"sha256:01","size":3,"type":"text/csv"}}`))
	const with = `{"url":"https://example.com/a","unchanged":"skip"}`
	w.run(t, with)
	if again := w.run(t, with); again.Verdict.Kind != abi.KindSkip {
		t.Errorf("got %+v", again.Verdict)
	}
}

func TestStatuses(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		answer, more string
		kind         abi.Kind
		after        time.Duration
		says         string
	}{
		"busy":               {`{"status":429,"headers":{"retry-after":"7"},"body":"slow\ndown"}`, "", abi.KindRetry, 7 * time.Second, "429: slow down"},
		"busy until":         {`{"status":503,"headers":{"retry-after":"Thu, 26 Nov 2026 10:01:30 GMT","date":"Thu, 26 Nov 2026 10:00:00 GMT"}}`, "", abi.KindRetry, 90 * time.Second, "503"},
		"busy for ever":      {`{"status":503,"headers":{"retry-after":"99999999999"}}`, "", abi.KindRetry, 24 * time.Hour, "503"},
		"busy, no clock":     {`{"status":503,"headers":{"retry-after":"Thu, 26 Nov 2026 10:01:30 GMT"}}`, "", abi.KindRetry, 0, "503"},
		"broken":             {`{"status":500,"headers":{}}`, "", abi.KindRetry, 0, "500"},
		"cannot":             {`{"status":501,"headers":{}}`, "", abi.KindPermanent, 0, "501"},
		"not there":          {`{"status":404,"headers":{},"body":"gone"}`, "", abi.KindPermanent, 0, "404: gone"},
		"expected":           {`{"status":404,"headers":{},"body":"gone"}`, `,"status":[200,404]`, abi.KindOK, 0, ""},
		"unexpected":         {`{"status":200,"headers":{},"body":""}`, `,"status":[201]`, abi.KindPermanent, 0, "200"},
		"not asked for":      {`{"status":304,"headers":{}}`, `,"unchanged":"skip"`, abi.KindPermanent, 0, "304"},
		"no answer":          {"", "", abi.KindRetry, 0, "no answer within 30s"},
		"no JSON":            {`{"status":200,"headers":{},"body":"<p>"}`, `,"as":"json"`, abi.KindPermanent, 0, "no JSON"},
		"no text":            {`{"status":200,"headers":{},"body_base64":"/w=="}`, `,"as":"text"`, abi.KindPermanent, 0, "no text"},
		"no such method":     {`{"status":200,"headers":{}}`, `,"method":"post","unchanged":"skip"`, abi.KindPermanent, 0, "for GET"},
		"two bodies":         {`{"status":200,"headers":{}}`, `,"body":"a","json":1`, abi.KindPermanent, 0, "at most one"},
		"no duration":        {`{"status":200,"headers":{}}`, `,"timeout":"5"`, abi.KindPermanent, 0, "no duration"},
		"an unknown input":   {`{"status":200,"headers":{}}`, `,"header":{}`, abi.KindPermanent, 0, `unknown field "header"`},
		"a list as a query":  {`{"status":200,"headers":{}}`, `,"query":{"a":[1]}`, abi.KindPermanent, 0, `query "a"`},
		"an unknown reading": {`{"status":200,"headers":{}}`, `,"as":"xml"`, abi.KindPermanent, 0, "none of artifact"},
	} {
		if !strings.Contains(c.more, `"as"`) {
			c.more += `,"as":"none"`
		}
		v := newWorld(says(c.answer)).run(t, `{"url":"https://example.com/a"`+c.more+`}`).Verdict
		if v.Kind != c.kind || v.RetryAfter != c.after || !strings.Contains(v.Message, c.says) {
			t.Errorf("%s: got %+v, want %s after %s with %q", name, v, c.kind, c.after, c.says)
		}
	}
	for _, url := range []string{"", "a", "/a", "http:///a", "://"} {
		if v := newWorld(says("")).run(t, fmt.Sprintf(`{"url":%q}`, url)).Verdict; v.Kind != abi.KindPermanent {
			t.Errorf("%q: got %+v", url, v)
		}
	}
}
