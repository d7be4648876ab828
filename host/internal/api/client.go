package api

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// Client is a host on the other side of its API. It implements flow.Control.
type Client struct {
	base  string
	token string
	http  *http.Client
}

// NewClient returns a client of a server's URL. The token may be empty.
func NewClient(server, token string) *Client {
	return &Client{base: strings.TrimSuffix(server, "/"), token: token, http: &http.Client{Transport: &http.Transport{ResponseHeaderTimeout: time.Minute}}}
}

// WithCA makes the client trust the certificates of a PEM file, beside none of the system's.
func (c *Client) WithCA(path string) (*Client, error) {
	raw, err := os.ReadFile(path)
	pool := x509.NewCertPool()
	if err != nil || !pool.AppendCertsFromPEM(raw) {
		return nil, &flow.Error{Code: flow.CodeTLS, Op: "read the certificates of UNIFLOW_CA", Message: "the file holds no certificate: " + path, Hint: "give the PEM file of the authority that signed the host's certificate", Err: err}
	}
	c.http = &http.Client{Transport: &http.Transport{ResponseHeaderTimeout: time.Minute, TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}}
	return c, nil
}

// NewSocketClient returns a client of a Unix socket.
func NewSocketClient(path string) *Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", path)
	}
	return &Client{base: "http://localhost", http: &http.Client{Transport: &http.Transport{DialContext: dial, ResponseHeaderTimeout: time.Minute}}}
}

// maxAnswer bounds what the client reads of an answer that it holds in memory.
const maxAnswer = 256 << 20

// do makes one request and decodes the answer into out, which may be nil.
func (c *Client) do(ctx context.Context, method, path string, query url.Values, in, out any) error {
	response, err := c.send(ctx, method, path, query, in)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if out == nil {
		return nil
	}
	content := &io.LimitedReader{R: response.Body, N: maxAnswer}
	err = json.NewDecoder(content).Decode(out)
	switch {
	case err != nil && content.N <= 0:
		return &flow.Error{Code: flow.CodeRequest, Message: fmt.Sprintf("the host's answer has more than %s", flow.Size(maxAnswer)), Hint: "ask for less: see --limit, or read the artifacts of a run one by one"}
	case err != nil:
		return fmt.Errorf("read the host's answer: %w", err)
	}
	return nil
}

// send makes one request and returns a good answer, or the error that the host gave.
func (c *Client) send(ctx context.Context, method, path string, query url.Values, in any) (*http.Response, error) {
	if err := named(path); err != nil {
		return nil, err
	}
	var content io.Reader
	if in != nil {
		raw, err := json.Marshal(in)
		if err != nil {
			return nil, fmt.Errorf("write the request: %w", err)
		}
		content = bytes.NewReader(raw)
	}
	target := c.base + path
	if len(query) > 0 {
		target += "?" + query.Encode()
	}
	request, err := http.NewRequestWithContext(ctx, method, target, content)
	if base, bad := url.Parse(c.base); err != nil || bad != nil || base.Host == "" || base.Scheme != "http" && base.Scheme != "https" {
		return nil, &flow.Error{Code: flow.CodeUnreachable, Message: "not a server's URL: " + c.base, Hint: "give it as http://127.0.0.1:7420", Err: err}
	}
	if in != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	if c.token != "" {
		request.Header.Set("Authorization", "Bearer "+c.token)
	}
	response, err := c.http.Do(request)
	if err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, c.unreachable(err)
	}
	if response.StatusCode < 300 {
		return response, nil
	}
	defer response.Body.Close()
	return nil, remoteError(response)
}

// unreachable says why no answer came.
func (c *Client) unreachable(err error) error {
	e := &flow.Error{Code: flow.CodeUnreachable, Message: "no host answers at " + c.base, Hint: "start one with `uniflow serve`", Err: err}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		e.Message, e.Hint = "the certificate of "+c.base+" is not trusted", "name the PEM file of its authority in UNIFLOW_CA"
	}
	return e
}

// named refuses a path with a part that is no name: what is between here and the host may take it away, and what is left
// would mean something else.
func named(path string) error {
	for part := range strings.SplitSeq(strings.TrimPrefix(path, "/"), "/") {
		if part == "" || part == "." || part == ".." {
			return &flow.Error{Code: flow.CodeNotFound, Message: fmt.Sprintf("%q names nothing", part), Hint: "`uniflow pipeline list`, `uniflow schedule list` and `uniflow runs list` show what there is", Err: flow.ErrNotFound}
		}
	}
	return nil
}

// remoteError makes of a problem body what the host's flow.Control returned.
func remoteError(response *http.Response) error {
	var p ErrorBody
	if err := json.NewDecoder(io.LimitReader(response.Body, 4<<20)).Decode(&p); err != nil || p.Status == 0 {
		return &flow.Error{Code: flow.CodeUnreachable, Message: "what answers is not a Uniflow host: " + response.Status, Hint: "check --server"}
	}
	if len(p.Problems) > 0 {
		return flow.Problems(p.Problems)
	}
	e := &flow.Error{Code: cmp.Or(p.Code, flow.CodeRequest), Message: p.Detail, Hint: p.Hint}
	if response.StatusCode == http.StatusNotFound {
		e.Err = flow.ErrNotFound
		e.Message = strings.TrimSuffix(e.Message, ": "+flow.ErrNotFound.Error())
	}
	return e
}

