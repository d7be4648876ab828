// Package api is a host over HTTP: a server that offers flow.Control as a REST API with an OpenAPI 3.1 description and
// live events, and the client that implements flow.Control on top of it.
//
// It holds no rules of its own: what may be done and how it fails is decided behind flow.Control. It must not reach
// into a store, a runtime or a scheduler.
package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// Config is what a server needs.
type Config struct {
	// Control gives what the API offers to a principal that comes from somewhere.
	Control func(p flow.Principal, from string) flow.Control
	// Version of the host, for the description.
	Version string
	// Token, if not empty, opens everything to who sends it as "Authorization: Bearer TOKEN".
	Token string
	// Find returns who comes with the secret of a token, and a life that ends, with a cause, when the token does. Defaults to
	// nobody.
	Find func(secret string) (p flow.Principal, life context.Context, ok bool)
	// Open reports whether who brings no token is let in as Local; it is asked for each request, and only where Token is
	// empty. Defaults to yes.
	Open func() bool
	// Local is who comes by a Unix socket, or without a token.
	Local flow.Principal
	// Hosts are the names by which the server may be addressed, beside loopback ones. A request for another name is
	// refused, so that a page in a browser cannot reach the API by a name that it has pointed here.
	Hosts []string
	// Limits bound what one token may ask. The zero Limits are good ones.
	Limits Limits
	Logger *slog.Logger
	// Metrics serves figures for monitoring at /metrics: those of one tenant, or of all for no name. Defaults to none.
	Metrics func(tenant string) http.Handler
	// Served hears of each request: its route, which is empty where there is none, and the status of the answer.
	Served func(route string, status int)
}

const (
	headerTime = 10 * time.Second // for a client to send its headers, and for a handshake
	bodyTime   = time.Minute      // for a client to send all of a request
	answerTime = 2 * time.Minute  // for a client to take all of an answer; streams and artifacts have times of their own
	idleTime   = 2 * time.Minute  // between requests of a connection
	maxBody    = 9 << 20          // of a request: a run context of 8 MiB and its envelope
)

// NewServer returns a server that the caller gives listeners to.
func NewServer(c Config) *http.Server {
	return newServer(c, newGuard(c, Handler(c)))
}

// NewLocalServer is NewServer for a Unix socket: the file's permissions decide who may connect, so that neither a
// token nor a host name is asked for.
func NewLocalServer(c Config) *http.Server {
	server := newServer(c, local(c, Handler(c)))
	server.ConnContext = withPeer
	return server
}

func newServer(c Config, h http.Handler) *http.Server {
	server := &http.Server{
		Handler: h, ReadHeaderTimeout: headerTime, ReadTimeout: bodyTime, WriteTimeout: answerTime, IdleTimeout: idleTime, MaxHeaderBytes: 64 << 10,
		ErrorLog:  slog.NewLogLogger(c.Logger.Handler(), slog.LevelDebug),
		Protocols: new(http.Protocols),
	}
	server.Protocols.SetHTTP1(true) // alone: deadlines and the bound on connections then hold for each request
	return server
}

// Handler returns the API without its guard, which says to each request whose it is.
func Handler(c Config) http.Handler {
	mux := http.NewServeMux()
	for _, at := range healthPaths() {
		mux.HandleFunc("GET "+at, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/plain; charset=utf-8")
			_, _ = w.Write([]byte("ok\n"))
		})
	}
	config := huma.DefaultConfig("Uniflow", c.Version)
	config.DocsPath = ""     // huma's page loads scripts from elsewhere
	config.SchemasPath = ""  // the description holds them
	config.CreateHooks = nil // no links to schemas in bodies
	config.RejectUnknownQueryParameters = true
	config.OnAddOperation = append(config.OnAddOperation, describeErrors)
	config.Transformers = append(config.Transformers, malformed)
	config.Info.Description = "Control of a Uniflow host. Errors are application/problem+json with a code that `uniflow explain` explains."
	if c.Token != "" || c.Find != nil {
		config.Components.SecuritySchemes = map[string]*huma.SecurityScheme{"token": {Type: "http", Scheme: "bearer"}}
		config.Security = []map[string][]string{{"token": {}}}
	}
	routes{c.Logger}.register(humago.New(mux, config))
	serveMetrics(c, mux)
	return counted(c, mux, secure(routed(mux)))
}

// routed gives requests that no route takes the body of every other error. A path that is not clean is one of these: the
// mux would send the client on to the clean one, and to delete the schedule "." would be to delete all.
func routed(mux *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		refuse, pattern := mux.Handler(r)
		if at := r.URL.EscapedPath(); path.Clean(at) != at {
			refuse, pattern = http.NotFoundHandler(), ""
		}
		if pattern != "" {
			mux.ServeHTTP(w, r)
			return
		}
		why := refusal{header: http.Header{}}
		refuse.ServeHTTP(&why, r)
		e := &flow.Error{Code: flow.CodeRequest, Message: "there is no " + strconv.Quote(r.URL.Path), Hint: "GET /openapi.json describes what there is"}
		if allow := why.header.Get("Allow"); allow != "" {
			e.Message, e.Hint = fmt.Sprintf("%q cannot be asked for by %s", r.URL.Path, r.Method), "use one of "+allow
			w.Header().Set("Allow", allow)
			writeError(w, e, http.StatusMethodNotAllowed)
			return
		}
		writeError(w, e, http.StatusNotFound)
	})
}

// refusal keeps the header of an answer and drops the rest.
type refusal struct{ header http.Header }

func (r *refusal) Header() http.Header         { return r.header }
func (r *refusal) Write(b []byte) (int, error) { return len(b), nil }
func (r *refusal) WriteHeader(int)             {}

// secure sets the headers that every answer carries, and bounds every body.
func secure(next http.Handler) http.Handler {
	// A body must not be replaced in the server's own request: the server would then take what is left of one that was
	// not read to its end for the next request of the connection.
	next = http.MaxBytesHandler(next, maxBody)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Cache-Control", "no-store")
		// Artifacts are the work of guests: nothing in them may act in the name of this address.
		h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox; frame-ancestors 'none'")
		next.ServeHTTP(w, r)
	})
}

// addressed reports whether a Host header names this server.
func addressed(host string, names []string) bool {
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	name = strings.ToLower(strings.Trim(name, "[]"))
	if name == "localhost" {
		return true
	}
	if ip := net.ParseIP(name); ip != nil && ip.IsLoopback() {
		return true
	}
	for _, n := range names {
		if strings.EqualFold(n, name) {
			return true
		}
	}
	return false
}

// Loopback reports whether a TCP address can be reached from this machine only.
func Loopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// isClosed tells the end of a server from a failure.
func isClosed(err error) bool { return err == nil || errors.Is(err, http.ErrServerClosed) }

// Serve serves a listener until the server is shut down, by TLS where the server has certificates.
func Serve(server *http.Server, l net.Listener) error {
	serve := server.Serve
	if server.TLSConfig != nil {
		serve = func(l net.Listener) error { return server.ServeTLS(l, "", "") }
	}
	if err := serve(Bounded(l, maxConnections)); !isClosed(err) {
		return err
	}
	return nil
}
