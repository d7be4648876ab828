// Package api is a host over HTTP: a server that offers flow.Control as a REST API with an OpenAPI 3.1 description and
// live events, and the client that implements flow.Control on top of it.
//
// It holds no rules of its own: what may be done and how it fails is decided behind flow.Control. It must not reach
// into a store, a runtime or a scheduler.
package api

import (
	"crypto/sha256"
	"crypto/subtle"
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
	// Control is what the API offers.
	Control flow.Control
	// Version of the host, for the description.
	Version string
	// Token, if not empty, must come with every request as "Authorization: Bearer TOKEN".
	Token string
	// Hosts are the names by which the server may be addressed, beside loopback ones. A request for another name is
	// refused, so that a page in a browser cannot reach the API by a name that it has pointed here.
	Hosts  []string
	Logger *slog.Logger
	// Metrics serves figures for monitoring at /metrics: those of one tenant, or of all for no name. Defaults to none.
	Metrics func(tenant string) http.Handler
	// Served hears of each request: its route, which is empty where there is none, and the status of the answer.
	Served func(route string, status int)
}

const (
	headerTime = 10 * time.Second // for a client to send its headers
	bodyTime   = time.Minute      // for a client to send all of a request
	idleTime   = 2 * time.Minute  // between requests of a connection
	maxBody    = 9 << 20          // of a request: a run context of 8 MiB and its envelope
)

// NewServer returns a server that the caller gives listeners to. Local ones, whose peers are on this machine by
// their nature (a Unix socket), are served by the handler of Local.
func NewServer(c Config) *http.Server {
	return &http.Server{
		Handler:           guard(c, Handler(c)),
		ReadHeaderTimeout: headerTime, ReadTimeout: bodyTime, IdleTimeout: idleTime, MaxHeaderBytes: 64 << 10,
		ErrorLog: slog.NewLogLogger(c.Logger.Handler(), slog.LevelDebug),
	}
}

// NewLocalServer is NewServer for a Unix socket: the file's permissions decide who may connect, so that neither a
// token nor a host name is asked for.
func NewLocalServer(c Config) *http.Server {
	server := NewServer(c)
	server.Handler = Handler(c)
	return server
}

// Handler returns the API without its guard.
func Handler(c Config) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = w.Write([]byte("ok\n"))
	})
	config := huma.DefaultConfig("Uniflow", c.Version)
	config.DocsPath = ""     // huma's page loads scripts from elsewhere
	config.SchemasPath = ""  // the description holds them
	config.CreateHooks = nil // no links to schemas in bodies
	config.RejectUnknownQueryParameters = true
	config.OnAddOperation = append(config.OnAddOperation, describeErrors)
	config.Transformers = append(config.Transformers, malformed)
	config.Info.Description = "Control of a Uniflow host. Errors are application/problem+json with a code that `uniflow explain` explains."
	if c.Token != "" {
		config.Components.SecuritySchemes = map[string]*huma.SecurityScheme{"token": {Type: "http", Scheme: "bearer"}}
		config.Security = []map[string][]string{{"token": {}}}
	}
	routes{c.Control, c.Logger}.register(humago.New(mux, config))
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

// guard refuses requests without the token, under a foreign name, or from another page.
func guard(c Config, next http.Handler) http.Handler {
	want := sha256.Sum256([]byte("Bearer " + c.Token))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got := sha256.Sum256([]byte(r.Header.Get("Authorization")))
		switch {
		case !addressed(r.Host, c.Hosts):
			writeError(w, &flow.Error{Code: flow.CodeRequest, Message: "this server does not go by the name " + r.Host, Hint: "use the address that it listens on"}, http.StatusMisdirectedRequest)
		case r.Header.Get("Origin") != "" && r.Method != http.MethodGet && r.Method != http.MethodHead:
			writeError(w, &flow.Error{Code: flow.CodeRequest, Message: "requests from pages are not served", Hint: "use the command line or a program"}, http.StatusForbidden)
		case c.Token != "" && r.URL.Path != "/healthz" && subtle.ConstantTimeCompare(got[:], want[:]) != 1:
			w.Header().Set("WWW-Authenticate", "Bearer")
			writeError(w, &flow.Error{Code: flow.CodeUnauthorized, Message: "the token is missing or wrong", Hint: "set UNIFLOW_TOKEN to the host's token"}, http.StatusUnauthorized)
		default:
			next.ServeHTTP(w, r)
		}
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

// Serve serves a listener until the server is shut down.
func Serve(server *http.Server, l net.Listener) error {
	if err := server.Serve(l); !isClosed(err) {
		return err
	}
	return nil
}
