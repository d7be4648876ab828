package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/uniflow-dev/uniflow/sdk/abi"
	"github.com/uniflow-dev/uniflow/sdk/sdktest"
)

// key is a secret that signs, of 32 bytes.
const key = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="

// sent is what arrived.
type sent struct {
	Method  string            `json:"method"`
	URL     string            `json:"url"`
	Headers map[string]string `json:"headers"`
	Timeout int64             `json:"timeout_ms"`
	body    string
}

// run sends a message to a server that answers so; an empty answer is none.
func run(t *testing.T, with, answer string) (sdktest.Result, sent) {
	t.Helper()
	var got sent
	result, err := sdktest.Run(send, sdktest.Input{
		Run:  abi.RunContext{Pipeline: "strikes", RunID: "01M", Step: "tell", StartedAt: time.Date(2026, 11, 26, 21, 0, 0, 0, time.UTC)},
		With: json.RawMessage(with),
		Call: func(op string, request, body []byte) ([]byte, error) {
			switch {
			case op == abi.OpSecretGet && strings.Contains(string(request), `"KEY"`):
				return json.Marshal(map[string]string{"value": key + "\n"})
			case op == abi.OpSecretGet && strings.Contains(string(request), `"HOOK"`):
				return []byte(`{"value":"https://hooks.example.com/T0/s3cret"}`), nil
			case op == abi.OpSecretGet:
				return nil, &abi.Refusal{Op: op, Errno: abi.Denied, Message: "the secret is not exposed"}
			case answer == "":
				return nil, &abi.Refusal{Op: op, Errno: abi.Unavailable}
			}
			got.body = string(body)
			return []byte(answer), json.Unmarshal(request, &got)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return result, got
}

const ok = `{"status":204,"headers":{}}`

func TestASignedWebhook(t *testing.T) {
	t.Parallel()
	result, got := run(t, `{"url":"https://example.com/hook","title":"Done","text":"a <b>","fields":{"rows":3},"data":{"x": [1]},"sign":"KEY","headers":{"X-Team":"a"},"timeout":"5s"}`, ok)
	const want = `{"type":"uniflow.notify","timestamp":"2026-11-26T21:00:00Z","data":{"tenant":"default","pipeline":"strikes","run":"01M","step":"tell","level":"info","title":"Done","text":"a <b>","fields":{"rows":3}},"payload":{"x":[1]}}`
	if got.body != want || got.Method != http.MethodPost || got.URL != "https://example.com/hook" || got.Timeout != 5000 {
		t.Errorf("got %+v\nwant %s", got, want)
	}
	h := got.Headers
	raw, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(key, "whsec_")) // a constant
	mac := hmac.New(sha256.New, raw)
	_, _ = mac.Write([]byte(h["webhook-id"] + "." + h["webhook-timestamp"] + "." + got.body)) // never fails
	if h["webhook-signature"] != "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)) {
		t.Errorf("the signature is %q", h["webhook-signature"])
	}
	at, err := strconv.ParseInt(h["webhook-timestamp"], 10, 64)
	if err != nil || time.Unix(at, 0).Before(time.Date(2026, 11, 26, 21, 0, 0, 0, time.UTC)) {
		t.Errorf("the timestamp is %q", h["webhook-timestamp"])
	}
	if h["idempotency-key"] != "test" || h["webhook-id"] != "test" || h["x-team"] != "a" || h["content-type"] != "application/json" {
		t.Errorf("headers %v", h)
	}
	if string(result.Outputs["status"]) != "204" || string(result.Outputs["id"]) != `"test"` {
		t.Errorf("got %+v", result)
	}
}

// TestTheSignatureIsThatOfTheStandard holds sign against the example of the standard's own text.
func TestTheSignatureIsThatOfTheStandard(t *testing.T) {
	t.Parallel()
	got, err := sign("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", []byte(`{"test": 2432232314}`))
	if want := "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="; err != nil || got != want {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
}

func TestSlack(t *testing.T) {
	t.Parallel()
	_, got := run(t, `{"url_secret":"HOOK","format":"slack","title":"Strikes & costs","text":"<!channel> rose","level":"warning","link":"https://example.com/r","fields":{"b":true,"a":{"x":1}}}`, `{"status":200,"headers":{},"body":"ok"}`)
	const want = `{"text":"Strikes &amp; costs","attachments":[{"color":"#f59e0b","blocks":[` +
		`{"type":"section","text":{"type":"mrkdwn","text":"*Strikes &amp; costs*\n&lt;!channel&gt; rose\n<https://example.com/r>"}},` +
		`{"type":"section","fields":[{"type":"mrkdwn","text":"*a*\n{\"x\":1}"},{"type":"mrkdwn","text":"*b*\ntrue"}]},` +
		`{"type":"context","elements":[{"type":"mrkdwn","text":"strikes / tell, run 01M"}]}]}]}`
	if got.body != want || got.URL != "https://hooks.example.com/T0/s3cret" || got.Headers["webhook-id"] != "" {
		t.Errorf("got %+v\nwant %s", got, want)
	}
}

func TestDiscord(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("é", 5000)
	_, got := run(t, `{"url":"https://example.com/x","format":"discord","title":"Done","text":"`+long+`","level":"success","fields":{"rows":3,"none":null}}`, ok)
	want := `{"embeds":[{"title":"Done","description":"` + long[:2*4095] + `…","color":1483594,` +
		`"fields":[{"name":"none","value":"–","inline":true},{"name":"rows","value":"3","inline":true}],"footer":{"text":"strikes / tell, run 01M"}}],"allowed_mentions":{"parse":[]}}`
	if got.body != want {
		t.Errorf("got %s\nwant %s", got.body, want)
	}
}

func TestEndings(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		with, answer string
		kind         abi.Kind
		after        time.Duration
		says         string
	}{
		"busy":             {`{"url_secret":"HOOK","text":"a"}`, `{"status":429,"headers":{"retry-after":"3"}}`, abi.KindRetry, 3 * time.Second, "https://hooks.example.com: the server answered 429"},
		"broken":           {`{"url_secret":"HOOK","text":"a"}`, `{"status":502,"headers":{}}`, abi.KindRetry, 0, "502"},
		"gone":             {`{"url_secret":"HOOK","text":"a"}`, `{"status":404,"headers":{},"body":"no_team"}`, abi.KindPermanent, 0, "404: no_team"},
		"no answer":        {`{"url":"https://example.com","text":"a"}`, "", abi.KindRetry, 0, ""},
		"moved":            {`{"url":"https://example.com","text":"a"}`, `{"status":302,"headers":{}}`, abi.KindPermanent, 0, "302"},
		"a hidden secret":  {`{"url_secret":"OTHER","text":"a"}`, ok, abi.KindPermanent, 0, "not exposed"},
		"no key":           {`{"url":"https://example.com","text":"a","sign":"HOOK"}`, ok, abi.KindPermanent, 0, "the secret HOOK: it is no key"},
		"two URLs":         {`{"url":"https://example.com","url_secret":"HOOK","text":"a"}`, ok, abi.KindPermanent, 0, "give url, or url_secret"},
		"no URL":           {`{"url":"example","text":"a"}`, ok, abi.KindPermanent, 0, "not the URL"},
		"a URL is no key":  {`{"url_secret":"KEY","text":"a"}`, ok, abi.KindPermanent, 0, "the secret KEY holds no URL"},
		"nothing":          {`{"url":"https://example.com"}`, ok, abi.KindPermanent, 0, "nothing to tell"},
		"a format":         {`{"url":"https://example.com","text":"a","format":"irc"}`, ok, abi.KindPermanent, 0, "none of webhook"},
		"a level":          {`{"url":"https://example.com","text":"a","level":"fatal"}`, ok, abi.KindPermanent, 0, "none of info"},
		"data for people":  {`{"url":"https://example.com","text":"a","format":"slack","data":1}`, ok, abi.KindPermanent, 0, "for the format webhook"},
		"an unknown input": {`{"url":"https://example.com","message":"a"}`, ok, abi.KindPermanent, 0, `unknown field "message"`},
	} {
		result, _ := run(t, c.with, c.answer)
		v := result.Verdict
		if v.Kind != c.kind || v.RetryAfter != c.after || !strings.Contains(v.Message, c.says) {
			t.Errorf("%s: got %+v, want %s after %s with %q", name, v, c.kind, c.after, c.says)
		}
		if strings.Contains(v.Message, "s3cret") || strings.Contains(v.Message, "MDEyMzQ1") {
			t.Errorf("%s: the message tells a secret: %q", name, v.Message)
		}
	}
}
