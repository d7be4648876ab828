package api_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/api"
)

// fake is a Control of fixed answers; a verb that it lacks panics.
type fake struct {
	flow.Control
	err    error
	events []flow.Event
	asked  []any
}

func (f *fake) note(v ...any) { f.asked = append(f.asked, v...) }

func (f *fake) Pipeline(_ context.Context, id string) (flow.PipelineInfo, error) {
	f.note(id)
	return flow.PipelineInfo{ID: id, Steps: []string{"a"}, Plan: &flow.Plan{Pipeline: id, Timeout: flow.Duration(time.Hour)}}, f.err
}

func (f *fake) Runs(_ context.Context, q flow.RunQuery) ([]flow.RunRecord, error) {
	f.note(q)
	now := time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC)
	return []flow.RunRecord{{
		Run:   flow.Run{ID: "R", Context: map[string]json.RawMessage{"big": json.RawMessage("12345678901234567890")}},
		State: flow.StateEnded, Ending: flow.Ending{Outcome: flow.Failed, Reason: flow.ReasonTrap}, QueuedAt: now, StartedAt: &now,
	}}, f.err
}

func (f *fake) StartRun(_ context.Context, r flow.RunRequest) (flow.RunRecord, error) {
	f.note(r)
	return flow.RunRecord{State: flow.StateQueued}, f.err
}

func (f *fake) Next(_ context.Context, name string, after time.Time, n int) ([]time.Time, error) {
	f.note(name, after, n)
	return []time.Time{after.Add(time.Hour)}, f.err
}

func (f *fake) Unschedule(_ context.Context, name string) error {
	f.note(name)
	return f.err
}

func (f *fake) Events(context.Context, flow.EventQuery) ([]flow.Event, error) { return nil, f.err }

func (f *fake) Follow(_ context.Context, q flow.EventQuery, yield func(flow.Event) bool) error {
	f.note(q)
	for _, e := range f.events {
		if e.Seq > q.After && !yield(e) {
			return nil
		}
	}
	return f.err
}

func (f *fake) Artifact(_ context.Context, id flow.RunID, d flow.Digest) (io.ReadCloser, error) {
	f.note(id, d)
	return io.NopCloser(strings.NewReader("<script>")), f.err
}

// all gives everybody the same control.
func all(c flow.Control) func(flow.Principal, string) flow.Control {
	return func(flow.Principal, string) flow.Control { return c }
}

func serve(t *testing.T, c api.Config) (*api.Client, string) {
	t.Helper()
	c.Logger = slog.New(slog.DiscardHandler)
	server := httptest.NewServer(api.NewServer(c).Handler)
	t.Cleanup(server.Close)
	return api.NewClient(server.URL, c.Token), server.URL
}

func TestClientAndServerCarryEverything(t *testing.T) {
	t.Parallel()
	f := &fake{}
	client, _ := serve(t, api.Config{Control: all(f)})
	ctx := t.Context()
	info, err := client.Pipeline(ctx, "acme/weather")
	if err != nil || info.ID != "acme/weather" || info.Plan.Timeout != flow.Duration(time.Hour) {
		t.Errorf("got %+v, %v", info, err)
	}
	runs, err := client.Runs(ctx, flow.RunQuery{Pipeline: "acme/weather", State: flow.StateEnded, Outcome: flow.Failed, Limit: 3, Before: "X"})
	if err != nil || len(runs) != 1 || runs[0].Reason != flow.ReasonTrap || string(runs[0].Context["big"]) != "12345678901234567890" || runs[0].StartedAt.Nanosecond() != 6000 {
		t.Errorf("got %+v, %v", runs, err)
	}
	if _, err := client.StartRun(ctx, flow.RunRequest{Pipeline: "p", Context: map[string]json.RawMessage{"year": json.RawMessage("2013")}}); err != nil {
		t.Error(err)
	}
	after := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	next, err := client.Next(ctx, "s", after, 2)
	if err != nil || len(next) != 1 || !next[0].Equal(after.Add(time.Hour)) {
		t.Errorf("got %v, %v", next, err)
	}
	if err := client.Unschedule(ctx, "s"); err != nil {
		t.Error(err)
	}
	want := []any{"acme/weather", flow.RunQuery{Pipeline: "acme/weather", State: flow.StateEnded, Outcome: flow.Failed, Limit: 3, Before: "X"}}
	for i := range want {
		if f.asked[i] != want[i] {
			t.Errorf("argument %d: got %+v, want %+v", i, f.asked[i], want[i])
		}
	}
	if f.asked[3] != "s" || f.asked[6] != "s" {
		t.Errorf("names of schedules: got %v and %v, want s", f.asked[3], f.asked[6])
	}
	if r, ok := f.asked[2].(flow.RunRequest); !ok || string(r.Context["year"]) != "2013" {
		t.Errorf("got %+v", f.asked[2])
	}
}

