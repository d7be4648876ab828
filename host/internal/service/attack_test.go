package service_test

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/sdk/abi"
)

// attack is a request that must not reach the canary, and how it is refused.
type attack struct {
	name    string
	request map[string]any
	want    abi.Errno
}

func to(url string) map[string]any { return map[string]any{"url": url} }

// addressesInside are what a hostile resolver may answer.
func addressesInside() []string {
	return []string{
		"0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "100.100.100.200", "127.0.0.1", "127.1.2.3", "168.63.129.16", "169.254.169.254", "169.254.170.2", "172.16.0.1", "192.0.0.192", "192.0.2.1",
		"192.88.99.1", "192.168.0.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1", "240.0.0.1", "255.255.255.255",
		"::", "::1", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "::ffff:10.0.0.1", "::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::7f00:1", "100::1", "2001::7f00:1", "2001:db8::1",
		"2002:7f00:1::", "2002:a9fe:a9fe::1", "3fff::1", "fc00::1", "fd00:ec2::254", "fe80::1", "fe80::a9fe:a9fe%eth0", "ff02::1", "2a00::5efe:7f00:1",
	}
}

// ambiguous are URLs by which some program reaches this machine, or the metadata service of a cloud.
func ambiguous() []string {
	return []string{
		"http://127.1/", "http://127.0.1/", "http://2130706433/", "http://0x7f000001/", "http://0x7f.0.0.1/", "http://0177.0.0.1/", "http://017700000001/", "http://127.0.0.1./", "http://0/", "http://127.0.0.01/",
		"http://[::ffff:127.0.0.1]/", "http://[::ffff:7f00:1]/", "http://[::1%25lo]/", "http://[::1%lo]/", "http://[127.0.0.1]/", "http://[::1/", "http://::1/",
		"http://localhost./", "http://LOCALHOST./", "http://loc%61lhost/", "http://①②⑦.0.0.1/", "http://127。0。0。1/", "http://ⓛocalhost/", "http://intranet/", "http://metadata/",
		"https://api.example.com@127.0.0.1/", "https://api.example.com:443@127.0.0.1/", "https://api.example.com%00.evil.example/", "https://api.example.com\\@127.0.0.1/", "https://api.example.com#@127.0.0.1/", "https://api.example.com\t@127.0.0.1/",
		"https://127.0.0.1\r\nHost: api.example.com/", "http:127.0.0.1", "http:/127.0.0.1/", "http:///127.0.0.1/", "//127.0.0.1/", "http://127.0.0.1:0/", "http://127.0.0.1:080/", "http://127.0.0.1:65616/",
		"file:///etc/passwd", "gopher://127.0.0.1:6379/_INFO", "unix:///var/run/docker.sock", "ftp://127.0.0.1/", "data:text/plain,x", "ws://127.0.0.1/", "HTTP+unix://x/",
		"https://bücher.example.com/", "https://api.example.com./", "https://api..example.com/",
	}
}

// pastGrants are requests that come close to what is granted.
func pastGrants() []string {
	return []string{
		"http://127.0.0.1/", "https://[::1]/", "http://localhost/", "https://localhost:443/", "http://0x7f.example.com/", "http://169.254.169.254/latest/meta-data/", "https://93.184.216.34/",
		"http://api.example.com/v1/x", "https://api.example.com:8443/v1/x", "https://api.example.com/v2/x", "https://api.example.com/v1", "https://api.example.com//v1/x", "https://evil.example/v1/x",
		"https://api.example.com.evil.example/v1/x", "https://xapi.example.com.evil.example/v1/x", "https://example.com/v1/x",
	}
}

// walks leave the path that is granted, for some server.
func walks() []string {
	return []string{
		"/v1/../admin", "/v1/./x", "/v1/%2e%2e/admin", "/v1/.%2e/admin", "/v1/..;/admin", "/v1/..%2fadmin", "/v1/%2fadmin", "/v1/..%5cadmin", "/v1/..\\admin", "/v1/%252e%252e/admin", "/v1/%252fadmin", "/v1/%00", "/v1/%0d%0aX-Y:z",
		"/v1/ x", "/v1/\r\nX-Y: z", "/v1/\x00", "/v1/é", "/v1/%u002e", "/v1/%", "/v1/x#/../../admin",
	}
}

func attacksByURL() []attack {
	var all []attack
	for _, u := range ambiguous() {
		all = append(all, attack{"ambiguous " + u, to(u), abi.Invalid})
	}
	for _, u := range pastGrants() {
		all = append(all, attack{"past the grants: " + u, to(u), abi.Denied})
	}
	for _, path := range walks() {
		all = append(all, attack{"walk " + path, to("https://api.example.com" + path), abi.Invalid})
	}
	for i, addr := range addressesInside() {
		all = append(all, attack{"a name at " + addr, to(fmt.Sprintf("https://in%d.example.com/v1/x", i)), abi.Denied})
	}
	return all
}

