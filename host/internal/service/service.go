// Package service is the host side of one attempt: log lines, progress, artifacts, and the services behind `call`. It
// bounds what a guest can make the host keep, and hands on nothing that could pass for the host's own words.
//
// It must not know which runtime a guest runs in, nor the ledger.
package service

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/sdk/abi"
)

// Config wires Services.
type Config struct {
	// Blobs keeps artifacts.
	Blobs flow.Blobs
	// Version of the host, for host.info.
	Version string
	// Secrets reads a secret of a tenant by name, each time anew. Nil has none.
	Secrets func(tenant, name string) (string, error)
	// Network is how HTTP requests leave the host.
	Network Network
	// Quotas bounds tenants. Nil is no bound.
	Quotas Quotas
}

// Services serves attempts. It is safe for concurrent use.
type Services struct{ config Config }

// New returns Services.
func New(c Config) *Services { return &Services{config: c} }

// Features are the names of services that guests find in their run context.
func (s *Services) Features() []string {
	return []string{"artifact", "event", "http", "secret", "state"}
}

// Attempt is what is served.
type Attempt struct {
	Call flow.Call
	// Plugin is what the attempt executes: its grant and secrets are those of the attempt.
	Plugin flow.PlanPlugin
	// Known are the artifacts that the run has received or put.
	Known []flow.Digest
	// Log takes a line with level, message and time; the caller fills in whose it is. It must not block.
	Log func(flow.LogLine)
	// Progress takes a heartbeat, at most one a second.
	Progress func(permille int, message string)
	// Put, where it is set, hears of each artifact that the attempt put, and of its size.
	Put func(flow.Digest, int64)
	// Egress, where it is set, hears of the bytes of HTTP that the attempt sent and received.
	Egress func(bytes int64)
	// State reads what the pipeline keeps, as the run sees it. Wrote hears of each change that the attempt makes, nil for a
	// deletion, and Emit records an event. None of the three is set where there is no ledger.
	State func(ctx context.Context) (map[string]json.RawMessage, error)
	Wrote func(key string, value json.RawMessage)
	Emit  func(ctx context.Context, e flow.EmittedEvent) error
}

// Open returns the host side of one attempt under ctx. The returned function ends it: it is called once, after the guest;
// what the limits dropped is then reported in a last line, and later calls change nothing.
func (s *Services) Open(ctx context.Context, a Attempt) (flow.HostCalls, func()) {
	h := &host{ctx: ctx, config: s.config, attempt: a, known: map[flow.Digest]bool{}}
	h.vault = newVault(a.Plugin, s.secretsOf(a.Call.Context.Tenant))
	h.log = logger{limit: orDefault(a.Call.Limits.Log, defaultLog), keep: a.Log, veil: &h.vault.all}
	h.progress = heartbeat{tell: a.Progress}
	h.artifacts = orDefault(a.Call.Limits.Artifacts, defaultArtifacts)
	h.client = newClient(s.config, &h.attempt, h.vault, h.artifacts)
	for _, d := range a.Known {
		h.known[d] = true
	}
	return h, h.close
}

// Defaults of limits that a call leaves at zero.
const (
	defaultLog       = flow.MiB
	defaultArtifacts = 64 * flow.MiB
)

func orDefault(s, otherwise flow.Size) int64 {
	if s <= 0 {
		return int64(otherwise)
	}
	return int64(s)
}

// host implements flow.HostCalls.
type host struct {
	ctx      context.Context //nolint:containedctx // the attempt is what ctx bounds
	config   Config
	attempt  Attempt
	log      logger
	progress heartbeat
	vault    *vault
	client   *client
	state    state
	emitted  atomic.Int64

	putting   sync.Mutex // held while an artifact is stored, so that the sum holds
	artifacts int64      // bytes that may still be put
	count     int        // artifacts put

	mu    sync.Mutex
	known map[flow.Digest]bool
}

var _ flow.HostCalls = (*host)(nil)

// Log implements flow.HostCalls.
func (h *host) Log(level flow.LogLevel, message string) { h.log.add(level, message) }

// Progress implements flow.HostCalls.
func (h *host) Progress(permille int, message string) bool {
	h.progress.beat(permille, clean(h.vault.all.Text(message), maxLine))
	return h.ctx.Err() != nil
}

func (h *host) close() {
	h.progress.close()
	h.log.close()
	h.client.close()
}

// Call implements flow.HostCalls.
func (h *host) Call(ctx context.Context, op string, request, body []byte) ([]byte, error) {
	if ctx.Err() != nil {
		return nil, refuse(abi.Cancelled, "the attempt is being stopped", "")
	}
	response, err := h.serve(ctx, op, h.recorded(op, request), body)
	if err != nil {
		return nil, h.refused(err)
	}
	return response, nil
}

// serve does what an operation asks for.
func (h *host) serve(ctx context.Context, op string, request, body []byte) ([]byte, error) {
	switch op {
	case abi.OpHostInfo:
		return h.info()
	case abi.OpHTTPRequest:
		return h.requestHTTP(ctx, request, body)
	case abi.OpSecretGet:
		return h.getSecret(ctx, request)
	case abi.OpStateGet, abi.OpStateSet, abi.OpStateDelete, abi.OpStateList:
		return h.serveState(ctx, op, request)
	case abi.OpEventEmit:
		return h.emit(ctx, request)
	case abi.OpArtifactPut:
		return h.putArtifact(ctx, request, body)
	case abi.OpArtifactGet:
		return h.getArtifact(ctx, request)
	}
	return nil, refuse(abi.UnknownOp, fmt.Sprintf("this host has no service %q", clean(op, abi.MaxOp)), "call host.info for the services that it has")
}

// refuse is the error of a service that a guest sees.
func refuse(errno abi.Errno, message, hint string) error {
	return &flow.ServiceError{Errno: int(errno), Code: errno.Name(), Message: message, Hint: hint}
}

// info is the answer of host.info. Sizes are in bytes.
type info struct {
	Version string     `json:"version"`
	ABI     string     `json:"abi"`
	Ops     []string   `json:"ops"`
	Limits  infoLimits `json:"limits"`
}

type infoLimits struct {
	Memory    int64 `json:"memory"`
	Output    int64 `json:"output"`
	Log       int64 `json:"log"`
	Artifacts int64 `json:"artifacts"`
	Fuel      int64 `json:"fuel,omitempty"`
}

func (h *host) info() ([]byte, error) {
	l := h.attempt.Call.Limits
	return encode(info{
		Version: h.config.Version, ABI: abi.Version,
		Ops: []string{
			abi.OpArtifactGet, abi.OpArtifactPut, abi.OpEventEmit, abi.OpHostInfo, abi.OpHTTPRequest, abi.OpSecretGet,
			abi.OpStateDelete, abi.OpStateGet, abi.OpStateList, abi.OpStateSet,
		},
		Limits: infoLimits{
			Memory: int64(l.Memory), Output: orDefault(l.Output, abi.MaxOutput), Log: orDefault(l.Log, defaultLog),
			Artifacts: orDefault(l.Artifacts, defaultArtifacts), Fuel: l.Fuel,
		},
	})
}

func encode(v any) ([]byte, error) {
	doc, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encode response: %w", err)
	}
	return doc, nil
}
