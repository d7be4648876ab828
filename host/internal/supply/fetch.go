package supply

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// Fetcher takes modules from where they are offered. All of it is bounded: bytes, time, redirects. It writes nothing.
type Fetcher struct {
	// PlainHTTP allows HTTP without TLS to other machines than this one.
	PlainHTTP bool
	// Signed takes the signature along, and refuses a module without one.
	Signed bool
	// Credentials is the path of a configuration as docker writes it, for registries. Defaults to none.
	Credentials string
	// Time bounds all of it. Defaults to 5 minutes.
	Time time.Duration
	// Transport carries requests. Defaults to that of the system, with its proxies.
	Transport http.RoundTripper
}

// Fetched is a module that was taken. Nothing of it was looked at.
type Fetched struct {
	Bytes []byte
	// Signature is that of minisign; nil unless it was asked for.
	Signature []byte
	// From says where the module was taken from, so that a reader finds it again; empty for a file.
	From string
	// Name is what the source calls it, without an end such as .wasm.
	Name string
}

// errMissing is that nothing is there.
var errMissing = errors.New("there is nothing")

// Fetch takes a module from a path, from https://… or from oci://HOST/REPOSITORY:TAG or @DIGEST. Errors have a code.
func (f Fetcher) Fetch(ctx context.Context, source string) (Fetched, error) {
	limit := f.Time
	if limit <= 0 {
		limit = 5 * time.Minute
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	var got Fetched
	var err error
	switch scheme, rest, ok := strings.Cut(source, "://"); {
	case !ok:
		got, err = f.file(source)
	case scheme == "oci":
		got, err = f.registry(ctx, rest)
	case scheme == "https" || scheme == "http":
		got, err = f.web(ctx, source)
	default:
		err = &flow.Error{Code: flow.CodeDownload, Message: fmt.Sprintf("there is no way to take a plugin by %.20q", scheme), Hint: "give a path, https://… or oci://HOST/REPOSITORY:TAG"}
	}
	if err == nil && f.Signed && got.Signature == nil {
		err = errUnsigned(source + SignatureSuffix)
	}
	return got, f.explained(ctx, limit, source, err)
}

// explained gives an error its place, and a code where it has none.
func (f Fetcher) explained(ctx context.Context, limit time.Duration, source string, err error) error {
	if err == nil {
		return nil
	}
	own := &flow.Error{Code: flow.CodeDownload, Message: "it cannot be taken", Hint: "check the address; nothing was written", Err: err}
	if ctx.Err() != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		own.Message, own.Err = fmt.Sprintf("it did not come within %s", limit), nil
	} else if e, ok := errors.AsType[*flow.Error](err); ok {
		copied := *e
		own = &copied
	}
	own.Op = fmt.Sprintf("take the plugin %.300s", withoutSecrets(source))
	return own
}

// withoutSecrets leaves out of a URL what may be nobody's business.
func withoutSecrets(source string) string {
	if u, err := url.Parse(source); err == nil && u.Host != "" {
		u.User, u.RawQuery, u.Fragment = nil, "", ""
		return u.String()
	}
	return source
}

func (f Fetcher) file(name string) (Fetched, error) {
	folder, err := OpenFolder(filepath.Dir(name))
	if err != nil {
		return Fetched{}, &flow.Error{Code: flow.CodePluginMissing, Message: "there is no such file", Hint: "check the path", Err: err}
	}
	defer folder.Close()
	b, _, err := folder.Read(filepath.Base(name))
	if errors.Is(err, fs.ErrNotExist) {
		return Fetched{}, &flow.Error{Code: flow.CodePluginMissing, Message: "there is no such file", Hint: "check the path"}
	}
	if err != nil {
		return Fetched{}, err
	}
	got := Fetched{Bytes: b, Name: strings.TrimSuffix(filepath.Base(name), ".wasm")}
	if f.Signed {
		got.Signature, err = folder.Text(filepath.Base(name)+SignatureSuffix, maxSignature)
		if errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
	}
	return got, err
}