func attacksByRequest() []attack {
	request := func(name string, value any) map[string]any {
		return map[string]any{"url": "https://api.example.com/v1/x", name: value}
	}
	var all []attack
	for _, header := range []string{
		"Host", "host", "Connection", "Keep-Alive", "Transfer-Encoding", "transfer_encoding", "Content-Length", "Content_Length", "Proxy-Authorization", "Proxy-Connection", "TE", "Trailer", "Upgrade", "Expect",
		"Accept-Encoding", "HTTP2-Settings", "X-HTTP-Method-Override", "X-HTTP-Method", "x_method_override", "X-Original-URL", "x-rewrite-url", "", "a b", "a:b", "a\r\nb", "a\x00", "é", "Host ",
	} {
		all = append(all, attack{fmt.Sprintf("header %q", header), request("headers", map[string]string{header: "x"}), abi.Invalid})
	}
	for _, value := range []string{"x\r\nHost: 127.0.0.1", "x\nX: y", "x\ry", "x\x00y", "x\x7f", "é", "x\r\n\r\nGET / HTTP/1.1\r\nHost: x"} {
		all = append(all, attack{fmt.Sprintf("value %q", value), request("headers", map[string]string{"X-A": value}), abi.Invalid})
	}
	for _, method := range []string{"CONNECT", "TRACE", "get", "GET /admin HTTP/1.1\r\nX:", "GET ", "PURGE", "\x00", "PRI"} {
		all = append(all, attack{fmt.Sprintf("method %q", method), request("method", method), abi.Invalid})
	}
	for _, method := range []string{"POST", "PUT", "PATCH", "DELETE", "OPTIONS"} {
		all = append(all, attack{"method that is not granted: " + method, request("method", method), abi.Denied})
	}
	many := map[string]string{}
	for i := range 65 {
		many[fmt.Sprintf("X-%d", i)] = "x"
	}
	return append(all,
		attack{"a header twice", request("headers", map[string]string{"X-A": "1", "x-a": "2"}), abi.Invalid},
		attack{"a header in two spellings", request("headers", map[string]string{"X-A": "1", "X_A": "2"}), abi.Invalid},
		attack{"too many headers", request("headers", many), abi.TooLarge},
		attack{"a long header", request("headers", map[string]string{"X": strings.Repeat("x", 9000)}), abi.Invalid},
		attack{"long headers", request("headers", map[string]string{"X": strings.Repeat("x", 8000), "Y": strings.Repeat("x", 8000), "Z": strings.Repeat("x", 8000), "A": strings.Repeat("x", 8000), "B": strings.Repeat("x", 8000)}), abi.TooLarge},
		attack{"two bodies", map[string]any{"url": "https://api.example.com/v1/x", "body": "a", "body_base64": "YQ=="}, abi.Invalid},
		attack{"no base64", request("body_base64", "%%%"), abi.Invalid},
		attack{"headers that are no object", request("headers", []string{"x"}), abi.Invalid},
		attack{"a URL that is no text", map[string]any{"url": 1}, abi.Invalid},
		attack{"the header that a secret fills", request("headers", map[string]string{"authorization": "Bearer mine"}), abi.Denied},
		attack{"its other spelling", request("headers", map[string]string{"X_Key": "mine"}), abi.Denied},
	)
}

// attacksByRedirect let a server that is granted lead the host elsewhere.
func attacksByRedirect() []attack {
	var all []attack
	redirect := func(name, location string, status int, want abi.Errno) {
		all = append(all, attack{name, to(fmt.Sprintf("https://api.example.com/to?status=%d&u=%s", status, escape(location))), want})
	}
	for _, u := range []string{
		"http://127.0.0.1/", "https://127.0.0.1/v1/x", "https://[::1]/", "https://localhost/", "http://169.254.169.254/latest/", "https://evil.example/", "https://api.example.com/v2/x", "//evil.example/v1/x", "/admin",
		"/v1/../admin", "https://api.example.com:8443/v1/x", "https://in5.example.com/v1/x", "https://rebind-by-redirect.example.com:8443/v1/x",
	} {
		redirect("redirect to "+u, u, 302, abi.Denied)
	}
	for _, u := range []string{
		"https://127.1/", "https://0x7f000001/", "https://2130706433/", "https://0177.0.0.1/", "https://[::ffff:127.0.0.1]/", "https://user@127.0.0.1/", "file:///etc/passwd", "gopher://127.0.0.1/", "\\\\127.0.0.1\\x", "/\\127.0.0.1/", "https:\\\\127.0.0.1/",
		"https://api.example.com\\@127.0.0.1/", "https://api.example.com/v1/%2e%2e/admin", "https://intranet/", "https://ⓛocalhost/", "javascript:alert(1)", "https:///x", "https://api.example.com/v1/x y", "http://[::1", "%zz",
	} {
		redirect("redirect to "+u, u, 307, abi.Invalid)
	}
	redirect("from https to http", "http://api.example.com/clear", 302, abi.Denied)
	all = append(all, attack{"redirect that keeps a method which is not granted there", map[string]any{"method": "POST", "url": "https://post.example.com/to?status=307&u=https://api.example.com/v1/x"}, abi.Denied})
	all = append(all, attack{"a chain that ends inside", to("https://api.example.com/to?u=" + escape("/to?u="+escape("/to?u="+escape("http://127.0.0.1/")))), abi.Denied})
	return all
}

