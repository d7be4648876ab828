package service

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/egress"
	"github.com/uniflow-dev/uniflow/sdk/abi"
)

const (
	maxRedirects = 5
	maxRequests  = 1_000     // requests of an attempt, each hop is one
	maxTraffic   = 256 << 20 // bytes of an attempt, both ways, beside what it may put as artifacts
)

// outgoing is a request on its way; it changes from hop to hop.
type outgoing struct {
	method string
	url    egress.URL
	first  egress.URL // what the guest asked for
	header http.Header
	own    map[string]bool // the headers that the guest has set, as egress.HeaderKey writes them
	body   []byte
	hops   int
}

// name is how messages call the request. A query may hold what nobody else should know.
func (o *outgoing) name() string {
	if o.hops > 0 {
		return fmt.Sprintf("%s %s, redirected from %s", o.method, o.url.Place(), o.first.Place())
	}
	return o.method + " " + o.url.Place()
}

// client sends the requests of one attempt.
type client struct {
	network Network
	agent   string
	plugin  flow.PlanPlugin
	grants  []egress.Pattern
	vault   *vault
	meter   meter

	once    sync.Once
	carrier *http.Transport

	mu       sync.Mutex
	requests int
	traffic  int64 // bytes that may still be sent or received
}

func newClient(c Config, a *Attempt, v *vault, artifacts int64) *client {
	cl := &client{network: c.Network, agent: "uniflow/" + c.Version, plugin: a.Plugin, vault: v, traffic: maxTraffic + artifacts}
	cl.meter = meter{quotas: c.Quotas, tenant: a.Call.Context.Tenant, told: a.Egress}
	for _, line := range a.Plugin.Grant.HTTP {
		if p, err := egress.ParsePattern(line); err == nil { // a plan holds no other
			cl.grants = append(cl.grants, p)
		}
	}
	return cl
}

// close lets go of the connections. No request is under way.
func (c *client) close() {
	c.once.Do(func() {})
	if c.carrier != nil {
		c.carrier.CloseIdleConnections()
	}
}

// follow sends a request, and what redirects make of it, and returns the last response.
func (c *client) follow(ctx context.Context, o *outgoing) (*http.Response, error) {
	for {
		resp, err := c.send(ctx, o)
		if err != nil {
			return nil, err
		}
		location := resp.Header.Get("Location")
		if !redirects(resp.StatusCode) || location == "" {
			return resp, nil
		}
		_ = resp.Body.Close() // what a redirect says is not read
		if o.hops == maxRedirects {
			return nil, refuse(abi.Unavailable, fmt.Sprintf("%s was redirected more than %d times", o.name(), maxRedirects), "ask for the place that it leads to")
		}
		from := o.url.Origin
		if err := o.redirect(resp.StatusCode, location); err != nil {
			return nil, err
		}
		if o.url.Origin != from && c.vault.bound.Text(location) != location {
			return nil, refuse(abi.Denied, fmt.Sprintf("%s redirects to %s with a secret in the URL", o.first.Place(), o.url.Origin), "")
		}
	}
}

func redirects(status int) bool {
	switch status {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		return true
	}
	return false
}

// redirect turns the request into the next one. To another origin go none of the guest's headers but those that say what
// it can read and what it sends.
func (o *outgoing) redirect(status int, location string) error {
	next, err := resolve(o.url, location)
	if err != nil {
		return invalid(fmt.Sprintf("%s redirects to a URL that is refused: ", o.name()), err)
	}
	if o.url.Scheme == "https" && next.Scheme == "http" {
		return refuse(abi.Denied, fmt.Sprintf("%s redirects from https to %s", o.name(), next.Place()), "ask for a place that stays on https")
	}
	seeOther := status == http.StatusSeeOther && o.method != http.MethodHead
	if seeOther || o.method == http.MethodPost && (status == http.StatusMovedPermanently || status == http.StatusFound) {
		o.method, o.body = http.MethodGet, nil
		for name := range o.header {
			if strings.HasPrefix(name, "Content-") {
				o.header.Del(name)
			}
		}
	}
	if next.Origin != o.url.Origin {
		kept := http.Header{}
		for _, name := range []string{"Accept", "Accept-Language", "Content-Language", "Content-Type", "User-Agent"} {
			if values := o.header[name]; values != nil {
				kept[name] = values
			}
		}
		o.header = kept
	}
	o.url = next
	o.hops++
	return nil
}

// resolve reads a Location, which may be relative.
func resolve(base egress.URL, location string) (egress.URL, error) {
	location, _, _ = strings.Cut(location, "#")
	if strings.ContainsAny(location, "\\ \t") {
		return egress.URL{}, errors.New("it holds a blank or a backslash")
	}
	from, err := url.Parse(base.String())
	if err != nil {
		return egress.URL{}, errors.New("its base cannot be read")
	}
	to, err := from.Parse(location)
	if err != nil {
		return egress.URL{}, errors.New("it cannot be read")
	}
	return egress.ParseURL(to.String())
}