func TestErrorsKeepCodeHintAndKind(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		err    error
		status int
		code   flow.Code
	}{
		{&flow.Error{Code: flow.CodeNotFound, Message: "no run", Hint: "list them", Err: flow.ErrNotFound}, 404, flow.CodeNotFound},
		{&flow.Error{Code: flow.CodeWritten, Message: "written", Hint: "edit"}, 409, flow.CodeWritten},
		{&flow.Error{Code: flow.CodeRefused, Message: "full", Hint: "wait"}, 429, flow.CodeRefused},
		{flow.Problems{{Code: "UF1234", Message: "bad year"}}, 422, "UF1234"},
		{errors.New("secret detail of the host"), 500, flow.CodeRequest},
	} {
		f := &fake{err: c.err}
		client, url := serve(t, api.Config{Control: all(f)})
		err := client.Unschedule(t.Context(), "s")
		if flow.CodeOf(err) != c.code || errors.Is(err, flow.ErrNotFound) != (c.status == 404) {
			t.Errorf("%v: got %v with code %q", c.err, err, flow.CodeOf(err))
		}
		if strings.Contains(err.Error(), "secret") {
			t.Errorf("an unknown error is shown: %v", err)
		}
		request, _ := http.NewRequestWithContext(t.Context(), http.MethodDelete, url+"/v1/schedules/s", nil)
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		if response.StatusCode != c.status || response.Header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%v: got %s, %s", c.err, response.Status, response.Header.Get("Content-Type"))
		}
	}
}

// Requests that never reach flow.Control fail in the same form as those that do.
func TestMalformedRequestsAreProblemsToo(t *testing.T) {
	t.Parallel()
	_, url := serve(t, api.Config{Control: all(&fake{})})
	for _, c := range []struct {
		method, path, body string
		status             int
		detail             string
	}{
		{"GET", "/v2", "", 404, `there is no "/v2"`},
		{"DELETE", "/v1/schedules/.", "", 404, `there is no "/v1/schedules/."`}, // and above all not all of them
		{"DELETE", "/v1/schedules/x/..", "", 404, `there is no`},
		{"DELETE", "/v1//schedules", "", 404, `there is no`},
		{"DELETE", "/v1/schedules/", "", 404, `there is no`},
		{"PATCH", "/v1/runs", "", 405, `"/v1/runs" cannot be asked for by PATCH`},
		{"POST", "/v1/runs", "{bad", 400, "invalid character 'b'"},
		{"POST", "/v1/runs", `{"pipeline": "p", "zap": 1}`, 422, "body.zap: unexpected property"},
		{"POST", "/v1/runs", `{"pipeline": "` + strings.Repeat("x", 10<<20) + `"}`, 413, "too large"},
		{"GET", "/v1/runs?limit=0", "", 422, "query.limit: expected number >= 1"},
	} {
		request, err := http.NewRequestWithContext(t.Context(), c.method, url+c.path, strings.NewReader(c.body))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Content-Type", "application/json")
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		raw, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
		_ = response.Body.Close()
		var p api.ErrorBody
		if err = errors.Join(err, json.Unmarshal(raw, &p)); err != nil || response.StatusCode != c.status || p.Status != c.status {
			t.Errorf("%s %s: got %s, %s, %v", c.method, c.path, response.Status, raw, err)
		}
		if p.Code != flow.CodeRequest || p.Hint == "" || !strings.Contains(p.Detail, c.detail) || response.Header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s %s: got %q %+v", c.method, c.path, response.Header.Get("Content-Type"), p)
		}
		if len(raw) > 1000 || strings.Contains(string(raw), "value") {
			t.Errorf("%s %s: values are sent back: %.200s", c.method, c.path, raw)
		}
	}
}

