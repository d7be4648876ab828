package wasm

import (
	"context"
	"fmt"

	"github.com/tetratelabs/wazero/api"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// The Extism profile: plugins that were built with one of its kits run unchanged. What its own hosts do by a second module,
// the kernel, is done here by functions over blocks.

// extism is what one attempt of such a plugin has: all that its functions can see.
type extism struct {
	blocks

	input, output place
	failure       uint64 // the block that error_set named, or 0

	vars     map[string][]byte
	varBytes int

	status  int32  // of the last answer to http_request
	headers []byte // of it, as JSON
	// gaveUp is true when a service has refused, for which plugins have no word: the attempt ends with what the host says.
	gaveUp bool
}

// place is a part of the memory of blocks.
type place struct{ at, size uint64 }

// extismFunction is one import of extism:host/env; parameters and results are named as in wasiSignatures.
type extismFunction struct {
	name, params, results string
	call                  api.GoModuleFunc
}

func extismFunctions() []extismFunction {
	log := func(name string, level flow.LogLevel) extismFunction {
		return extismFunction{name, "I", "", extismCall(name, func(a *attempt, s []uint64) { a.extismLog(level, s[0]) })}
	}
	return append(blockFunctions(),
		extismFunction{"config_get", "I", "I", extismCall("config_get", (*attempt).extismConfig)},
		extismFunction{"var_get", "I", "I", extismCall("var_get", (*attempt).extismVarGet)},
		extismFunction{"var_set", "II", "", extismCall("var_set", (*attempt).extismVarSet)},
		extismFunction{"http_request", "II", "I", extismCall("http_request", (*attempt).extismHTTP)},
		extismFunction{"http_status_code", "", "i", extismCall("http_status_code", func(a *attempt, s []uint64) { s[0] = api.EncodeI32(a.extism.status) })},
		extismFunction{"http_headers", "", "I", extismCall("http_headers", func(a *attempt, s []uint64) { s[0] = a.extismPut(a.extism.headers) })},
		log("log_trace", flow.LogTrace), log("log_debug", flow.LogDebug), log("log_info", flow.LogInfo),
		log("log_warn", flow.LogWarn), log("log_error", flow.LogError),
		extismFunction{"get_log_level", "", "i", extismCall("get_log_level", func(_ *attempt, s []uint64) { s[0] = uint64(flow.LogTrace) })}, // all is kept
	)
}

// blockFunctions are those that work on blocks alone. A plugin calls them for each eight bytes that it reads or writes, so
// they do no more than that; the rewriting charges for each call.
func blockFunctions() []extismFunction {
	f := func(name, params, results string, call func(x *extism, s []uint64) bool) extismFunction {
		return extismFunction{name, params, results, onBlocks(name, call)}
	}
	get := func(name string, value func(x *extism) uint64) extismFunction {
		return f(name, "", "I", func(x *extism, s []uint64) bool { s[0] = value(x); return true })
	}
	length := func(x *extism, s []uint64) bool { s[0] = x.length(s[0]); return true }
	return []extismFunction{
		{"alloc", "I", "I", allocating},
		f("free", "I", "", (*extism).freeBlock),
		f("length", "I", "I", length),
		f("length_unsafe", "I", "I", length),
		f("load_u8", "I", "i", (*extism).load8),
		f("load_u64", "I", "I", func(x *extism, s []uint64) (ok bool) { s[0], ok = x.loadU64(s[0]); return ok }),
		f("store_u8", "Ii", "", (*extism).store8),
		f("store_u64", "II", "", func(x *extism, s []uint64) bool { return x.storeU64(s[0], s[1]) }),
		f("input_set", "II", "", func(x *extism, s []uint64) bool { return x.choose(&x.input, s) }),
		get("input_length", func(x *extism) uint64 { return x.input.size }),
		get("input_offset", func(x *extism) uint64 { return x.input.at }),
		f("input_load_u8", "I", "i", (*extism).inputLoad8),
		f("input_load_u64", "I", "I", (*extism).inputLoad64),
		f("output_set", "II", "", func(x *extism, s []uint64) bool { return x.choose(&x.output, s) }),
		get("output_length", func(x *extism) uint64 { return x.output.size }),
		get("output_offset", func(x *extism) uint64 { return x.output.at }),
		f("error_set", "I", "", func(x *extism, s []uint64) bool { x.failure = s[0]; return s[0] == 0 || x.within(s[0], 1) }),
		get("error_get", func(x *extism) uint64 { return x.failure }),
		f("reset", "", "", func(x *extism, _ []uint64) bool { x.reset(); return true }),
		get("memory_bytes", func(x *extism) uint64 { return uint64(len(x.bytes)) }),
	}
}

// onBlocks wraps a function on blocks; one that reports false was given a place where no block is.
func onBlocks(name string, f func(x *extism, s []uint64) bool) api.GoModuleFunc {
	return func(ctx context.Context, _ api.Module, stack []uint64) {
		a := attemptOf(ctx)
		a.noteUse()
		if !f(a.extism, stack) {
			a.wildPointer(name)
		}
	}
}

// extismCall wraps a function that asks the host for more.
func extismCall(name string, f func(a *attempt, s []uint64)) api.GoModuleFunc {
	return func(ctx context.Context, m api.Module, stack []uint64) {
		look(ctx)
		a := attemptOf(ctx)
		a.calls++
		a.trail.add(name)
		a.noteUse()
		a.extism.price += callFuel
		f(a, stack)
		a.payBlocks(m)
	}
}

func allocating(ctx context.Context, m api.Module, stack []uint64) {
	look(ctx) // growing copies what is there
	a := attemptOf(ctx)
	a.noteUse()
	n := stack[0]
	stack[0] = a.extism.alloc(n, a.room())
	if stack[0] == 0 && n > 0 {
		a.instance.memory.refused = true
	}
	a.payBlocks(m)
}

// noteUse keeps an instance from being used again that has looked at its attempt while it was initialised.
func (a *attempt) noteUse() {
	if a.denied {
		a.instance.touched = true
	}
}

// payBlocks charges for what was done on blocks.
func (a *attempt) payBlocks(m api.Module) {
	a.fuel.connect(m)
	a.fuel.charge(a.extism.price)
	a.extism.price = 0
}

// blocks is how many bytes the blocks of the attempt take.
func (a *attempt) blocks() uint64 {
	if a.extism == nil {
		return 0
	}
	return a.extism.taken()
}

// room is how many bytes blocks may take: what limits.memory leaves beside the guest's own memory.
func (a *attempt) room() uint64 {
	return a.limit - min(a.limit, uint64(len(a.instance.memory.bytes)))
}

// wildPointer ends a guest that works where no block is.
func (a *attempt) wildPointer(name string) {
	if a.instance.memory.refused { // it went on with the block that it did not get
		a.give(a.outOfMemory())
	}
	a.give(&flow.Fault{
		Reason: flow.ReasonTrap, Message: fmt.Sprintf("the guest called %s.%s with a place outside of all blocks", extismModule, name),
		Hint: "look for a wrong pointer or length",
	})
}

// give ends the guest with a fault.
func (a *attempt) give(fault *flow.Fault) {
	a.stop(fault)
	panic(errStopped)
}

func (x *extism) freeBlock(s []uint64) bool {
	if x.find(s[0]) >= 0 && s[0] == x.input.at {
		x.input.size = 0
	}
	x.release(s[0])
	return true
}

func (x *extism) load8(s []uint64) bool {
	at := s[0]
	if !x.within(at, 1) {
		return false
	}
	s[0] = uint64(x.bytes[at])
	return true
}

func (x *extism) store8(s []uint64) bool {
	if !x.within(s[0], 1) {
		return false
	}
	x.bytes[s[0]] = byte(s[1])
	return true
}

// choose sets input or output.
func (x *extism) choose(to *place, s []uint64) bool {
	if s[1] > 0 && !x.within(s[0], s[1]) {
		return false
	}
	*to = place{s[0], s[1]}
	return true
}

// inputLoad8 reads a byte of the input; beyond its end is nothing.
func (x *extism) inputLoad8(s []uint64) bool {
	offset := s[0]
	if s[0] = 0; offset < x.input.size {
		s[0] = uint64(x.bytes[x.input.at+offset])
	}
	return true
}

// inputLoad64 reads eight bytes of the input; what is beyond its end are zeros.
func (x *extism) inputLoad64(s []uint64) bool {
	offset := s[0]
	s[0] = 0
	if offset >= x.input.size {
		return true
	}
	at, left := x.input.at+offset, x.input.size-offset
	if left >= 8 {
		s[0], _ = x.loadU64(at)
		return true
	}
	for i, c := range x.bytes[at : at+left] {
		s[0] |= uint64(c) << (8 * i)
	}
	return true
}

// reset forgets all but the variables.
func (x *extism) reset() {
	x.forget()
	x.input, x.output, x.failure = place{}, place{}, 0
}
