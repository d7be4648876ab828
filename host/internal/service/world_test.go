package service_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/plugintest"
	"github.com/uniflow-dev/uniflow/host/internal/plugintest/guest"
	"github.com/uniflow-dev/uniflow/host/internal/service"
	"github.com/uniflow-dev/uniflow/sdk/abi"
)

// world is a small internet: names that a resolver of the test knows, servers at public addresses, and a canary at every
// other address, which nobody may reach.
type world struct {
	names   map[string][]netip.Addr
	asked   map[string]int // how often a name was resolved
	mu      sync.Mutex
	public  *httptest.Server // https at every public address
	plain   *httptest.Server // http at every public address
	canary  *httptest.Server
	hits    atomic.Int64 // connections to the canary
	seen    []*http.Request
	roots   *x509.CertPool
	secrets map[string]string
	store   *blobs
	quotas  service.Quotas
	passed  atomic.Int64 // bytes that attempts told of
	// mebibyte is one of zeros, in gzip.
	mebibyte []byte
}

const publicAddr = "93.184.216.34"

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{names: map[string][]netip.Addr{}, asked: map[string]int{}, secrets: map[string]string{}, store: newBlobs()}
	for _, name := range []string{"api.example.com", "other.example.com", "third.example.com"} {
		w.names[name] = []netip.Addr{netip.MustParseAddr(publicAddr)}
	}
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, _ = io.CopyN(z, zeros{}, 1<<20)
	_ = z.Close()
	w.mebibyte = packed.Bytes()
	certificate := w.certificate(t)
	w.public = httptest.NewUnstartedServer(http.HandlerFunc(w.serve))
	w.public.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}
	w.public.Config.ErrorLog = nil
	w.public.StartTLS()
	w.plain = httptest.NewServer(http.HandlerFunc(w.serve))
	w.canary = httptest.NewUnstartedServer(http.HandlerFunc(w.serve))
	w.canary.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			w.hits.Add(1)
		}
	}
	w.canary.Start()
	for _, s := range []*httptest.Server{w.public, w.plain, w.canary} {
		t.Cleanup(func() { s.CloseClientConnections(); s.Close() })
	}
	return w
}

// certificate is one for all names below example.com, and makes the world trust it.
func (w *world) certificate(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"*.example.com"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	w.roots = x509.NewCertPool()
	w.roots.AddCert(parsed)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// Resolve answers with a name's addresses; one that begins with "rebind" is public at first and this machine later.
func (w *world) Resolve(_ context.Context, name string) ([]netip.Addr, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asked[name]++
	if strings.HasPrefix(name, "rebind") && w.asked[name] > 1 {
		return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
	}
	if addrs := w.names[name]; addrs != nil {
		return addrs, nil
	}
	return nil, errors.New("no such host")
}

// Dial leads to the public servers, or to the canary.
func (w *world) Dial(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
	server := w.canary
	if to.Addr().String() == publicAddr {
		server = w.public
		if to.Port() == 80 {
			server = w.plain
		}
	}
	var d net.Dialer
	return d.DialContext(ctx, "tcp", server.Listener.Addr().String())
}

// serve is what every server does.
func (w *world) serve(rw http.ResponseWriter, r *http.Request) {
	w.mu.Lock()
	w.seen = append(w.seen, r.Clone(context.WithoutCancel(r.Context())))
	w.mu.Unlock()
	query := r.URL.Query()
	switch r.URL.Path {
	case "/to":
		status := http.StatusFound
		_, _ = fmt.Sscan(query.Get("status"), &status)
		rw.Header()["Location"] = []string{query.Get("u")}
		rw.WriteHeader(status)
	case "/hop":
		n := 0
		_, _ = fmt.Sscan(query.Get("n"), &n)
		if n == 0 {
			echo(rw, r)
			return
		}
		http.Redirect(rw, r, fmt.Sprintf("/hop?n=%d", n-1), http.StatusFound)
	case "/bomb":
		rw.Header().Set("Content-Encoding", "gzip")
		for range 1024 { // a gibibyte of zeros, which is a megabyte
			if _, err := rw.Write(w.mebibyte); err != nil {
				return
			}
		}
	case "/endless":
		_, _ = io.Copy(rw, zeros{})
	case "/drip":
		drip(rw, r)
	case "/silent":
		<-r.Context().Done()
	case "/header":
		rw.Header().Set("X-Long", strings.Repeat("x", 200<<10))
	case "/brotli":
		rw.Header().Set("Content-Encoding", "br")
		_, _ = io.WriteString(rw, "x")
	case "/half":
		rw.Header().Set("Content-Length", "100")
		_, _ = io.WriteString(rw, "x")
	case "/size":
		n := int64(0)
		_, _ = fmt.Sscan(query.Get("n"), &n)
		rw.Header().Set("Content-Type", "text/csv")
		_, _ = io.CopyN(rw, zeros{'0'}, n)
	case "/sink":
		_, _ = io.Copy(io.Discard, r.Body)
	case "/status":
		rw.WriteHeader(http.StatusTeapot)
	case "/binary":
		_, _ = rw.Write([]byte{0xff, 0x00, 0xfe})
	case "/gzip":
		rw.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(rw)
		_, _ = io.WriteString(z, "unzipped "+r.Header.Get("Authorization"))
		_ = z.Close()
	default:
		echo(rw, r)
	}
}

// echo answers with all that was sent.
func echo(rw http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	rw.Header().Set("X-Echo", r.Header.Get("Authorization"))
	rw.Header().Add("Set-Cookie", "a=1")
	rw.Header().Add("Set-Cookie", "b=2")
	_ = json.NewEncoder(rw).Encode(map[string]any{"method": r.Method, "host": r.Host, "uri": r.RequestURI, "headers": r.Header, "body": string(body)})
}

func drip(rw http.ResponseWriter, r *http.Request) {
	for r.Context().Err() == nil {
		if _, err := rw.Write([]byte("x")); err != nil {
			return
		}
		_ = http.NewResponseController(rw).Flush()
		time.Sleep(10 * time.Millisecond) // the reply that never ends is the point
	}
}

type zeros [1]byte

func (z zeros) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = z[0]
	}
	return len(p), nil
}

