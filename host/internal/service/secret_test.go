package service_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"strings"
	"testing"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/service"
	"github.com/uniflow-dev/uniflow/sdk/abi"
)

const canary = "cAnary-s3cr3t/value+42=="

// bound is a plugin with a secret for one origin, and one that it may read.
func bound(lines ...string) flow.PlanPlugin {
	p := granted(lines...)
	p.Secrets = map[string]flow.SecretBinding{
		"TOKEN": {To: "https://api.example.com", Header: "Authorization: Bearer {}"},
		"OTHER": {To: "https://other.example.com", Header: "X-Key: {}"},
		"OPEN":  {Expose: true},
	}
	return p
}

func secretive(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	w.secrets["TOKEN"], w.secrets["OTHER"], w.secrets["OPEN"] = canary, "other-s3cr3t", "open-s3cr3t"
	return w
}

// authorization returns what each request to the servers has carried.
func (w *world) carried() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var all []string
	for _, r := range w.seen {
		all = append(all, r.Host+" "+r.Header.Get("Authorization")+" "+r.Header.Get("X-Key"))
	}
	w.seen = nil
	return all
}

// Promise: a bound secret reaches the server to which it is bound, at every hop anew, and no other.
func TestSecretIsFilledInForItsOriginAlone(t *testing.T) {
	t.Parallel()
	w := secretive(t)
	a := w.guestOf(t, bound("https://*.example.com/*", "http://api.example.com/*"), flow.Limits{})
	for _, c := range []struct {
		url  string
		want []string
	}{
		{"https://api.example.com/x", []string{"api.example.com Bearer " + canary + " "}},
		{"https://third.example.com/x", []string{"third.example.com  "}},
		{"http://api.example.com/x", []string{"api.example.com  "}},
		{"https://api.example.com/to?u=/x", []string{"api.example.com Bearer " + canary + " ", "api.example.com Bearer " + canary + " "}},
		{"https://api.example.com/to?u=https://other.example.com/x", []string{"api.example.com Bearer " + canary + " ", "other.example.com  other-s3cr3t"}},
		{"https://api.example.com/to?u=https://third.example.com/x", []string{"api.example.com Bearer " + canary + " ", "third.example.com  "}},
		{"https://third.example.com/to?u=https://api.example.com/x", []string{"third.example.com  ", "api.example.com Bearer " + canary + " "}},
	} {
		if got, err := a.get(t, fmt.Sprintf(`{"url":%q}`, c.url)); err != nil || got.Status != 200 {
			t.Errorf("%s: %+v, %v", c.url, got, err)
		}
		if got := w.carried(); strings.Join(got, "|") != strings.Join(c.want, "|") {
			t.Errorf("%s carried %q, want %q", c.url, got, c.want)
		}
	}
	_, err := a.get(t, `{"url":"https://api.example.com/x","headers":{"Authorization":"Bearer mine"}}`)
	if errnoOf(t, err) != abi.Denied || !strings.Contains(err.Error(), `from secret "TOKEN"`) || len(w.carried()) != 0 {
		t.Errorf("got %v", err)
	}
	_, err = a.get(t, fmt.Sprintf(`{"url":"https://api.example.com/to?u=%s"}`, url.QueryEscape("https://third.example.com/?t="+url.QueryEscape(canary))))
	if errnoOf(t, err) != abi.Denied || strings.Contains(err.Error(), "cAnary") {
		t.Errorf("a redirect carries a secret elsewhere: %v", err)
	}
}

// Promise: what a server says of a secret, the guest does not hear.
func TestGuestNeverSeesABoundSecret(t *testing.T) {
	t.Parallel()
	w := secretive(t)
	a := w.guestOf(t, bound("* https://api.example.com/*"), flow.Limits{Artifacts: flow.MiB})
	for _, request := range []string{
		`{"url":"https://api.example.com/echo"}`, `{"url":"https://api.example.com/gzip"}`, `{"method":"HEAD","url":"https://api.example.com/echo"}`, `{"url":"https://api.example.com/echo","artifact":"x"}`, `{"url":"https://api.example.com/hop?n=3"}`,
	} {
		doc, err := a.Call(t.Context(), abi.OpHTTPRequest, []byte(request), nil)
		if err != nil {
			t.Errorf("%s: %v", request, err)
		}
		for _, form := range []string{canary, base64.StdEncoding.EncodeToString([]byte(canary)), "cAnary"} {
			if strings.Contains(string(doc), form) {
				t.Errorf("%s: the guest sees %s", request, doc)
			}
		}
		if !strings.Contains(request, "HEAD") && !strings.Contains(request, "artifact") && !strings.Contains(string(doc), "[secret TOKEN]") {
			t.Errorf("%s: nothing is masked in %s", request, doc)
		}
	}
	w.store.mu.Lock()
	defer w.store.mu.Unlock()
	for _, content := range w.store.held {
		if strings.Contains(string(content), "cAnary") || !strings.Contains(string(content), "[secret TOKEN]") {
			t.Errorf("the artifact holds %s", content)
		}
	}
}

