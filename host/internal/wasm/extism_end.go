package wasm

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"unicode/utf8"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/sdk/abi"
)

// extismInput makes the first block of the attempt, which is its input: the run context, or what the step puts in its place.
func (a *attempt) extismInput(needs flow.Size) *flow.Fault {
	input, fault := a.givenInput()
	if fault != nil {
		return fault
	}
	x, size := a.extism, uint64(input.size())
	if x.input = (place{x.alloc(size, a.limit-uint64(needs)), size}); size > 0 && x.input.at == 0 {
		return &flow.Fault{
			Reason:  flow.ReasonMemory,
			Message: fmt.Sprintf("the input has %s and the module needs %s at its start; limits.memory is %s", flow.Size(size), needs, flow.Size(a.limit)),
			Hint:    "raise limits.memory of the step, or hand large values on as artifacts",
		}
	}
	if size > 0 {
		input.read(x.bytes[x.input.at:][:size], 0)
	}
	x.price = 0 // the host's work
	return nil
}

// givenInput is the run context, the bytes of a text or of an artifact, or any other value as JSON.
func (a *attempt) givenInput() (pieces, *flow.Fault) {
	if a.call.Stdin == nil {
		return a.document, nil
	}
	ref, ok := abi.AsArtifact(a.call.Stdin)
	if !ok {
		b, err := a.stdin()
		if err != nil {
			return nil, &flow.Fault{Reason: flow.ReasonInternal, Message: "the input of the call is not JSON", Err: err}
		}
		return pieces{b}, nil
	}
	r, err := a.host.Open(a.ctx, flow.ArtifactRef{Digest: flow.Digest(ref.Artifact), Size: ref.Size, Type: ref.Type})
	if err == nil {
		defer r.Close()
		var b []byte
		if b, err = io.ReadAll(io.LimitReader(r, int64(a.limit)+1)); err == nil {
			return pieces{b}, nil
		}
	}
	switch {
	case a.ctx.Err() != nil:
		return nil, flow.EndFault(a.ctx)
	case errors.Is(err, flow.ErrNotFound):
		return nil, &flow.Fault{Reason: flow.ReasonExpression, Message: "the input is an artifact that this run neither received nor put", Err: err}
	}
	a.log.Error("artifact not read", slog.String("run", string(a.call.Context.RunID)), slog.String("step", a.call.Context.Step), slog.Any("err", err))
	return nil, &flow.Fault{Reason: flow.ReasonInternal, Message: "the artifact of the input could not be read", Err: err}
}

// extismVerdict is the guest's own word: the error that it set, else what its entry returned. A fail of the host ABI decides
// over both.
func (a *attempt) extismVerdict(ret int32) abi.Verdict {
	if v := a.outputs.Settle(0); v.Kind != abi.KindOK {
		return v
	}
	if text := a.extism.content(a.extism.failure); len(text) > 0 {
		a.outputs.Fail(abi.KindFailed, []byte(abi.ClipMessage(string(text))))
		return a.outputs.Settle(0)
	}
	if ret != 0 {
		return abi.Verdict{Kind: abi.KindFailed, Message: fmt.Sprintf("returned %d without an error text", ret)}
	}
	return abi.Verdict{}
}

// collectExtism adds what the guest gave back to the outputs: the members of a JSON object; any other JSON, text, and what is
// not text, as an artifact, is the output result.
func (a *attempt) collectExtism(ctx context.Context) *flow.Fault {
	given := a.extism.span(a.extism.output.at, a.extism.output.size)
	if len(given) == 0 {
		return nil
	}
	if !utf8.Valid(given) {
		return a.store(ctx, abi.OutputResult, "application/octet-stream", bytes.NewReader(given))
	}
	limit := orDefault(a.call.Limits.Output, abi.MaxOutput)
	if flow.Size(len(given)) > limit {
		return &flow.Fault{
			Reason: flow.ReasonOutputLimit, Message: fmt.Sprintf("the output has %d bytes; limits.output is %s", len(given), limit),
			Hint: "raise limits.output of the step",
		}
	}
	values, err := extismOutputs(given)
	if err != nil {
		return &flow.Fault{Reason: flow.ReasonOutput, Message: err.Error(), Hint: "give a JSON value back that is nested less deep"}
	}
	before := maps.Clone(a.outputs.Outputs()) // set through the host ABI: they win
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if _, set := before[name]; set {
			continue
		}
		switch errno := a.outputs.Output(name, values[name]); errno {
		case abi.OK:
		case abi.TooLarge:
			return &flow.Fault{Reason: flow.ReasonOutputLimit, Message: fmt.Sprintf("output %.100q: %v", name, errno), Hint: "raise limits.output, or give fewer values back"}
		default:
			return &flow.Fault{Reason: flow.ReasonOutput, Message: fmt.Sprintf("output %.100q: %v", name, errno), Hint: "the members of the object that the plugin gives back become outputs: name them"}
		}
	}
	return nil
}

// extismOutputs are the outputs that a text stands for.
func extismOutputs(given []byte) (map[string]json.RawMessage, error) {
	doc := bytes.TrimSpace(given)
	if !json.Valid(doc) {
		text, err := json.Marshal(string(given))
		return map[string]json.RawMessage{abi.OutputResult: text}, err
	}
	if abi.CheckJSON(doc) != abi.OK {
		return nil, fmt.Errorf("the output is JSON nested deeper than %d", abi.MaxDepth)
	}
	if doc[0] != '{' {
		return map[string]json.RawMessage{abi.OutputResult: doc}, nil
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(doc, &members); err != nil {
		return nil, fmt.Errorf("read the output: %w", err)
	}
	return members, nil
}
