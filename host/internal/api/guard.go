package api

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"math"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// controlKey is under what the guard puts the control of who asks into a request: what stands between guard and routes is
// made once, for all principals, and hands on nothing but the request.
type controlKey struct{}

// principalKey is under what the guard puts who asks.
type principalKey struct{}

// asked is a request's context with who asks.
func (c Config) asked(ctx context.Context, p flow.Principal, from string) context.Context {
	return context.WithValue(context.WithValue(ctx, principalKey{}, p), controlKey{}, c.Control(p, from))
}

// healthPaths answer everybody, and say nothing but that the host is there.
func healthPaths() []string { return []string{"/healthz", "/health"} }

// guard lets in who may come, and says whose a request is.
type guard struct {
	config   Config
	next     http.Handler
	token    [sha256.Size]byte
	tokens   *meters // of requests, by token
	tenants  *meters // of requests, by tenant: it makes as many tokens as it likes
	failures *meters // of requests without a good token, by address
}

func newGuard(c Config, next http.Handler) *guard {
	c.Limits.fill()
	return &guard{
		config: c, next: next, token: sha256.Sum256([]byte(c.Token)),
		tokens:  newMeters(c.Limits.Rate, c.Limits.Burst, c.Limits.AtOnce),
		tenants: newMeters(c.Limits.Rate*tenantRate, c.Limits.Burst*tenantRate, c.Limits.AtOnce*tenantAtOnce), failures: newMeters(c.Limits.Failures, c.Limits.FailuresBurst, math.MaxInt),
	}
}

// ServeHTTP refuses requests under a foreign name, from another page, without a good token, or too many.
func (g *guard) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case !addressed(r.Host, g.config.Hosts):
		writeError(w, &flow.Error{Code: flow.CodeRequest, Message: "this server does not go by the name " + r.Host, Hint: "use the address that it listens on, or add the name to `names` under [host]"}, http.StatusMisdirectedRequest)
	case r.Header.Get("Origin") != "" && r.Method != http.MethodGet && r.Method != http.MethodHead:
		writeError(w, &flow.Error{Code: flow.CodeRequest, Message: "requests from pages are not served", Hint: "use the command line or a program"}, http.StatusForbidden)
	case slices.Contains(healthPaths(), r.URL.Path):
		g.next.ServeHTTP(w, r)
	default:
		g.admit(w, r)
	}
}

// admit serves who has a right to be served.
func (g *guard) admit(w http.ResponseWriter, r *http.Request) {
	p, life, err := g.who(r)
	if err != nil {
		w.Header().Set("Connection", "close")
		if flow.CodeOf(err) == flow.CodeUnauthorized {
			w.Header().Set("WWW-Authenticate", "Bearer")
		}
		refuse(w, err, time.Second)
		return
	}
	if life != nil || g.config.Token != "" { // who needs no token is not measured
		done, wait, err := g.tokens.enter(p.Name)
		if err != nil {
			refuse(w, err, wait)
			return
		}
		defer done()
	}
	if p.Tenant != "" {
		done, wait, err := g.tenants.enter(p.Tenant)
		if err != nil {
			w.Header().Set("Connection", "close") // of which there is a bound for all
			refuse(w, err, wait)
			return
		}
		defer done()
	}
	ctx, end := tie(r.Context(), life, w)
	defer end()
	g.next.ServeHTTP(w, r.WithContext(g.config.asked(ctx, p, r.RemoteAddr)))
}

// who tells who asks. A token in the form of ours is looked up; anything else can only be the token of the environment.
func (g *guard) who(r *http.Request) (p flow.Principal, life context.Context, err error) {
	secret, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if g.config.Find != nil && secret != "" {
		if p, life, ok := g.config.Find(secret); ok {
			return p, life, nil
		}
	}
	known := strings.HasPrefix(secret, "uft_") // 256 bits: nobody comes upon one by trying
	if g.config.Token == "" && !known && (g.config.Open == nil || g.config.Open()) {
		return g.config.Local, nil, nil
	}
	from := addressOf(r.RemoteAddr)
	if g.config.Token != "" && !known && !g.failures.spent(from) {
		sum := sha256.Sum256([]byte(secret))
		if subtle.ConstantTimeCompare(sum[:], g.token[:]) == 1 {
			return flow.Principal{Name: "environment", Role: flow.RoleAdmin}, nil, nil
		}
	}
	done, _, err := g.failures.enter(from)
	if err != nil {
		return p, nil, &flow.Error{Code: flow.CodeRate, Message: "too many requests without a good token come from this address", Hint: "wait, and send a good one"}
	}
	done()
	return p, nil, &flow.Error{Code: flow.CodeUnauthorized, Message: "the token is missing, wrong, revoked or expired", Hint: "set UNIFLOW_TOKEN to a token of the host"}
}

// refuse answers who may not come, or not now.
func refuse(w http.ResponseWriter, err error, wait time.Duration) {
	status := statusOf(err)
	if status == http.StatusTooManyRequests {
		w.Header().Set("Retry-After", strconv.Itoa(max(1, int(math.Ceil(wait.Seconds())))))
	}
	writeError(w, err, status)
}

// tie ends a request when the life of its token ends: what it waits for, and what it reads and writes.
func tie(ctx, life context.Context, w http.ResponseWriter) (context.Context, func()) {
	if life == nil {
		return ctx, func() {}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(life, func() {
		cancel(context.Cause(life)) // first: who writes asks for it after setting a deadline
		c, now := http.NewResponseController(w), time.Now()
		_ = c.SetReadDeadline(now)
		_ = c.SetWriteDeadline(now)
	})
	return ctx, func() {
		stop()
		cancel(context.Canceled)
	}
}

// addressOf is what an address is counted by: a machine, or the network of one.
func addressOf(remote string) string {
	host, _, err := net.SplitHostPort(remote)
	if err != nil {
		return remote
	}
	if ip := net.ParseIP(host); ip != nil && ip.To4() == nil {
		return ip.Mask(net.CIDRMask(64, 128)).String()
	}
	return host
}

// local serves a Unix socket: who can connect is a user of this machine that may.
func local(c Config, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p := c.Local
		if uid, ok := r.Context().Value(peerKey{}).(uint32); ok {
			p.Name = "local:" + strconv.FormatUint(uint64(uid), 10)
		}
		next.ServeHTTP(w, r.WithContext(c.asked(r.Context(), p, "socket")))
	})
}

// peerKey is under what the user of a connection is put into its requests.
type peerKey struct{}

func withPeer(ctx context.Context, c net.Conn) context.Context {
	if b, ok := c.(*boundedConn); ok {
		c = b.Conn
	}
	if uid, ok := peerOf(c); ok {
		return context.WithValue(ctx, peerKey{}, uid)
	}
	return ctx
}