// call makes a request whose answer is a T.
func call[T any](ctx context.Context, c *Client, method, path string, query url.Values, in any) (T, error) {
	var out T
	err := c.do(ctx, method, path, query, in, &out)
	return out, err
}

func seg(name string) string { return url.PathEscape(name) }

// values builds a query of what is set.
func values(pairs ...string) url.Values {
	v := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" && pairs[i+1] != "0" {
			v.Set(pairs[i], pairs[i+1])
		}
	}
	return v
}

func instant(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}

// Info implements flow.Control.
func (c *Client) Info(ctx context.Context) (flow.HostInfo, error) {
	return call[flow.HostInfo](ctx, c, http.MethodGet, "/v1/info", nil, nil)
}

// Pipelines implements flow.Control.
func (c *Client) Pipelines(ctx context.Context) ([]flow.PipelineInfo, error) {
	return call[[]flow.PipelineInfo](ctx, c, http.MethodGet, "/v1/pipelines", nil, nil)
}

// Pipeline implements flow.Control.
func (c *Client) Pipeline(ctx context.Context, id string) (flow.PipelineInfo, error) {
	return call[flow.PipelineInfo](ctx, c, http.MethodGet, "/v1/pipelines/"+seg(id), nil, nil)
}

// SaveVersion implements flow.Control.
func (c *Client) SaveVersion(ctx context.Context, id string, metadata map[string]string) (flow.VersionRecord, error) {
	return call[flow.VersionRecord](ctx, c, http.MethodPost, "/v1/pipelines/"+seg(id)+"/versions", nil, map[string]any{"metadata": metadata})
}

// Versions implements flow.Control.
func (c *Client) Versions(ctx context.Context, id string) ([]flow.VersionRecord, error) {
	return call[[]flow.VersionRecord](ctx, c, http.MethodGet, "/v1/pipelines/"+seg(id)+"/versions", nil, nil)
}

// State implements flow.Control.
func (c *Client) State(ctx context.Context, id string) (map[string]json.RawMessage, error) {
	return call[map[string]json.RawMessage](ctx, c, http.MethodGet, "/v1/pipelines/"+seg(id)+"/state", nil, nil)
}

// SetState implements flow.Control.
func (c *Client) SetState(ctx context.Context, id string, change flow.StateChange) (map[string]json.RawMessage, error) {
	return call[map[string]json.RawMessage](ctx, c, http.MethodPost, "/v1/pipelines/"+seg(id)+"/state", nil, change)
}

// Schedules implements flow.Control.
func (c *Client) Schedules(ctx context.Context) ([]flow.ScheduleInfo, error) {
	return call[[]flow.ScheduleInfo](ctx, c, http.MethodGet, "/v1/schedules", nil, nil)
}

// Next implements flow.Control.
func (c *Client) Next(ctx context.Context, name string, after time.Time, n int) ([]time.Time, error) {
	return call[[]time.Time](ctx, c, http.MethodGet, "/v1/schedules/"+seg(name)+"/next", values("after", instant(after), "n", strconv.Itoa(n)), nil)
}

// ClockChanges implements flow.Control.
func (c *Client) ClockChanges(ctx context.Context, name string, after time.Time, n int) ([]flow.ClockChange, error) {
	return call[[]flow.ClockChange](ctx, c, http.MethodGet, "/v1/schedules/"+seg(name)+"/clock-changes", values("after", instant(after), "n", strconv.Itoa(n)), nil)
}

// AddSchedule implements flow.Control.
func (c *Client) AddSchedule(ctx context.Context, s flow.Schedule) (flow.ScheduleInfo, error) {
	return call[flow.ScheduleInfo](ctx, c, http.MethodPost, "/v1/schedules", nil, s)
}

// SetEnabled implements flow.Control.
func (c *Client) SetEnabled(ctx context.Context, name string, enabled bool) (flow.ScheduleInfo, error) {
	verb := "/disable"
	if enabled {
		verb = "/enable"
	}
	return call[flow.ScheduleInfo](ctx, c, http.MethodPost, "/v1/schedules/"+seg(name)+verb, nil, nil)
}

// Unschedule implements flow.Control.
func (c *Client) Unschedule(ctx context.Context, name string) error {
	return c.do(ctx, http.MethodDelete, "/v1/schedules/"+seg(name), nil, nil, nil)
}

// Clear implements flow.Control.
func (c *Client) Clear(ctx context.Context) (flow.Cleared, error) {
	return call[flow.Cleared](ctx, c, http.MethodDelete, "/v1/schedules", nil, nil)
}

// Slots implements flow.Control.
func (c *Client) Slots(ctx context.Context, q flow.SlotQuery) ([]flow.SlotRecord, error) {
	query := values("since", instant(q.Since), "until", instant(q.Until), "limit", strconv.Itoa(q.Limit))
	return call[[]flow.SlotRecord](ctx, c, http.MethodGet, "/v1/schedules/"+seg(flow.ID(q.Tenant, q.Schedule))+"/slots", query, nil)
}

