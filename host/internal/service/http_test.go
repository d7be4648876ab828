package service_test

import (
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/sdk/abi"
)

// Promise: what a grant covers is sent as the guest asks for it, and the answer is the server's.
func TestRequestsThatAreGrantedAreSent(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.guestOf(t, granted("* https://api.example.com/*", "http://api.example.com/plain", "HEAD https://*.example.com/head"), flow.Limits{})
	got := a.echo(t, `{"method":"POST","url":"https://API.example.com:443/v1/%7Eitems?q=a%2Fb&r=%C3%A4","headers":{"X-One":"1","content-type":"text/csv"},"body":"a,b"}`)
	if got.Method != http.MethodPost || got.Host != "api.example.com" || got.URI != "/v1/~items?q=a%2Fb&r=%C3%A4" || got.Body != "a,b" ||
		got.Headers.Get("X-One") != "1" || got.Headers.Get("Content-Type") != "text/csv" || got.Headers.Get("User-Agent") != "uniflow/v9" || got.Headers.Get("Content-Length") != "3" {
		t.Errorf("the server saw %+v", got)
	}
	if got := a.echo(t, `{"method":"PUT","url":"https://api.example.com/x","body_base64":"AAH/"}`); got.Body != "\x00\x01\ufffd" {
		t.Errorf("the server saw %+v", got)
	}
	if got := a.echo(t, `{"method":"PUT","url":"https://api.example.com/x","headers":{"User-Agent":"mine"}}`, 'r', 'a', 'w'); got.Body != "raw" || got.Headers.Get("User-Agent") != "mine" {
		t.Errorf("the server saw %+v", got)
	}
	if got := a.echo(t, `{"url":"http://api.example.com/plain"}`); got.Method != http.MethodGet || got.Body != "" {
		t.Errorf("the server saw %+v", got)
	}
	if head, err := a.get(t, `{"method":"HEAD","url":"https://other.example.com/head"}`); err != nil || head.Status != 200 || *head.Body != "" || head.Headers["set-cookie"] != "a=1, b=2" {
		t.Errorf("got %+v, %v", head, err)
	}
	if got, err := a.get(t, `{"url":"https://api.example.com/status"}`); err != nil || got.Status != 418 {
		t.Errorf("a status is no error: got %+v, %v", got, err)
	}
	if got, err := a.get(t, `{"url":"https://api.example.com/binary"}`); err != nil || got.Body != nil || *got.BodyBase64 != "/wD+" {
		t.Errorf("got %+v, %v", got, err)
	}
	if got, err := a.get(t, `{"url":"https://api.example.com/gzip"}`); err != nil || *got.Body != "unzipped " || got.Headers["content-encoding"] != "" || got.Headers["content-length"] != "" {
		t.Errorf("got %+v, %v", got, err)
	}
	if w.hits.Load() != 0 {
		t.Error("the canary was reached")
	}
}

func TestBodyIsStoredAsArtifact(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.guestOf(t, granted("https://api.example.com/*"), flow.Limits{Artifacts: 20 * flow.MiB})
	got, err := a.get(t, fmt.Sprintf(`{"url":"https://api.example.com/size?n=%d","artifact":"rows.csv"}`, 12<<20))
	if err != nil || got.Artifact == nil || got.Artifact.Size != 12<<20 || got.Artifact.Type != "text/csv" || got.Body != nil || len(a.put) != 1 {
		t.Fatalf("got %+v, %v", got, err)
	}
	if _, err := a.get(t, fmt.Sprintf(`{"url":"https://api.example.com/size?n=%d","artifact":"more.csv"}`, 12<<20)); errnoOf(t, err) != abi.TooLarge || !strings.Contains(err.Error(), "limits.artifacts") {
		t.Errorf("got %v", err)
	}
}

// Promise: this machine and private networks are reached by a grant that names the very address, or localhost.
func TestOperatorCanNameAnAddressOfThisMachine(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, c := range []struct{ grant, url string }{
		{"http://127.0.0.1:8080/*", "http://127.0.0.1:8080/x"},
		{"http://localhost:81/*", "http://localhost:81/x"},
		{"http://[::1]/*", "http://[0::1]/x"},
		{"http://10.1.2.3/*", "http://10.1.2.3/x"},
		{"http://169.254.169.254/latest/*", "http://169.254.169.254/latest/x"},
	} {
		a := w.guestOf(t, granted(c.grant), flow.Limits{})
		before := w.hits.Load()
		if got := a.echo(t, fmt.Sprintf(`{"url":%q}`, c.url)); got.Method != http.MethodGet || w.hits.Load() != before+1 {
			t.Errorf("%s: %+v", c.url, got)
		}
	}
}

