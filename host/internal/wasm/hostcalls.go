package wasm

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"math"
	"unicode/utf8"

	"github.com/tetratelabs/wazero/api"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/sdk/abi"
)

const (
	maxRequest = 8 << 20   // bytes of a request, of its body, and of a response
	maxCalls   = 1_000_000 // host calls of an attempt
)

// abiFunction is one import of the host ABI; every parameter and result is an i32.
type abiFunction struct {
	name            string
	params, results int
	call            api.GoModuleFunc
}

func abiFunctions() []abiFunction {
	return []abiFunction{
		{abi.ImportInputSize, 0, 1, answering(abi.ImportInputSize, (*attempt).inputSize)},
		{abi.ImportInputRead, 3, 1, answering(abi.ImportInputRead, (*attempt).inputRead)},
		{abi.ImportOutput, 4, 1, answering(abi.ImportOutput, (*attempt).output)},
		{abi.ImportLog, 3, 0, logging},
		{abi.ImportFail, 3, 1, answering(abi.ImportFail, (*attempt).fail)},
		{abi.ImportProgress, 3, 1, progressing},
		{abi.ImportCall, 4, 1, answering(abi.ImportCall, (*attempt).service)},
		{abi.ImportCallRead, 3, 1, answering(abi.ImportCallRead, (*attempt).callRead)},
		{abi.ImportCallWrite, 2, 1, answering(abi.ImportCallWrite, (*attempt).callWrite)},
	}
}

// params is the one place where a guest's numbers and pointers are read. The upper half of a stack slot may hold
// anything, so each goes through api.DecodeU32.
type params struct {
	memory api.Memory
	stack  []uint64
	fuel   *tank
}

func (p params) u32(i int) uint32 { return api.DecodeU32(p.stack[i]) }

// slice returns the guest's memory at the pointer in parameter i with the length in parameter i+1, as a view that is
// good until the guest goes on, and charges for it. Bounds are checked in 64 bits.
func (p params) slice(i int) ([]byte, bool) {
	return p.view(p.u32(i), p.u32(i+1))
}

func (p params) view(offset, size uint32) ([]byte, bool) {
	if p.memory == nil || uint64(offset)+uint64(size) > uint64(p.memory.Size()) {
		return nil, false
	}
	p.fuel.charge(int64(size >> byteShift))
	return p.memory.Read(offset, size)
}

// copyOut copies from[offset:] to the guest, for functions (dst, off, len), and returns the number of bytes.
func (p params) copyOut(from pieces) int32 {
	dst, ok := p.view(p.u32(0), p.u32(2))
	if !ok {
		return abi.Fault.Result()
	}
	return int32(min(from.read(dst, uint64(p.u32(1))), math.MaxInt32))
}

// begin finds the attempt of a call, counts it and charges for it; quota is true when it has made too many. A guest that
// has been stopped does not come back.
func begin(ctx context.Context, name string, m api.Module, stack []uint64) (a *attempt, p params, quota bool) {
	look(ctx)
	a = attemptOf(ctx)
	a.calls++
	a.trail.add(name)
	a.fuel.connect(m)
	a.fuel.charge(callFuel)
	return a, params{memory: m.Memory(), stack: stack, fuel: &a.fuel}, a.calls > maxCalls
}

// answering wraps a function whose result is a count or a negative errno.
func answering(name string, f func(*attempt, params) int32) api.GoModuleFunc {
	return func(ctx context.Context, m api.Module, stack []uint64) {
		a, p, quota := begin(ctx, name, m, stack)
		var result int32
		switch {
		case a.ctx.Err() != nil:
			result = abi.Cancelled.Result()
		case quota:
			result = abi.Quota.Result()
		default:
			result = f(a, p)
		}
		a.trail.last().result = result
		stack[0] = api.EncodeI32(result)
	}
}

func logging(ctx context.Context, m api.Module, stack []uint64) {
	a, p, quota := begin(ctx, abi.ImportLog, m, stack)
	msg, ok := p.slice(1)
	if !ok || quota {
		return
	}
	level := flow.LogLevel(min(p.u32(0), uint32(flow.LogError)))
	a.host.Log(level, string(msg[:min(len(msg), abi.MaxMessage)]))
}

