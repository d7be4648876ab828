package host_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/uniflow-dev/uniflow/host"
	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/sdk/abi"
)

// collector takes traces as an OpenTelemetry collector does.
type collector struct {
	*httptest.Server

	mu    sync.Mutex
	spans []*tracepb.Span
	raw   bytes.Buffer
	more  chan struct{}
}

func newCollector(t *testing.T) *collector {
	t.Helper()
	c := &collector{more: make(chan struct{}, 1000)}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		var data tracepb.TracesData
		if err := errors.Join(err, proto.Unmarshal(body, &data)); err != nil || r.URL.Path != "/v1/traces" || r.Header.Get("X-Key") != "k e y" {
			t.Errorf("%s with %v: %v", r.URL, r.Header, err)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.raw.Write(body)
		for _, rs := range data.GetResourceSpans() {
			for _, ss := range rs.GetScopeSpans() {
				c.spans = append(c.spans, ss.GetSpans()...)
			}
		}
		c.more <- struct{}{}
	}))
	t.Cleanup(c.Close)
	return c
}

// wait waits until spans have come, and returns all by name.
func (c *collector) wait(t *testing.T, n int) map[string]*tracepb.Span {
	t.Helper()
	end := time.After(20 * time.Second)
	for {
		c.mu.Lock()
		all := slices.Clone(c.spans)
		c.mu.Unlock()
		if len(all) >= n {
			named := map[string]*tracepb.Span{}
			for _, s := range all {
				named[s.GetName()] = s
			}
			return named
		}
		select {
		case <-c.more:
		case <-end:
			t.Fatalf("%d spans have come, want %d", len(all), n)
		}
	}
}

func attribute(s *tracepb.Span, key string) string {
	for _, a := range s.GetAttributes() {
		if a.GetKey() == key {
			return strings.NewReplacer("string_value:", "", "int_value:", "", `"`, "").Replace(a.GetValue().String())
		}
	}
	return ""
}

// observed is a host with pipelines that fail once, call a server and skip; it is served and traced.
func observed(t *testing.T, log *slog.Logger, called chan<- string) (*host.Host, string) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { called <- r.Header.Get("Traceparent") }))
	t.Cleanup(server.Close)
	h := begin(t, host.Config{Data: t.TempDir(), API: &host.API{Listen: "127.0.0.1:0"}, Logger: log})
	h.Allow("load", flow.Grant{HTTP: []string{"GET " + server.URL + "/*"}}, nil)
	p := flow.Pipeline{Name: "load", Steps: map[string]flow.Step{"do": {Plugin: "load", Retry: flow.Retry{Attempts: 2, Backoff: flow.Backoff{Min: time.Millisecond, Max: time.Millisecond}}}}}
	err := h.Register("load", func(ctx context.Context, c *host.Call) error {
		request, err := json.Marshal(map[string]any{"url": server.URL + "/path-s3cret?key=query-s3cret", "headers": map[string]string{"traceparent": c.Traceparent}})
		if err != nil {
			return err
		}
		if _, err := c.Call(ctx, abi.OpHTTPRequest, request, nil); err != nil {
			return err
		}
		if c.Attempt == 1 {
			return errors.New("words-s3cret of a plugin")
		}
		return c.Output("value", "output-s3cret")
	})
	if err := errors.Join(err, h.Define(t.Context(), p)); err != nil {
		t.Fatal(err)
	}
	if err := h.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	info, err := h.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return h, "http://" + info.Listen
}

func execute(t *testing.T, h *host.Host, r flow.RunRecord, err error) flow.RunID {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := settled(t, h, r.ID, nil); err != nil {
		t.Fatal(err)
	}
	return r.ID
}

// Promise: a run is one trace, from its id alone; what it calls can be a part of it; nothing that guests said or were given
// is in it. The same run is in the figures and in the log, under the keys that the documents name.
//
//nolint:paralleltest // it sets the environment
func TestARunIsTracedCountedAndLogged(t *testing.T) {
	c := newCollector(t)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", c.URL)
	t.Setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-key=k%20e%20y")
	t.Setenv("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")
	t.Setenv("OTEL_TRACES_SAMPLER_ARG", "1")
	called := make(chan string, 10)
	var log bytes.Buffer
	h, base := observed(t, slog.New(slog.NewJSONHandler(&log, nil)), called)
	r, err := h.StartRun(t.Context(), flow.RunRequest{Pipeline: "load"})
	first := execute(t, h, r, err)
	named := c.wait(t, 6)
	checkTrace(t, named, first)
	for i := range 2 {
		if got, want := <-called, flow.Traceparent(first, "do", nil, i+1, true); got != want {
			t.Errorf("attempt %d calls with traceparent %s, want %s", i+1, got, want)
		}
	}
	if len(called) != 0 {
		t.Errorf("%d calls more", len(called))
	}
	c.mu.Lock()
	if bytes.Contains(c.raw.Bytes(), []byte("s3cret")) {
		t.Error("the trace holds what nobody else is to know")
	}
	c.mu.Unlock()

	r, err = h.Rerun(t.Context(), flow.RerunRequest{Run: string(first), FromStep: "do"})
	again := execute(t, h, r, err)
	links := c.wait(t, 12)["run load"].GetLinks()
	if of := flow.TraceID(first); len(links) != 1 || !bytes.Equal(links[0].GetTraceId(), of[:]) {
		t.Errorf("rerun %s has links %v", again, links)
	}
	checkFigures(t, base)
	if err := h.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	checkLog(t, log.Bytes(), first)
}

