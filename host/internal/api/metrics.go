package api

import (
	"net/http"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// serveMetrics serves what the Config has for monitoring: a principal of one tenant gets that tenant's figures.
func serveMetrics(c Config, mux *http.ServeMux) {
	if c.Metrics == nil {
		return
	}
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, r *http.Request) {
		asker, ok := r.Context().Value(principalKey{}).(flow.Principal)
		if !ok {
			writeError(w, &flow.Error{Code: flow.CodeUnauthorized, Message: "nobody asks", Hint: "set UNIFLOW_TOKEN to a token of the host"}, http.StatusUnauthorized)
			return
		}
		c.Metrics(asker.Tenant).ServeHTTP(w, r)
	})
}

// counted tells the Config of each request: its route, empty where no route takes it, and the status of the answer.
func counted(c Config, mux *http.ServeMux, next http.Handler) http.Handler {
	if c.Served == nil {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, route := mux.Handler(r)
		seen := &answered{ResponseWriter: w, status: http.StatusOK}
		defer func() { c.Served(route, seen.status) }()
		next.ServeHTTP(seen, r)
	})
}

// answered remembers the status of an answer.
type answered struct {
	http.ResponseWriter

	status int
}

func (a *answered) WriteHeader(status int) {
	a.status = status
	a.ResponseWriter.WriteHeader(status)
}

// Flush sends what is written so far: streams of events ask for it.
func (a *answered) Flush() { _ = http.NewResponseController(a.ResponseWriter).Flush() }

// Unwrap lets a http.ResponseController reach the connection.
func (a *answered) Unwrap() http.ResponseWriter { return a.ResponseWriter }