// Promise: a secret is read each time that it is needed, so that a new one holds at once, and both are masked.
func TestSecretChangesWithoutANewStart(t *testing.T) {
	t.Parallel()
	w := secretive(t)
	a := w.guestOf(t, bound("https://api.example.com/*"), flow.Limits{})
	for _, value := range []string{canary, "a-new-s3cr3t"} {
		w.mu.Lock()
		w.secrets["TOKEN"] = value
		w.mu.Unlock()
		if got := a.echo(t, `{"url":"https://api.example.com/x"}`); got.Headers.Get("Authorization") != "Bearer [secret TOKEN]" {
			t.Errorf("the guest sees %+v", got)
		}
		if got := w.carried(); got[0] != "api.example.com Bearer "+value+" " {
			t.Errorf("carried %q", got)
		}
	}
	a.Log(flow.LogInfo, canary+" a-new-s3cr3t")
	if got := a.lines[0].Message; got != "[secret TOKEN] [secret TOKEN]" {
		t.Errorf("the log holds %q", got)
	}
}

func TestSecretThatCannotBeUsedIsNamed(t *testing.T) {
	t.Parallel()
	w := secretive(t)
	a := w.guestOf(t, bound("https://api.example.com/*"), flow.Limits{})
	for value, want := range map[string]string{
		"":                        `secret "TOKEN" cannot be read (UF5113): there is no such file in secrets`,
		"short":                   `secret "TOKEN" has 5 bytes`,
		"two\nlines of a secret":  `secret "TOKEN" cannot be sent in a header`,
		strings.Repeat("x", 9000): `secret "TOKEN" cannot be sent in a header`,
		"not-ascii-\u00e4\u00f6":  `secret "TOKEN" cannot be sent in a header`,
	} {
		w.mu.Lock()
		w.secrets["TOKEN"] = value
		w.mu.Unlock()
		_, err := a.get(t, `{"url":"https://api.example.com/x"}`)
		if errnoOf(t, err) != abi.Unavailable || !strings.Contains(err.Error(), want) || value != "" && strings.Contains(err.Error(), value) {
			t.Errorf("%.20q: got %v, want %s", value, err, want)
		}
	}
	if len(w.carried()) != 0 {
		t.Error("a request was sent without its secret")
	}
}

func TestOnlyExposedSecretsAreRead(t *testing.T) {
	t.Parallel()
	w := secretive(t)
	a := w.guestOf(t, bound(), flow.Limits{})
	got, err := a.Call(t.Context(), abi.OpSecretGet, []byte(`{"name":"OPEN"}`), nil)
	if err != nil || string(got) != `{"value":"open-s3cr3t"}` {
		t.Errorf("got %s, %v", got, err)
	}
	var messages []string
	for _, name := range []string{"TOKEN", "NONE", "", "../OPEN", "open"} {
		_, err := a.Call(t.Context(), abi.OpSecretGet, fmt.Appendf(nil, `{"name":%q}`, name), nil)
		if errnoOf(t, err) != abi.Denied {
			t.Errorf("%q: got %v", name, err)
		}
		messages = append(messages, strings.ReplaceAll(err.Error(), name, ""))
	}
	if messages[0] != messages[1] {
		t.Errorf("a bound secret and one that is not there can be told apart: %q, %q", messages[0], messages[1])
	}
	w.mu.Lock()
	w.secrets["OPEN"] = ""
	w.mu.Unlock()
	if _, err := a.Call(t.Context(), abi.OpSecretGet, []byte(`{"name":"OPEN"}`), nil); errnoOf(t, err) != abi.Unavailable || !strings.Contains(err.Error(), "UF5113") {
		t.Errorf("got %v", err)
	}
}

// saying is a module that says something and ends as it is told.
type saying struct {
	result flow.Result
	err    error
}

func (s saying) Call(context.Context, flow.Call, flow.HostCalls) (flow.Result, error) {
	return s.result, s.err
}