func escape(text string) string {
	var b strings.Builder
	for _, c := range []byte(text) {
		fmt.Fprintf(&b, "%%%02X", c)
	}
	return b.String()
}

func corpus() []attack {
	return append(append(attacksByURL(), attacksByRequest()...), attacksByRedirect()...)
}

// Promise: no request of a guest, however it is written and wherever it is led, reaches this machine, a private network or
// a place that is not granted.
func TestAttacksReachNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.secrets["TOKEN"], w.secrets["KEY"] = "s3cr3t-value", "an0ther-value"
	w.names["post.example.com"] = w.names["api.example.com"]
	for i, addr := range addressesInside() {
		w.names[fmt.Sprintf("in%d.example.com", i)] = []netip.Addr{netip.MustParseAddr(addr)}
	}
	plugin := granted("https://api.example.com/v1/*", "https://api.example.com/to", "https://*.example.com/v1/*", "http://api.example.com/clear", "POST https://post.example.com/*")
	plugin.Secrets = map[string]flow.SecretBinding{
		"TOKEN": {To: "https://api.example.com", Header: "Authorization: Bearer {}"},
		"KEY":   {To: "https://api.example.com", Header: "X-Key: {}"},
	}
	attacks := corpus()
	if len(attacks) < 80 {
		t.Fatalf("the corpus has %d attacks", len(attacks))
	}
	for _, c := range attacks {
		a := w.guestOf(t, plugin, flow.Limits{})
		doc, err := json.Marshal(c.request)
		if err != nil {
			t.Fatal(err)
		}
		got, err := a.get(t, string(doc))
		if err == nil {
			t.Errorf("%s: answered with %d", c.name, got.Status)
			continue
		}
		if errno := errnoOf(t, err); errno != c.want {
			t.Errorf("%s: %s (%v), want %s", c.name, errno.Name(), err, c.want.Name())
		}
		if strings.ContainsAny(err.Error(), "\r\n\x00") || strings.Contains(err.Error(), "s3cr3t") {
			t.Errorf("%s: the message is %q", c.name, err)
		}
	}
	if hits := w.hits.Load(); hits != 0 {
		t.Errorf("the canary was reached %d times", hits)
	}
	a := w.guestOf(t, plugin, flow.Limits{}) // the same guest reaches what is granted
	if got := a.echo(t, `{"url":"https://api.example.com/v1/x"}`); got.URI != "/v1/x" {
		t.Errorf("the server saw %+v", got)
	}
}

// Promise: what is dialled is what was checked, so that a name which changes its address gains nothing: neither between
// the look and the connection, nor from one connection to the next.
func TestRebindingNameReachesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.names["rebind.example.com"] = []netip.Addr{netip.MustParseAddr(publicAddr)}
	w.names["mixed.example.com"] = []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr(publicAddr), netip.MustParseAddr("::1")}
	plugin := granted("https://*.example.com/*")
	if got := w.guestOf(t, plugin, flow.Limits{}).echo(t, `{"url":"https://rebind.example.com/x"}`); got.Host != "rebind.example.com" {
		t.Errorf("the server saw %+v", got)
	}
	if w.asked["rebind.example.com"] != 1 {
		t.Errorf("the name was resolved %d times for one connection", w.asked["rebind.example.com"])
	}
	if _, err := w.guestOf(t, plugin, flow.Limits{}).get(t, `{"url":"https://rebind.example.com/x"}`); errnoOf(t, err) != abi.Denied {
		t.Errorf("got %v", err)
	}
	if got := w.guestOf(t, plugin, flow.Limits{}).echo(t, `{"url":"https://mixed.example.com/x"}`); got.Host != "mixed.example.com" {
		t.Errorf("the server saw %+v", got)
	}
	if hits := w.hits.Load(); hits != 0 {
		t.Errorf("the canary was reached %d times", hits)
	}
}

// The canary sings when it is reached: without the check of addresses the corpus would fail.
func TestCanaryCanBeReached(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.guestOf(t, granted("http://127.0.0.1/*"), flow.Limits{})
	if got := a.echo(t, `{"url":"http://127.0.0.1/x"}`); got.URI != "/x" || w.hits.Load() != 1 {
		t.Errorf("%d hits, the canary saw %+v", w.hits.Load(), got)
	}
}

func TestGuestWithoutGrantReachesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.guestOf(t, flow.PlanPlugin{Name: "clean"}, flow.Limits{})
	if _, err := a.get(t, `{"url":"https://api.example.com/v1/x"}`); errnoOf(t, err) != abi.Denied {
		t.Errorf("got %v", err)
	}
	if w.asked["api.example.com"] != 0 {
		t.Error("a name was resolved for a guest without a grant")
	}
}
