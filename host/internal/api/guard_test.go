package api_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/api"
)

// found is a token uft_NAME of each name, that never ends.
func found(secret string) (flow.Principal, context.Context, bool) {
	name, ok := strings.CutPrefix(secret, "uft_")
	return flow.Principal{Name: name, Role: flow.RoleViewer}, context.Background(), ok && name != "gone"
}

// bring makes a request with a token.
func bring(t *testing.T, url, secret string) *http.Response {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if secret != "" {
		request.Header.Set("Authorization", "Bearer "+secret)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	return response
}

// Each token has its own measure, and so has each address that brings no good one: who guesses is not told even where the
// guess is right, and takes nothing from those who need not guess.
func TestTooManyRequestsAreRefused(t *testing.T) {
	t.Parallel()
	limits := api.Limits{Rate: 0.001, Burst: 2, Failures: 0.001, FailuresBurst: 2}
	_, url := serve(t, api.Config{Control: all(&fake{}), Token: "0123456789", Find: found, Limits: limits})
	for i, c := range []struct {
		secret string
		want   int
	}{
		{"uft_a", 200},
		{"uft_a", 200},
		{"uft_a", 429},
		{"uft_b", 200},
		{"0123456789", 200},
		{"012345678", 401},
		{"", 401},
		{"012345678", 429},
		{"0123456789", 429}, // right, but too late
		{"uft_gone", 429},
		{"uft_b", 200},
		{"uft_b", 429},
	} {
		response := bring(t, url+"/v1/pipelines/p", c.secret)
		if response.StatusCode != c.want {
			t.Errorf("%d, %q: got %s, want %d", i, c.secret, response.Status, c.want)
		}
		if wait, err := strconv.Atoi(response.Header.Get("Retry-After")); c.want == 429 && (err != nil || wait < 1) {
			t.Errorf("%d: Retry-After %q", i, response.Header.Get("Retry-After"))
		}
	}
	for _, path := range []string{"/healthz", "/health"} {
		if response := bring(t, url+path, ""); response.StatusCode != http.StatusOK {
			t.Errorf("%s: %s", path, response.Status)
		}
	}
}

// A tenant makes as many tokens as it likes, and has not more of the host for it; the tokens of others feel nothing of it.
func TestAllTokensOfATenantShareAMeasure(t *testing.T) {
	t.Parallel()
	tenants := func(secret string) (flow.Principal, context.Context, bool) {
		p, life, ok := found(secret)
		p.Tenant, _, _ = strings.Cut(p.Name, "/")
		return p, life, ok
	}
	limits := api.Limits{Rate: 0.0001, Burst: 1, AtOnce: 1}
	_, url := serve(t, api.Config{Control: all(&fake{}), Find: tenants, Open: func() bool { return false }, Limits: limits})
	for i := range 12 {
		want := http.StatusOK
		if i >= 10 {
			want = http.StatusTooManyRequests
		}
		if response := bring(t, url+"/v1/pipelines/p", fmt.Sprintf("uft_acme/%d", i)); response.StatusCode != want {
			t.Errorf("token %d: got %s, want %d", i, response.Status, want)
		}
	}
	if response := bring(t, url+"/v1/pipelines/p", "uft_beta/a"); response.StatusCode != http.StatusOK {
		t.Errorf("another tenant: %s", response.Status)
	}
}

// Where no token is asked for, one that is none any more is refused all the same.
func TestAnOpenServerRefusesADeadToken(t *testing.T) {
	t.Parallel()
	_, url := serve(t, api.Config{Control: all(&fake{}), Find: found})
	for secret, want := range map[string]int{"": 200, "anything": 200, "uft_a": 200, "uft_gone": 401} {
		if response := bring(t, url+"/v1/pipelines/p", secret); response.StatusCode != want {
			t.Errorf("%q: got %s, want %d", secret, response.Status, want)
		}
	}
}

// served runs a server on a listener until the test ends.
func served(t *testing.T, server *http.Server, l net.Listener) {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- api.Serve(server, l) }()
	t.Cleanup(func() {
		_ = server.Close()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// A thousand connections that never send a request, and more than there are places for, leave the socket free: a host can
// be asked whether it is there.
func TestSlowConnectionsLeaveTheSocketFree(t *testing.T) {
	t.Parallel()
	who := make(chan string, 8)
	config := api.Config{Logger: slog.New(slog.DiscardHandler), Local: flow.Principal{Name: "local", Role: flow.RoleAdmin}, Control: func(p flow.Principal, from string) flow.Control {
		who <- p.Name + " " + from
		return &fake{}
	}}
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "s")
	socket, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	served(t, api.NewServer(config), tcp)
	served(t, api.NewLocalServer(config), socket)
	for range 1100 {
		c, err := net.Dial("tcp", tcp.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := io.WriteString(c, "GET /v1/runs HTTP/1.1\r\nX-"); err != nil {
			t.Fatal(err)
		}
	}
	client := &http.Client{Transport: &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return net.Dial("unix", path) }}}
	begin := time.Now()
	response, err := client.Get("http://localhost/healthz")
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	if took := time.Since(begin); response.StatusCode != http.StatusOK || took > 100*time.Millisecond {
		t.Errorf("the socket answers %s in %s", response.Status, took)
	}
	if response, err = client.Get("http://localhost/v1/pipelines/p"); err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	if got := <-who; !strings.HasPrefix(got, fmt.Sprintf("local:%d", os.Getuid())) || !strings.HasSuffix(got, " socket") {
		t.Errorf("who came by the socket is %q", got)
	}
}

// One connection more than there may be waits until one ends.
func TestConnectionsAreBounded(t *testing.T) {
	t.Parallel()
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := api.Bounded(inner, 1)
	taken := make(chan net.Conn)
	go func() {
		defer close(taken)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			taken <- c
		}
	}()
	for range 2 {
		c, err := net.Dial("tcp", inner.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	first := <-taken
	select {
	case <-taken:
		t.Fatal("a second connection was taken beside the first")
	case <-time.After(50 * time.Millisecond):
	}
	_ = first.Close()
	_ = first.Close() // twice gives one place free
	second := <-taken
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	_ = second.Close()
	if _, more := <-taken; more {
		t.Error("a closed listener takes connections")
	}
}

// pair writes a certificate of its own and its key, and returns the certificate.
func pair(t *testing.T, cert, key string, serial int64) []byte {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "uniflow"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	public := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	for name, content := range map[string][]byte{cert: public, key: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw})} {
		if err := os.WriteFile(name, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return public
}

// A new certificate is served without a restart, and one that cannot be used leaves the last one in place.
func TestCertificatesAreReloaded(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	if _, err := api.OpenCertificates(cert, key, slog.New(slog.DiscardHandler)); flow.CodeOf(err) != flow.CodeTLS {
		t.Errorf("without files: %v", err)
	}
	pair(t, cert, key, 1)
	certificates, err := api.OpenCertificates(cert, key, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	server := api.NewServer(api.Config{Control: all(&fake{}), Logger: slog.New(slog.DiscardHandler)})
	server.TLSConfig = certificates.Config()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served(t, server, l)
	serial := func(most uint16) (int64, error) {
		c, err := tls.Dial("tcp", l.Addr().String(), &tls.Config{InsecureSkipVerify: true, MaxVersion: most})
		if err != nil {
			return 0, err
		}
		defer c.Close()
		return c.ConnectionState().PeerCertificates[0].SerialNumber.Int64(), nil
	}
	if _, err := serial(tls.VersionTLS11); err == nil {
		t.Error("TLS 1.1 is served")
	}
	await := func(want int64) {
		t.Helper()
		for deadline := time.Now().Add(10 * time.Second); ; <-time.After(50 * time.Millisecond) {
			got, err := serial(tls.VersionTLS13)
			if err != nil {
				t.Fatal(err)
			}
			if got == want {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("certificate %d is served, want %d", got, want)
			}
		}
	}
	await(1)
	if err := os.WriteFile(key, []byte("no key"), 0o600); err != nil {
		t.Fatal(err)
	}
	certificates.Look()
	await(1)
	public := pair(t, cert, key, 2)
	certificates.Look()
	await(2)

	ca := filepath.Join(dir, "ca.pem")
	if err := os.WriteFile(ca, public, 0o600); err != nil {
		t.Fatal(err)
	}
	client, err := api.NewClient("https://"+l.Addr().String(), "").WithCA(ca)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Pipeline(t.Context(), "p"); err != nil {
		t.Error(err)
	}
	_, err = api.NewClient("https://"+l.Addr().String(), "").Pipeline(t.Context(), "p")
	if flow.CodeOf(err) != flow.CodeUnreachable || !strings.Contains(err.Error(), "is not trusted") {
		t.Errorf("without the authority: %v", err)
	}
	if _, err := client.WithCA(key + "x"); flow.CodeOf(err) != flow.CodeTLS {
		t.Errorf("without a file: %v", err)
	}
}

// What a client does not take of an artifact is not waited for beyond the end of its token.
func TestAnArtifactEndsWithItsToken(t *testing.T) {
	t.Parallel()
	life, end := context.WithCancelCause(context.Background())
	find := func(string) (flow.Principal, context.Context, bool) {
		return flow.Principal{Name: "a", Role: flow.RoleViewer}, life, true
	}
	endless := &endless{closed: make(chan struct{})}
	config := api.Config{Control: all(endless), Find: find, Logger: slog.New(slog.DiscardHandler)}
	server := httptest.NewServer(api.NewServer(config).Handler)
	defer server.Close()
	c, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, "GET /v1/runs/R/artifacts/"+string(flow.DigestOf(nil))+" HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer uft_a\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(c, make([]byte, 1<<10)); err != nil { // and no more
		t.Fatal(err)
	}
	end(context.Canceled)
	select {
	case <-endless.closed:
	case <-time.After(10 * time.Second):
		t.Error("the artifact is still open")
	}
}

// endless is an artifact without an end.
type endless struct {
	fake
	closed chan struct{}
}

func (e *endless) Artifact(context.Context, flow.RunID, flow.Digest) (io.ReadCloser, error) {
	return e, nil
}
func (e *endless) Read(b []byte) (int, error) { return len(b), nil }
func (e *endless) Close() error {
	close(e.closed)
	return nil
}