// Promise: a secret leaves an attempt by none of its ways out, exposed ones included.
func TestNothingThatIsRecordedHoldsASecret(t *testing.T) {
	t.Parallel()
	w := secretive(t)
	plugin := bound("https://api.example.com/*")
	plugin.Grant.State, plugin.Grant.Event = true, true
	a := w.guestOf(t, plugin, flow.Limits{})
	for _, secret := range []string{canary, "open-s3cr3t"} {
		for op, request := range map[string]string{
			abi.OpStateSet: fmt.Sprintf(`{"key":%q,"value":{"x":[%q]}}`, secret, secret), abi.OpEventEmit: fmt.Sprintf(`{"type":"com.example.x","subject":%q,"data":{%q:1}}`, secret, secret),
		} {
			if _, err := a.Call(t.Context(), op, []byte(request), nil); err != nil {
				t.Errorf("%s: %v", op, err)
			}
		}
		a.Log(flow.LogInfo, "whole "+secret)
		a.Log(flow.LogInfo, "base64 "+base64.StdEncoding.EncodeToString([]byte("x"+secret)))
		a.Log(flow.LogWarn, "half "+secret[:8])
		a.Log(flow.LogWarn, secret[8:]+" other half")
		a.Log(flow.LogWarn, secret[:2])
		a.Log(flow.LogWarn, secret[2:5])
		a.Log(flow.LogWarn, secret[5:])
		a.Progress(1, "progress "+secret)
		if ref, err := a.Artifact(t.Context(), secret, "text/"+secret, strings.NewReader("x")); err != nil || strings.Contains(ref.Type, secret) {
			t.Errorf("got %+v, %v", ref, err)
		}
		if _, err := a.Call(t.Context(), secret, nil, nil); err == nil || strings.Contains(err.Error(), secret) {
			t.Errorf("got %v", err)
		}
		m := service.Guard(saying{result: flow.Result{Verdict: flow.VerdictFailed, Code: secret, Message: "failed: " + secret, Outputs: map[string]json.RawMessage{secret: json.RawMessage(`{"x":["` + secret + `"]}`), "n": json.RawMessage(`1.50`)}}})
		result, err := m.Call(t.Context(), flow.Call{}, a.HostCalls)
		doc, _ := json.Marshal(result)
		if err != nil || strings.Contains(string(doc), secret) || string(result.Outputs["n"]) != "1.50" || len(result.Outputs) != 2 {
			t.Errorf("got %s, %v", doc, err)
		}
		m = service.Guard(saying{err: &flow.Fault{Reason: flow.ReasonPanic, Message: secret, Hint: secret, Err: fmt.Errorf("cause %s", secret)}})
		_, err = m.Call(t.Context(), flow.Call{}, a.HostCalls)
		if text := fmt.Sprintf("%+v", err); strings.Contains(text, secret) || !strings.Contains(text, "[secret ") {
			t.Errorf("got %s", text)
		}
	}
	a.end()
	var all []string
	for _, l := range a.lines {
		all = append(all, l.Message)
	}
	log := strings.Join(append(all, a.beats...), "")
	for _, part := range []string{canary, canary[:8], canary[9:], "open-s3cr3t", "open-s3c", base64.RawStdEncoding.EncodeToString([]byte(canary))[:12]} {
		if strings.Contains(log, part) {
			t.Errorf("%q is left in %q", part, all)
		}
	}
	if len(a.lines) != 14 || a.lines[3].Message != "[secret TOKEN] other half" {
		t.Errorf("%d lines: %q", len(a.lines), all)
	}
}

func TestLinesKeepTheirOrderAndLimitUnderAVeil(t *testing.T) {
	t.Parallel()
	w := secretive(t)
	a := w.guestOf(t, bound(), flow.Limits{Log: 100})
	a.Log(flow.LogInfo, "one "+canary[:6])
	if len(a.lines) != 0 {
		t.Errorf("a line is kept that may go on: %+v", a.lines)
	}
	a.Log(flow.LogError, "two")
	for range 20 {
		a.Log(flow.LogInfo, "0123456789")
	}
	a.end()
	if len(a.lines) != 11 || a.lines[0].Message != "one "+canary[:6] || a.lines[1].Level != flow.LogError || a.lines[10].Dropped != 12 {
		t.Errorf("%d lines: %+v", len(a.lines), a.lines)
	}
}

func TestStreamOfAnArtifactIsMaskedNotHeld(t *testing.T) {
	t.Parallel()
	w := secretive(t)
	a := w.guestOf(t, bound("https://api.example.com/*"), flow.Limits{Artifacts: 64 * flow.MiB})
	got, err := a.get(t, fmt.Sprintf(`{"url":"https://api.example.com/size?n=%d","artifact":"x"}`, 30<<20))
	if err != nil || got.Artifact.Size != 30<<20 {
		t.Fatalf("got %+v, %v", got, err)
	}
	r, err := a.Open(t.Context(), *got.Artifact)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if n, err := io.Copy(io.Discard, r); err != nil || n != 30<<20 {
		t.Errorf("read %d bytes, %v", n, err)
	}
}