// guestOf opens an attempt of a plugin in the world.
func (w *world) guestOf(t *testing.T, plugin flow.PlanPlugin, limits flow.Limits) *attempt {
	t.Helper()
	a := &attempt{}
	call := plugintest.NewCall(t, guest.With{})
	call.Limits = limits
	services := service.New(service.Config{
		Blobs: w.store, Version: "v9", Secrets: func(_, name string) (string, error) { return w.read(name) },
		Network: service.Network{Resolve: w.Resolve, Dial: w.Dial, Roots: w.roots},
		Quotas:  w.quotas,
	})
	a.HostCalls, a.end = services.Open(t.Context(), service.Attempt{
		Call: call, Plugin: plugin,
		Log:      func(l flow.LogLine) { a.lines = append(a.lines, l) },
		Progress: func(permille int, message string) { a.beats = append(a.beats, fmt.Sprint(permille, " ", message)) },
		Egress:   func(n int64) { w.passed.Add(n) },
		Put:      func(d flow.Digest, _ int64) { a.put = append(a.put, d) },
		State:    func(context.Context) (map[string]json.RawMessage, error) { return nil, nil },
		Wrote:    func(key string, value json.RawMessage) { a.beats = append(a.beats, key+string(value)) },
		Emit: func(_ context.Context, e flow.EmittedEvent) error {
			a.beats = append(a.beats, fmt.Sprint(e.Type, e.Subject, string(e.Data)))
			return nil
		},
	})
	t.Cleanup(a.end)
	return a
}

func (w *world) read(name string) (string, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if value := w.secrets[name]; value != "" {
		return value, nil
	}
	return "", &flow.Error{Code: flow.CodeSecret, Op: "read secret", Message: "there is no such file in secrets", Hint: "write it there"}
}

func granted(lines ...string) flow.PlanPlugin {
	return flow.PlanPlugin{Name: "clean", Grant: flow.Grant{HTTP: lines}}
}

// answer is what a guest is given.
type answer struct {
	Status     int               `json:"status"`
	Headers    map[string]string `json:"headers"`
	Body       *string           `json:"body"`
	BodyBase64 *string           `json:"body_base64"`
	Artifact   *flow.ArtifactRef `json:"artifact"`
}

func (a *attempt) get(t *testing.T, request string, body ...byte) (answer, error) {
	t.Helper()
	doc, err := a.Call(t.Context(), abi.OpHTTPRequest, []byte(request), body)
	if err != nil {
		return answer{}, err
	}
	var got answer
	d := json.NewDecoder(bytes.NewReader(doc))
	d.DisallowUnknownFields()
	if err := d.Decode(&got); err != nil {
		t.Fatalf("%s: %v", doc, err)
	}
	return got, nil
}

// echoed is what the server saw.
type echoed struct {
	Method, Host, URI, Body string
	Headers                 http.Header
}

func (a *attempt) echo(t *testing.T, request string, body ...byte) echoed {
	t.Helper()
	got, err := a.get(t, request, body...)
	if err != nil {
		t.Fatalf("%s: %v", request, err)
	}
	var e echoed
	if got.Status != 200 || got.Body == nil || json.Unmarshal([]byte(*got.Body), &e) != nil {
		t.Fatalf("%s: %+v", request, got)
	}
	return e
}