// Why implements flow.Control.
func (c *Client) Why(ctx context.Context, name string, at time.Time) (flow.SlotStory, error) {
	return call[flow.SlotStory](ctx, c, http.MethodGet, "/v1/schedules/"+seg(name)+"/why", values("at", instant(at)), nil)
}

// StartRun implements flow.Control.
func (c *Client) StartRun(ctx context.Context, r flow.RunRequest) (flow.RunRecord, error) {
	return call[flow.RunRecord](ctx, c, http.MethodPost, "/v1/runs", nil, r)
}

// Rerun implements flow.Control.
func (c *Client) Rerun(ctx context.Context, r flow.RerunRequest) (flow.RunRecord, error) {
	return call[flow.RunRecord](ctx, c, http.MethodPost, "/v1/reruns", nil, r)
}

// RerunAll implements flow.Control.
func (c *Client) RerunAll(ctx context.Context, r flow.RerunAllRequest) (flow.MatchReport, error) {
	return call[flow.MatchReport](ctx, c, http.MethodPost, "/v1/reruns/matching", nil, r)
}

// Backfill implements flow.Control.
func (c *Client) Backfill(ctx context.Context, r flow.BackfillRequest) (flow.BackfillReport, error) {
	return call[flow.BackfillReport](ctx, c, http.MethodPost, "/v1/backfills", nil, r)
}

// Cancel implements flow.Control.
func (c *Client) Cancel(ctx context.Context, id flow.RunID) (flow.RunRecord, error) {
	return call[flow.RunRecord](ctx, c, http.MethodPost, "/v1/runs/"+seg(string(id))+"/cancel", nil, nil)
}

// CancelAll implements flow.Control.
func (c *Client) CancelAll(ctx context.Context, r flow.CancelAllRequest) (flow.MatchReport, error) {
	return call[flow.MatchReport](ctx, c, http.MethodPost, "/v1/cancellations/matching", nil, r)
}

// Runs implements flow.Control.
func (c *Client) Runs(ctx context.Context, q flow.RunQuery) ([]flow.RunRecord, error) {
	query := values("pipeline", q.Pipeline, "project", q.Project, "schedule", q.Schedule, "state", string(q.State), "outcome", string(q.Outcome), "before", string(q.Before), "limit", strconv.Itoa(q.Limit))
	return call[[]flow.RunRecord](ctx, c, http.MethodGet, "/v1/runs", query, nil)
}

// Run implements flow.Control.
func (c *Client) Run(ctx context.Context, name string) (flow.RunRecord, error) {
	return call[flow.RunRecord](ctx, c, http.MethodGet, "/v1/runs/"+seg(name), nil, nil)
}

// Logs implements flow.Control.
func (c *Client) Logs(ctx context.Context, q flow.LogQuery) ([]flow.LogLine, error) {
	query := values("step", q.Step, "after", strconv.FormatInt(q.After, 10), "limit", strconv.Itoa(q.Limit))
	return call[[]flow.LogLine](ctx, c, http.MethodGet, "/v1/runs/"+seg(string(q.Run))+"/logs", query, nil)
}

// Events implements flow.Control.
func (c *Client) Events(ctx context.Context, q flow.EventQuery) ([]flow.Event, error) {
	query := values("run", string(q.Run), "schedule", q.Schedule, "kind", string(q.Kind), "after", strconv.FormatInt(q.After, 10), "limit", strconv.Itoa(q.Limit))
	return call[[]flow.Event](ctx, c, http.MethodGet, "/v1/events", query, nil)
}

// Follow implements flow.Control. It ends with an error when the connection breaks; a caller comes back with the Seq of
// the last event that it saw.
func (c *Client) Follow(ctx context.Context, q flow.EventQuery, yield func(flow.Event) bool) error {
	query := values("run", string(q.Run), "after", strconv.FormatInt(q.After, 10))
	response, err := c.send(ctx, http.MethodGet, "/v1/events/stream", query, nil)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	lines := bufio.NewReaderSize(response.Body, 64<<10)
	for {
		line, err := lines.ReadBytes('\n')
		if data, ok := bytes.CutPrefix(line, []byte("data:")); ok {
			var e flow.Event
			if err := json.Unmarshal(data, &e); err != nil {
				return fmt.Errorf("read an event: %w", err)
			}
			if !yield(e) || (q.Run != "" && e.Kind == flow.RunEnded) {
				return nil
			}
		}
		if err != nil {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return &flow.Error{Code: flow.CodeUnreachable, Message: "the host closed the stream of events", Hint: "ask again", Err: err}
		}
	}
}

// Artifact implements flow.Control.
func (c *Client) Artifact(ctx context.Context, id flow.RunID, d flow.Digest) (io.ReadCloser, error) {
	response, err := c.send(ctx, http.MethodGet, "/v1/runs/"+seg(string(id))+"/artifacts/"+string(d), nil, nil)
	if err != nil {
		return nil, err
	}
	return response.Body, nil
}
