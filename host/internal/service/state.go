package service

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/sdk/abi"
)

// Bounds of what a pipeline keeps: marks and cursors. What is larger is an artifact.
const (
	maxStateKey   = 256
	maxStateKeys  = 1_000
	maxStateValue = 256 << 10
	maxStateBytes = 1 << 20 // keys and values together
)

// state is what the attempt sees of its pipeline's state: what is kept, and its own changes over it.
type state struct {
	mu     sync.Mutex
	values map[string]json.RawMessage // nil until it is read
	bytes  int
	room   *stateRoom
}

// stateRequest is that of all four operations.
type stateRequest struct {
	Key    string          `json:"key"`
	Value  json.RawMessage `json:"value"`
	Prefix string          `json:"prefix"`
}

// serveState serves state.get, set, delete and list.
func (h *host) serveState(ctx context.Context, op string, request []byte) ([]byte, error) {
	if !h.attempt.Plugin.Grant.State {
		return nil, h.ungranted(op, "state = true")
	}
	var req stateRequest
	if err := decode(request, &req); err != nil {
		return nil, err
	}
	if op != abi.OpStateList {
		if err := checkKey(req.Key); err != nil {
			return nil, err
		}
	}
	h.state.mu.Lock()
	defer h.state.mu.Unlock()
	if err := h.readState(ctx); err != nil {
		return nil, err
	}
	switch op {
	case abi.OpStateGet:
		value, ok := h.state.values[req.Key]
		if !ok {
			return nil, refuse(abi.NotFound, fmt.Sprintf("the pipeline keeps nothing at %q", clean(req.Key, maxStateKey)), "")
		}
		return encode(map[string]json.RawMessage{"value": value})
	case abi.OpStateSet:
		if err := h.stateFits(ctx, req.Key, req.Value); err != nil {
			return nil, err
		}
		return []byte("{}"), h.setState(req.Key, req.Value)
	case abi.OpStateDelete:
		h.deleteState(req.Key)
		return []byte("{}"), nil
	}
	keys := []string{}
	for key := range h.state.values {
		if strings.HasPrefix(key, req.Prefix) {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return encode(map[string][]string{"keys": keys})
}

func checkKey(key string) error {
	if key == "" || len(key) > maxStateKey || !utf8.ValidString(key) || strings.ContainsFunc(key, unsafeRune) {
		return refuse(abi.Invalid, fmt.Sprintf("a key of the state has 1 to %d bytes of printable text", maxStateKey), "")
	}
	return nil
}

// readState reads what is kept, once.
func (h *host) readState(ctx context.Context) error {
	if h.state.values != nil {
		return nil
	}
	if h.attempt.State == nil {
		return refuse(abi.Unavailable, "there is no ledger that could keep state", "")
	}
	values, err := h.attempt.State(ctx)
	if err != nil {
		return fmt.Errorf("read state: %w", err)
	}
	h.state.values = maps.Clone(values)
	if h.state.values == nil {
		h.state.values = map[string]json.RawMessage{}
	}
	for key, value := range values {
		h.state.bytes += len(key) + len(value)
	}
	return nil
}

func (h *host) setState(key string, value json.RawMessage) error {
	old, exists := h.state.values[key]
	sum := h.state.bytes + len(value)
	if exists {
		sum -= len(old)
	} else {
		sum += len(key)
	}
	switch {
	case len(value) == 0:
		return refuse(abi.Invalid, "the request has no value", "delete a key by state.delete")
	case len(value) > maxStateValue:
		return refuse(abi.TooLarge, fmt.Sprintf("a value of the state has %d bytes, at most %s are kept", len(value), flow.Size(maxStateValue)), "put an artifact, and keep its digest")
	case sum > maxStateBytes:
		return refuse(abi.Quota, fmt.Sprintf("the state of a pipeline has at most %s, keys included", flow.Size(maxStateBytes)), "delete what is no longer needed, or put an artifact")
	case !exists && len(h.state.values) >= maxStateKeys:
		return refuse(abi.Quota, fmt.Sprintf("the state of a pipeline has at most %d keys", maxStateKeys), "delete what is no longer needed")
	}
	h.state.values[key], h.state.bytes = value, sum
	h.attempt.Wrote(key, value)
	return nil
}

func (h *host) deleteState(key string) {
	if old, exists := h.state.values[key]; exists {
		delete(h.state.values, key)
		h.state.bytes -= len(key) + len(old)
		h.attempt.Wrote(key, nil)
	}
}

// ungranted refuses an operation, with the line of the manifest that would grant it.
func (h *host) ungranted(op, line string) error {
	name := h.attempt.Plugin.Name
	where := fmt.Sprintf("[plugins.%s.grant] %s", name, line)
	if name == "" || strings.ContainsAny(name, "./") {
		where = "grant = { " + line + " } of the plugin"
	}
	return refuse(abi.Denied, fmt.Sprintf("plugin %q is not granted %s", name, op), "in the manifest: "+where)
}

// CheckState says what keeps values from being the state of a pipeline, in the words of the bounds that guests have.
func CheckState(values map[string]json.RawMessage) error {
	h := host{state: state{values: map[string]json.RawMessage{}}, attempt: Attempt{Wrote: func(string, json.RawMessage) {}}}
	for key, value := range values {
		if err := checkKey(key); err != nil {
			return err
		}
		if err := h.setState(key, value); err != nil {
			return err
		}
	}
	return nil
}
