package service

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/sdk/abi"
)

// Bounds of what an attempt emits.
const (
	maxEvents    = 100
	maxEventData = 64 << 10
	maxEventText = 256 // bytes of type and subject
)

// eventType is the form of an event's type.
var eventType = regexp.MustCompile(`^[a-z0-9][A-Za-z0-9._-]*$`)

// emit serves event.emit: {"type", "subject", "data"} → {"id"}. The event is recorded when the call returns, whatever
// becomes of the attempt.
func (h *host) emit(ctx context.Context, request []byte) ([]byte, error) {
	if !h.attempt.Plugin.Grant.Event {
		return nil, h.ungranted(abi.OpEventEmit, "event = true")
	}
	var req struct {
		Type    string          `json:"type"`
		Subject string          `json:"subject"`
		Data    json.RawMessage `json:"data"`
	}
	if err := decode(request, &req); err != nil {
		return nil, err
	}
	switch {
	case len(req.Type) > maxEventText || !eventType.MatchString(req.Type):
		return nil, refuse(abi.Invalid, fmt.Sprintf("%q is no type of an event", clean(req.Type, maxEventText)), "write it like com.example.report.done")
	case len(req.Subject) > maxEventText:
		return nil, refuse(abi.TooLarge, fmt.Sprintf("a subject has at most %d bytes", maxEventText), "")
	case len(req.Data) > maxEventData:
		return nil, refuse(abi.TooLarge, fmt.Sprintf("the data of an event have at most %s", flow.Size(maxEventData)), "put an artifact, and emit its reference")
	case h.attempt.Emit == nil:
		return nil, refuse(abi.Unavailable, "there is no ledger that could keep events", "")
	case h.emitted.Add(1) > maxEvents:
		return nil, refuse(abi.Quota, fmt.Sprintf("an attempt emits at most %d events", maxEvents), "")
	}
	run := &h.attempt.Call.Context
	now := time.Now().UTC()
	e := flow.EmittedEvent{
		ID: string(flow.NewRunID(now)), Source: "uniflow:" + flow.ID(run.Tenant, run.Pipeline) + "/" + run.Step,
		Type: req.Type, Subject: clean(req.Subject, maxEventText), Time: now, Data: req.Data,
	}
	if err := h.attempt.Emit(ctx, e); err != nil {
		return nil, fmt.Errorf("emit: %w", err)
	}
	return encode(map[string]string{"id": e.ID})
}