// progressing is the one call that a cancelled attempt hears the truth from.
func progressing(ctx context.Context, m api.Module, stack []uint64) {
	a, p, quota := begin(ctx, abi.ImportProgress, m, stack)
	msg, ok := p.slice(1)
	result := int32(0)
	switch {
	case a.ctx.Err() != nil:
		result = 1
	case quota:
		result = abi.Quota.Result()
	case !ok:
		result = abi.Fault.Result()
	case len(msg) > abi.MaxMessage:
		result = abi.TooLarge.Result()
	case !utf8.Valid(msg):
		result = abi.Invalid.Result()
	case a.host.Progress(int(min(p.u32(0), 1000)), string(msg)):
		result = 1
	}
	stack[0] = api.EncodeI32(result)
}

func (a *attempt) inputSize(params) int32 { return int32(a.document.size()) }

func (a *attempt) inputRead(p params) int32 { return p.copyOut(a.document) }

func (a *attempt) output(p params) int32 {
	name, nameOK := p.slice(0)
	value, valueOK := p.slice(2)
	switch {
	case !nameOK || !valueOK:
		return abi.Fault.Result()
	case len(name) > abi.MaxOutputName:
		return abi.TooLarge.Result()
	}
	return a.outputs.Output(string(name), value).Result()
}

func (a *attempt) fail(p params) int32 {
	msg, ok := p.slice(1)
	if !ok {
		return abi.Fault.Result()
	}
	return a.outputs.Fail(abi.Kind(api.DecodeI32(p.stack[0])), msg).Result()
}

// service makes one request; the body is gone after it, whatever becomes of it.
func (a *attempt) service(p params) int32 {
	body := a.body
	a.body, a.response = nil, nil
	op, opOK := p.slice(0)
	request, requestOK := p.slice(2)
	switch {
	case !opOK || !requestOK:
		return abi.Fault.Result()
	case len(op) > abi.MaxOp || len(request) > maxRequest:
		return abi.TooLarge.Result()
	case !utf8.Valid(op) || !utf8.Valid(request):
		return abi.Invalid.Result()
	case a.denied:
		return a.refuse(&flow.ServiceError{Errno: int(abi.Unavailable), Code: abi.Unavailable.Name(), Message: "services are not available while the module initialises"})
	}
	a.trail.last().op = string(op)
	response, err := a.host.Call(a.ctx, a.trail.last().op, append([]byte(nil), request...), body)
	if err == nil && len(response) > maxRequest {
		err = flow.ErrTooLarge
	}
	if err != nil {
		return a.refuse(err)
	}
	a.response = response
	return int32(len(response))
}

// refuse turns the error of a service into an errno; call_read then yields what it says.
func (a *attempt) refuse(err error) int32 {
	refusal, ok := errors.AsType[*flow.ServiceError](err)
	if !ok || refusal.Errno < int(abi.Denied) || refusal.Errno > int(abi.Fault) {
		errno := a.errnoOf(err)
		refusal = &flow.ServiceError{Errno: int(errno), Code: errno.Name(), Message: errno.Error()}
	}
	a.response, err = json.Marshal(abi.CallError{Code: refusal.Code, Message: abi.ClipMessage(refusal.Message), Hint: abi.ClipMessage(refusal.Hint)})
	if err != nil {
		a.response = nil
	}
	return abi.Errno(refusal.Errno).Result()
}

func (a *attempt) errnoOf(err error) abi.Errno {
	switch {
	case a.ctx.Err() != nil:
		return abi.Cancelled
	case errors.Is(err, flow.ErrNotFound):
		return abi.NotFound
	case errors.Is(err, flow.ErrTooLarge):
		return abi.TooLarge
	}
	a.log.Error("fault of a service", slog.String("run", string(a.call.Context.RunID)), slog.String("step", a.call.Context.Step), slog.Any("err", err))
	return abi.Unavailable
}

func (a *attempt) callRead(p params) int32 { return p.copyOut(pieces{a.response}) }

func (a *attempt) callWrite(p params) int32 {
	chunk, ok := p.slice(0)
	if !ok {
		return abi.Fault.Result()
	}
	if len(chunk) > maxRequest-len(a.body) {
		return abi.TooLarge.Result()
	}
	a.body = append(a.body, chunk...)
	return abi.OK.Result()
}