// A body that breaks off, or whose parts are not what they say, is the client's mistake.
func TestABrokenBodyIsAProblemOfTheRequest(t *testing.T) {
	t.Parallel()
	_, url := serve(t, api.Config{Control: all(&fake{})})
	for name, body := range map[string]string{
		"chunk":     "Transfer-Encoding: chunked\r\n\r\n5\r\n{\"pip\r\nzz\r\n\r\n",
		"cut off":   "Transfer-Encoding: chunked\r\n\r\n50\r\n{\"pip",
		"too short": "Content-Length: 80\r\n\r\n{\"pip",
	} {
		c, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := io.WriteString(c, "POST /v1/runs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"+body); err != nil {
			t.Fatal(err)
		}
		if err := c.(*net.TCPConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		response, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		var p api.ErrorBody
		err = json.NewDecoder(response.Body).Decode(&p)
		if err != nil || response.StatusCode != http.StatusBadRequest || p.Status != 400 || p.Code != flow.CodeRequest || p.Hint == "" || response.Header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: %s %+v, %v", name, response.Status, p, err)
		}
		_ = response.Body.Close()
	}
}

func TestEmptyListsAreNoNull(t *testing.T) {
	t.Parallel()
	_, url := serve(t, api.Config{Control: all(&fake{})})
	request, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, url+"/v1/events?after=9", nil)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if raw, err := io.ReadAll(response.Body); err != nil || strings.TrimSpace(string(raw)) != "[]" {
		t.Errorf("got %s, %v, want []", raw, err)
	}
}

func TestUnreachableHost(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
	for _, c := range []*api.Client{api.NewClient("http://"+l.Addr().String(), ""), api.NewSocketClient(filepath.Join(t.TempDir(), "none")), api.NewClient("::", "")} {
		if _, err := c.Info(t.Context()); flow.CodeOf(err) != flow.CodeUnreachable {
			t.Errorf("got %v", err)
		}
	}
	other := httptest.NewServer(http.NotFoundHandler())
	defer other.Close()
	if _, err := api.NewClient(other.URL, "").Info(t.Context()); flow.CodeOf(err) != flow.CodeUnreachable {
		t.Errorf("another server: got %v", err)
	}
}