func checkTrace(t *testing.T, named map[string]*tracepb.Span, run flow.RunID) {
	t.Helper()
	trace, root := flow.TraceID(run), flow.SpanID(run, "", nil, 0)
	step, second := flow.SpanID(run, "do", nil, 0), flow.SpanID(run, "do", nil, 2)
	for name, want := range map[string]struct {
		span, parent []byte
		outcome      string
	}{
		"run load": {root[:], nil, "succeeded"}, "step do": {step[:], root[:], "succeeded"}, "attempt do #1": {nil, step[:], "failed"},
		"attempt do #2": {second[:], step[:], "succeeded"}, "http.request": {nil, nil, ""},
	} {
		s := named[name]
		if s == nil {
			t.Fatalf("no span %q among %v", name, named)
		}
		if !bytes.Equal(s.GetTraceId(), trace[:]) || want.span != nil && !bytes.Equal(s.GetSpanId(), want.span) || want.parent != nil && !bytes.Equal(s.GetParentSpanId(), want.parent) ||
			attribute(s, "uniflow.outcome") != want.outcome || attribute(s, "uniflow.tenant") != "default" || s.GetEndTimeUnixNano() < s.GetStartTimeUnixNano() {
			t.Errorf("span %s of run %s: %v", name, hex.EncodeToString(trace[:]), s)
		}
	}
	if call := named["http.request"]; attribute(call, "server.address") != "127.0.0.1" || attribute(call, "http.response.status_code") != "200" || attribute(call, "http.request.method") != "GET" {
		t.Errorf("host call %v", call)
	}
	if s := named["attempt do #1"].GetStatus(); s.GetCode() != tracepb.Status_STATUS_CODE_ERROR || s.GetMessage() != "plugin" {
		t.Errorf("status of a failed attempt: %v", s)
	}
}

// checkFigures waits for the figures of the runs, which come a moment later.
func checkFigures(t *testing.T, base string) {
	t.Helper()
	wants := []string{
		`uniflow_runs_ended_total{outcome="succeeded",pipeline="load",reason="",tenant="default"} 2`, `uniflow_retries_total{pipeline="load",tenant="default"} 2`,
		`uniflow_api_requests_total{route="GET /metrics",status="2xx"}`, `uniflow_ledger_commits_total `, `uniflow_spans_dropped_total 0`, `go_goroutines `,
	}
	text := ""
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, base+"/metrics", nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(response.Body)
		_ = response.Body.Close()
		if text = string(body); err == nil && !slices.ContainsFunc(wants, func(want string) bool { return !strings.Contains(text, want) }) {
			return
		}
	}
	for _, want := range wants {
		if !strings.Contains(text, want) {
			t.Errorf("the figures lack %s", want)
		}
	}
}

// checkLog holds every line of a log against the keys that there are.
func checkLog(t *testing.T, log []byte, run flow.RunID) {
	t.Helper()
	ended := false
	keys := append(logKeys(t), "time", "level", "msg")
	for line := range bytes.Lines(log) {
		var facts map[string]any
		if err := json.Unmarshal(line, &facts); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		for key := range facts {
			if !slices.Contains(keys, key) {
				t.Errorf("key %q is not one of the log's: %s", key, line)
			}
		}
		if facts["msg"] == "run ended" && facts["run"] == string(run) {
			ended = true
			if got := fmt.Sprint(facts["tenant"], facts["pipeline"], facts["outcome"], facts["level"]); got != "defaultloadsucceededINFO" {
				t.Errorf("the end of the run: %s", line)
			}
		}
	}
	if !ended || bytes.Contains(log, []byte("s3cret")) {
		t.Errorf("the log does not tell of the run, or tells too much: %s", log)
	}
}

// logKeys are those that docs/OBSERVE.md names.
func logKeys(t *testing.T) []string {
	t.Helper()
	page, err := os.ReadFile(filepath.Join("..", "docs", "OBSERVE.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(page), "## Logs")
	section, _, _ = strings.Cut(section, "\n## ")
	var keys []string
	for _, hit := range regexp.MustCompile("`([a-z_]+)`").FindAllStringSubmatch(section, -1) {
		keys = append(keys, hit[1])
	}
	return keys
}

// Promise: every key of the host's log stands in docs/OBSERVE.md, so that who reads the log can go by it.
func TestTheDocumentListsAllKeysOfTheLog(t *testing.T) {
	t.Parallel()
	keys, attribute := logKeys(t), regexp.MustCompile(`slog\.(?:String|Any|Int|Int64|Uint64|Bool|Duration|Time|Float64)\("([^"]+)"`)
	for _, dir := range []string{".", filepath.Join("..", "cmd")} {
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			source, err := os.ReadFile(path)
			for _, hit := range attribute.FindAllSubmatch(source, -1) {
				if !slices.Contains(keys, string(hit[1])) {
					t.Errorf("%s logs under %q, which docs/OBSERVE.md does not name", path, hit[1])
				}
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
}