// send makes one hop: it is checked against the grants, secrets are filled in, and it is counted.
func (c *client) send(ctx context.Context, o *outgoing) (*http.Response, error) {
	if !c.allows(o.method, o.url) {
		return nil, c.denied(o)
	}
	header, err := c.dress(o)
	if err != nil {
		return nil, err
	}
	if err := c.count(int64(len(o.body))); err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, o.method, o.url.String(), bytes.NewReader(o.body))
	if err != nil || req.URL.EscapedPath() != o.url.Path || req.URL.Host != o.url.Authority() {
		return nil, refuse(abi.Invalid, fmt.Sprintf("the URL %s cannot be sent as it is", o.url.Place()), "")
	}
	req.Header = header
	if err := c.meter.pass(0); err != nil { // or the request would be counted though it is not sent
		return nil, err
	}
	if err := c.meter.pass(int64(len(req.Method)+len(req.URL.RequestURI())) + headerSize(header) + int64(len(o.body))); err != nil {
		return nil, err
	}
	c.once.Do(func() { c.carrier = c.network.transport() })
	if c.carrier == nil {
		return nil, refuse(abi.Cancelled, "the attempt has ended", "")
	}
	carry := c.carrier.RoundTrip
	if c.network.RoundTrip != nil {
		carry = c.network.RoundTrip
	}
	resp, err := carry(req)
	if err != nil {
		return nil, broken(o, err)
	}
	if resp.StatusCode == http.StatusSwitchingProtocols {
		_ = resp.Body.Close()
		return nil, refuse(abi.Unavailable, fmt.Sprintf("%s answers with another protocol", o.name()), "")
	}
	resp.Body = &metered{ReadCloser: resp.Body, meter: &c.meter}
	if err := c.meter.pass(headerSize(resp.Header)); err != nil {
		return nil, errors.Join(err, resp.Body.Close())
	}
	return resp, nil
}

func (c *client) allows(method string, u egress.URL) bool {
	for _, p := range c.grants {
		if p.Allows(method, u) {
			return true
		}
	}
	return false
}

// denied names the line that would allow the request.
func (c *client) denied(o *outgoing) error {
	return refuse(abi.Denied, fmt.Sprintf("no grant of plugin %q covers %s", clean(c.plugin.Name, abi.MaxOutputName), o.name()),
		fmt.Sprintf("where it is meant, add to grant.http of the plugin: http = [%q]", egress.Line(o.method, o.url)))
}

// dress returns the headers of one hop: what is left of the guest's, ours, and the secrets that are bound to the origin.
func (c *client) dress(o *outgoing) (http.Header, error) {
	header := o.header.Clone()
	if header.Get("User-Agent") == "" {
		header.Set("User-Agent", c.agent)
	}
	header.Set("Accept-Encoding", "gzip")
	for name, f := range c.vault.bindings(o.url.Origin) {
		if o.own[egress.HeaderKey(name)] && o.hops == 0 {
			return nil, refuse(abi.Denied, fmt.Sprintf("the header %s of %s is filled in by the host, from secret %q", name, o.url.Origin, f.secret), "leave it out of the request")
		}
		value, err := c.vault.fill(f)
		if err != nil {
			return nil, err
		}
		header.Set(name, value)
	}
	return header, nil
}

// count takes one request and its bytes from the budget of the attempt.
func (c *client) count(size int64) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.requests >= maxRequests {
		return refuse(abi.Quota, fmt.Sprintf("the attempt has made %d HTTP requests, redirects among them", maxRequests), "ask for more at once, or divide the work with each")
	}
	c.requests++
	return c.take(size)
}

// take takes bytes from the budget; c.mu is held.
func (c *client) take(size int64) error {
	if c.traffic < size {
		c.traffic = 0
		return refuse(abi.Quota, "the attempt has used up its HTTP traffic", "divide the work with each")
	}
	c.traffic -= size
	return nil
}

// body returns the content of a response, decoded; reading it takes from the budget.
func (c *client) body(resp *http.Response, o *outgoing) (io.Reader, error) {
	var content io.Reader = resp.Body
	encoding := strings.ToLower(strings.Join(resp.Header.Values("Content-Encoding"), ","))
	switch strings.TrimSpace(encoding) {
	case "", "identity":
	case "gzip", "x-gzip":
		if o.method != http.MethodHead && resp.ContentLength != 0 {
			content = &unzipped{from: resp.Body}
		}
	default: // secrets could not be found in it
		return nil, refuse(abi.Unavailable, fmt.Sprintf("%s answers in the encoding %q, which was not asked for", o.name(), clean(encoding, maxShown)), "")
	}
	return &counted{from: content, client: c}, nil
}

// unzipped reads gzip, whose header is not there before the first read.
type unzipped struct {
	from io.Reader
	gzip *gzip.Reader
}

// Read implements io.Reader.
func (u *unzipped) Read(p []byte) (int, error) {
	if u.gzip == nil {
		r, err := gzip.NewReader(u.from)
		if err == io.EOF { //nolint:errorlint // an empty body, whatever its header says
			return 0, io.EOF
		}
		if err != nil {
			return 0, fmt.Errorf("read gzip: %w", err)
		}
		u.gzip = r
	}
	return u.gzip.Read(p)
}

// counted takes what is read from the budget.
type counted struct {
	from   io.Reader
	client *client
}

// Read implements io.Reader.
func (r *counted) Read(p []byte) (int, error) {
	n, err := r.from.Read(p)
	r.client.mu.Lock()
	defer r.client.mu.Unlock()
	if spent := r.client.take(int64(n)); spent != nil {
		return 0, spent
	}
	return n, err
}

// broken says what became of a request that had no whole answer. A refusal on the way is the answer itself.
func broken(o *outgoing, err error) error {
	if refusal, ok := errors.AsType[*flow.ServiceError](err); ok {
		message := refusal.Message
		if !strings.Contains(message, o.url.Place()) {
			message = o.name() + ": " + message
		}
		return &flow.ServiceError{Errno: refusal.Errno, Code: refusal.Code, Message: message, Hint: refusal.Hint}
	}
	if strings.Contains(err.Error(), "response headers exceeded") {
		return refuse(abi.TooLarge, fmt.Sprintf("the header of the answer of %s is larger than %s", o.name(), flow.Size(maxHeader)), "")
	}
	return refuse(abi.Unavailable, fmt.Sprintf("%s: %s", o.name(), clean(err.Error(), maxShown)), "try again later; retry on the step does so")
}