func TestGuard(t *testing.T) {
	t.Parallel()
	_, url := serve(t, api.Config{Control: all(&fake{}), Token: "0123456789"})
	for _, c := range []struct {
		name, method, path string
		header             map[string]string
		want               int
	}{
		{"no token", "GET", "/v1/pipelines/p", nil, 401},
		{"wrong token", "GET", "/v1/pipelines/p", map[string]string{"Authorization": "Bearer 012345678"}, 401},
		{"token", "GET", "/v1/pipelines/p", map[string]string{"Authorization": "Bearer 0123456789"}, 200},
		{"health without token", "GET", "/healthz", nil, 200},
		{"foreign name", "GET", "/healthz", map[string]string{"Host": "evil.example"}, 421},
		{"local name", "GET", "/healthz", map[string]string{"Host": "localhost:1"}, 200},
		{"page of another site", "DELETE", "/v1/schedules/s", map[string]string{"Authorization": "Bearer 0123456789", "Origin": "https://evil.example"}, 403},
		{"unknown query", "GET", "/v1/runs?limits=3", map[string]string{"Authorization": "Bearer 0123456789"}, 422},
		{"limit too large", "GET", "/v1/runs?limit=100000", map[string]string{"Authorization": "Bearer 0123456789"}, 422},
		{"unknown path", "GET", "/v2", map[string]string{"Authorization": "Bearer 0123456789"}, 404},
	} {
		request, err := http.NewRequestWithContext(t.Context(), c.method, url+c.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		for k, v := range c.header {
			request.Header.Set(k, v)
		}
		request.Host = c.header["Host"]
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		if response.StatusCode != c.want {
			t.Errorf("%s: got %d, want %d", c.name, response.StatusCode, c.want)
		}
	}
}

func TestFollowResumesAndEndsWithTheRun(t *testing.T) {
	t.Parallel()
	f := &fake{events: []flow.Event{{Seq: 1, Kind: flow.RunStarted, Run: "R"}, {Seq: 2, Kind: flow.StepEnded, Run: "R"}, {Seq: 3, Kind: flow.RunEnded, Run: "R"}}}
	client, _ := serve(t, api.Config{Control: all(f)})
	var seen []int64
	if err := client.Follow(t.Context(), flow.EventQuery{Run: "R", After: 1}, func(e flow.Event) bool {
		seen = append(seen, e.Seq)
		return true
	}); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(seen, []int64{2, 3}) {
		t.Errorf("got %v", seen)
	}
	f.events = f.events[:1]
	err := client.Follow(t.Context(), flow.EventQuery{Run: "R"}, func(flow.Event) bool { return true })
	if flow.CodeOf(err) != flow.CodeUnreachable {
		t.Errorf("a broken stream: got %v", err)
	}
}

// A client that does not read is dropped, and the host's log says so.
func TestAFollowerThatDoesNotReadIsDropped(t *testing.T) {
	t.Parallel()
	f := &fake{}
	for seq := range int64(64) {
		f.events = append(f.events, flow.Event{Seq: seq + 1, Detail: json.RawMessage(`"` + strings.Repeat("x", 1<<20) + `"`)})
	}
	lines, out := io.Pipe()
	server := httptest.NewServer(api.NewServer(api.Config{Control: all(f), Logger: slog.New(slog.NewTextHandler(out, nil))}).Handler)
	defer server.Close()
	c, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, "GET /v1/events/stream HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	defer time.AfterFunc(time.Minute, func() { _ = out.Close() }).Stop()
	line := make([]byte, 1<<10)
	n, err := lines.Read(line)
	if err != nil || !strings.Contains(string(line[:n]), "slow client of an event stream dropped") {
		t.Errorf("the log says %q, %v", line[:n], err)
	}
}

func TestArtifactCannotActAsAPage(t *testing.T) {
	t.Parallel()
	_, url := serve(t, api.Config{Control: all(&fake{})})
	response, err := http.Get(url + "/v1/runs/R/artifacts/" + string(flow.DigestOf(nil)))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	raw, _ := io.ReadAll(response.Body)
	if string(raw) != "<script>" || response.Header.Get("Content-Type") != "application/octet-stream" ||
		!strings.Contains(response.Header.Get("Content-Security-Policy"), "sandbox") || response.Header.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("got %q, %v", raw, response.Header)
	}
}

func TestDescriptionIsCompleteAndSelfContained(t *testing.T) {
	t.Parallel()
	_, url := serve(t, api.Config{Control: all(&fake{}), Version: "1.2.3"})
	response, err := http.Get(url + "/openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var doc struct {
		OpenAPI string                    `json:"openapi"`
		Paths   map[string]map[string]any `json:"paths"`
	}
	raw, _ := io.ReadAll(response.Body)
	if err := json.Unmarshal(raw, &doc); err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, verbs := range doc.Paths {
		n += len(verbs)
	}
	if !strings.HasPrefix(doc.OpenAPI, "3.1") || n != 42 {
		t.Errorf("got version %s with %d operations", doc.OpenAPI, n)
	}
	if strings.Contains(string(raw), "unpkg") || strings.Contains(string(raw), "cdn") {
		t.Error("the description refers to scripts of others")
	}
	page, err := http.Get(url + "/docs")
	if err != nil {
		t.Fatal(err)
	}
	_ = page.Body.Close()
	if page.StatusCode != http.StatusNotFound {
		t.Errorf("a page is served at /docs: %s", page.Status)
	}
}

func TestLoopback(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]bool{"127.0.0.1:1": true, "[::1]:1": true, "localhost:0": true, "0.0.0.0:1": false, ":80": false, "[::]:1": false, "10.0.0.1:1": false, "x": false, "example.com:80": false} {
		if got := api.Loopback(address); got != want {
			t.Errorf("%s: got %v", address, got)
		}
	}
}