// web takes a file by HTTP, and its signature from beside it.
func (f Fetcher) web(ctx context.Context, source string) (Fetched, error) {
	u, err := url.Parse(source)
	if err != nil || u.Host == "" || u.User != nil {
		return Fetched{}, &flow.Error{Code: flow.CodeDownload, Message: "the URL is not https://HOST/PATH", Hint: "leave out names and passwords: a lock says where a plugin came from"}
	}
	if u.Scheme == "http" && !f.PlainHTTP && !isLoopback(u.Hostname()) {
		return Fetched{}, errPlain()
	}
	got := Fetched{From: withoutSecrets(source), Name: strings.TrimSuffix(path.Base(u.Path), ".wasm")}
	client := f.client()
	if got.Bytes, err = get(ctx, client, u.String(), maxModule); err != nil {
		return got, err
	}
	if f.Signed {
		u.Path += SignatureSuffix
		if got.Signature, err = get(ctx, client, u.String(), maxSignature); errors.Is(err, errMissing) {
			err = nil
		}
	}
	return got, err
}

func errPlain() error {
	return &flow.Error{Code: flow.CodeDownload, Message: "plain HTTP can be read and changed on the way", Hint: "use https, or say --plain-http and give what it must be: --digest sha256:…"}
}

// get reads an answer of at most limit bytes.
func get(ctx context.Context, client *http.Client, address string, limit int64) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, fmt.Errorf("make the request: %w", err)
	}
	answer, err := client.Do(request)
	if err != nil {
		return nil, fmt.Errorf("ask for it: %w", err)
	}
	defer answer.Body.Close()
	switch {
	case answer.StatusCode == http.StatusNotFound || answer.StatusCode == http.StatusGone:
		return nil, errMissing
	case answer.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("the answer is %s", answer.Status)
	case answer.ContentLength > limit:
		return nil, errLarge(limit)
	}
	b, err := io.ReadAll(io.LimitReader(answer.Body, limit+1))
	if err != nil {
		return nil, fmt.Errorf("read it, after %s: %w", flow.Size(len(b)), err)
	}
	if int64(len(b)) > limit {
		return nil, errLarge(limit)
	}
	return b, nil
}

func errLarge(limit int64) error {
	return &flow.Error{Code: flow.CodeDownload, Message: "it has more than " + flow.Size(limit).String(), Hint: "strip debug information, or split the plugin"}
}

// The bounds of a request beside the time of all.
const (
	dialTime     = 15 * time.Second
	headerTime   = 30 * time.Second
	maxRedirects = 5
)

// client follows redirects from TLS to TLS, and within one origin; what is asked for by TLS never comes without.
func (f Fetcher) client() *http.Client {
	transport := f.Transport
	if transport == nil {
		transport = &http.Transport{
			Proxy: http.ProxyFromEnvironment, DialContext: (&net.Dialer{Timeout: dialTime}).DialContext, TLSHandshakeTimeout: dialTime, ResponseHeaderTimeout: headerTime,
			DisableCompression: true, DisableKeepAlives: true, MaxResponseHeaderBytes: 64 << 10, ForceAttemptHTTP2: true,
		}
	}
	return &http.Client{Transport: transport, CheckRedirect: func(next *http.Request, via []*http.Request) error {
		last := via[len(via)-1].URL
		switch {
		case len(via) > maxRedirects:
			return fmt.Errorf("more than %d redirects", maxRedirects)
		case last.Scheme == "https" && next.URL.Scheme == "https":
			return nil
		case last.Scheme == next.URL.Scheme && last.Host == next.URL.Host:
			return nil
		}
		return fmt.Errorf("a redirect leads from %s://%s to %s://%s", last.Scheme, last.Host, next.URL.Scheme, next.URL.Host)
	}}
}

// isLoopback reports whether a host is this machine by the way it is written.
func isLoopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.IsLoopback()
}