func TestRedirectsAreFollowedUnderTheGrants(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.guestOf(t, granted("* https://api.example.com/*", "* https://other.example.com/*", "https://third.example.com/*"), flow.Limits{})
	to := func(method, target string, status int) string {
		return fmt.Sprintf(`{"method":%q,"url":"https://api.example.com/to?status=%d&u=%s","headers":{"Authorization":"Basic x","Cookie":"c=1","X-Api-Key":"k","Accept":"text/csv","Content-Type":"text/plain"},"body":"b"}`, method, status, target)
	}
	for _, c := range []struct {
		request, method, host, uri, body string
		kept                             bool
	}{
		{to("POST", "/next?x=1", 302), "GET", "api.example.com", "/next?x=1", "", true},
		{to("POST", "next", 303), "GET", "api.example.com", "/next", "", true},
		{to("PUT", "https://api.example.com/next%23frag", 301), "PUT", "api.example.com", "/next", "b", true},
		{to("POST", "/a/../next", 307), "POST", "api.example.com", "/next", "b", true},
		{to("POST", "//other.example.com/next", 308), "POST", "other.example.com", "/next", "b", false},
		{to("POST", "https://third.example.com/next", 302), "GET", "third.example.com", "/next", "", false},
	} {
		got := a.echo(t, c.request)
		kept := got.Headers.Get("Authorization") == "Basic x" && got.Headers.Get("Cookie") == "c=1" && got.Headers.Get("X-Api-Key") == "k"
		gone := got.Headers.Get("Authorization")+got.Headers.Get("Cookie")+got.Headers.Get("X-Api-Key") == ""
		if got.Method != c.method || got.Host != c.host || got.URI != c.uri || got.Body != c.body || kept != c.kept || gone == c.kept ||
			got.Headers.Get("Accept") != "text/csv" || (got.Headers.Get("Content-Type") != "") != (c.body != "") {
			t.Errorf("%s\nthe server saw %+v", c.request, got)
		}
	}
	if got := a.echo(t, `{"url":"https://api.example.com/hop?n=5"}`); got.URI != "/hop?n=0" {
		t.Errorf("the server saw %+v", got)
	}
	if got, err := a.get(t, `{"url":"https://api.example.com/to?status=304&u=/x"}`); err != nil || got.Status != 304 {
		t.Errorf("got %+v, %v", got, err)
	}
	if got, err := a.get(t, `{"url":"https://api.example.com/to?status=302&u="}`); err != nil || got.Status != 302 {
		t.Errorf("got %+v, %v", got, err)
	}
}

// Promise: a server that sends too much, or never ends, costs a bounded time and a bounded memory, and the guest is told
// which bound it was.
func TestAnswersAreBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.guestOf(t, granted("* https://api.example.com/*"), flow.Limits{Artifacts: flow.MiB})
	for _, c := range []struct {
		request string
		want    abi.Errno
		text    string
	}{
		{`{"url":"https://api.example.com/bomb"}`, abi.TooLarge, "larger than 8MiB"},
		{`{"url":"https://api.example.com/bomb","artifact":"x"}`, abi.TooLarge, "limits.artifacts, 1MiB"},
		{`{"url":"https://api.example.com/endless"}`, abi.TooLarge, "larger than 8MiB"},
		{`{"url":"https://api.example.com/endless","artifact":"x"}`, abi.TooLarge, "limits.artifacts, 1MiB"},
		{`{"url":"https://api.example.com/drip","timeout_ms":60}`, abi.Unavailable, "GET https://api.example.com/drip gave no whole answer within 60ms"},
		{`{"url":"https://api.example.com/drip","timeout_ms":60,"artifact":"x"}`, abi.Unavailable, "within 60ms"},
		{`{"url":"https://api.example.com/silent","timeout_ms":60}`, abi.Unavailable, "within 60ms"},
		{`{"url":"https://api.example.com/header"}`, abi.TooLarge, "header of the answer"},
		{`{"url":"https://api.example.com/brotli"}`, abi.Unavailable, `in the encoding "br"`},
		{`{"url":"https://api.example.com/half"}`, abi.Unavailable, "unexpected EOF"},
		{`{"url":"https://api.example.com/hop?n=6"}`, abi.Unavailable, "redirected more than 5 times"},
		{`{"url":"https://api.example.com:444/hop?n=6"}`, abi.Denied, "no grant"},
		{`{"url":"https://gone.api.example.com/"}`, abi.Denied, "no grant"},
	} {
		start := time.Now()
		got, err := a.get(t, c.request)
		if err == nil || errnoOf(t, err) != c.want || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: got %+v, %v, want %s with %q", c.request, got.Status, err, c.want.Name(), c.text)
		}
		if took := time.Since(start); took > 20*time.Second {
			t.Errorf("%s took %s", c.request, took)
		}
	}
}

func TestBudgetsOfAnAttempt(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.guestOf(t, granted("* http://api.example.com/*"), flow.Limits{Artifacts: flow.MiB})
	for i := range 1000 {
		if got, err := a.get(t, `{"url":"http://api.example.com/status"}`); err != nil || got.Status != 418 {
			t.Fatalf("request %d: %+v, %v", i, got, err)
		}
	}
	if _, err := a.get(t, `{"url":"http://api.example.com/status"}`); errnoOf(t, err) != abi.Quota || !strings.Contains(err.Error(), "1000 HTTP requests") {
		t.Errorf("got %v", err)
	}
	b := w.guestOf(t, granted("* http://api.example.com/*"), flow.Limits{Artifacts: flow.MiB})
	var err error
	for sum := 0; err == nil && sum < 400<<20; sum += 8 << 20 {
		_, err = b.get(t, `{"method":"POST","url":"http://api.example.com/sink"}`, make([]byte, 8<<20)...)
	}
	if errnoOf(t, err) != abi.Quota || !strings.Contains(err.Error(), "traffic") {
		t.Errorf("got %v", err)
	}
}

// Promise: a refusal names the URL, without its query, and the line that would allow it.
func TestRefusalNamesTheLineThatIsMissing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.guestOf(t, granted("https://api.example.com/v1/*"), flow.Limits{})
	_, err := a.get(t, `{"method":"POST","url":"https://api.example.com/v1/items?key=hidden"}`)
	var refusal *flow.ServiceError
	want := flow.ServiceError{
		Errno: 1, Code: "denied", Message: `no grant of plugin "clean" covers POST https://api.example.com/v1/items`,
		Hint: `where it is meant, add to grant.http of the plugin: http = ["POST https://api.example.com/v1/items"]`,
	}
	if !errors.As(err, &refusal) || !reflect.DeepEqual(*refusal, want) {
		t.Errorf("got %+v\nwant %+v", refusal, want)
	}
}
