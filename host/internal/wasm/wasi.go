package wasm

import (
	"context"
	"fmt"
	"slices"

	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// maxVectors bounds the list that a guest hands to one call of WASI, of vectors or of subscriptions: the engine walks it
// without a look at whether the guest has been stopped.
const maxVectors = 16 << 10

// Numbers of errors in WASI preview 1.
const (
	noSpace      = 51
	notSupported = 58
)

// wasiCalls stands between the guest and the engine's WASI: it stops guests before calls that may take long, notes calls
// that may change what the engine keeps of an instance, its descriptors, and tells the guest of a full /out, which the
// engine's files have no word for.
type wasiCalls struct{}

// NewFunctionListener implements experimental.FunctionListenerFactory.
func (wasiCalls) NewFunctionListener(f api.FunctionDefinition) experimental.FunctionListener {
	name := f.Name()
	quick := []string{
		"args_get", "args_sizes_get", "environ_get", "environ_sizes_get", "clock_res_get", "clock_time_get", "random_get",
		"sched_yield", "proc_exit", "fd_prestat_get", "fd_prestat_dir_name", "fd_renumber", "fd_fdstat_set_flags",
	}
	if slices.Contains(quick, name) {
		return nil
	}
	return wasiCall{
		name:    name,
		touches: !slices.Contains([]string{"fd_write", "poll_oneoff", "fd_fdstat_get"}, name), // the last one only reads; C opens files by it
		opens:   name == "path_open" || name == "path_filestat_get",
		passes:  slices.Contains([]string{"fd_read", "fd_pread", "fd_close", "fd_seek", "fd_tell", "fd_filestat_get", "fd_readdir"}, name),
		lists:   slices.Contains([]string{"fd_read", "fd_pread", "fd_write", "fd_pwrite", "poll_oneoff"}, name),
		fills:   slices.Contains([]string{"fd_write", "fd_pwrite", "fd_allocate", "fd_filestat_set_size", "path_open"}, name),
	}
}

// wasiCall is wasiCalls for one function.
type wasiCall struct {
	name                  string
	touches, lists, fills bool
	opens                 bool // looks below a folder, and may open a file
	passes                bool // of a file that is closed in the end nothing is left
}

// leaves reports whether the call may leave a trace among the descriptors, beside files that are still open at the end.
func (w wasiCall) leaves(a *attempt, params []uint64) bool {
	const create, truncate = 1, 8 // of oflags
	fd := api.DecodeU32(params[0])
	switch {
	case !w.touches:
		return false
	case w.opens:
		return w.name == "path_open" && api.DecodeU32(params[4])&(create|truncate) != 0
	case w.passes:
		return fd < uint32(3+len(a.mounts))
	}
	return true
}

// Before implements experimental.FunctionListener.
func (w wasiCall) Before(ctx context.Context, _ api.Module, _ api.FunctionDefinition, params []uint64, _ experimental.StackIterator) {
	look(ctx)
	a := attemptOf(ctx)
	a.trail.add(w.name)
	if w.lists && api.DecodeU32(params[2]) > maxVectors {
		a.stop(&flow.Fault{
			Reason: flow.ReasonTrap, Message: fmt.Sprintf("the guest called %s with a list of %d items, at most %d are served", w.name, api.DecodeU32(params[2]), maxVectors),
			Hint: "look for a wrong length",
		})
		panic(errStopped)
	}
	a.instance.touched = a.instance.touched || w.leaves(a, params)
	if a.out != nil {
		a.out.refused = false
	}
}

// After implements experimental.FunctionListener.
func (w wasiCall) After(ctx context.Context, _ api.Module, _ api.FunctionDefinition, results []uint64) {
	if out := attemptOf(ctx).out; w.fills && out != nil && out.refused {
		results[0] = noSpace
	}
}

// Abort implements experimental.FunctionListener.
func (wasiCall) Abort(context.Context, api.Module, api.FunctionDefinition, error) {}

// renumber refuses; programs for wasip1 do without.
func renumber(_ context.Context, _ api.Module, stack []uint64) { stack[0] = notSupported }

// setFlags accepts that nothing blocks, which is so whatever the guest asks for: programs in Go begin by it. It keeps
// nothing, so that instances stay alike.
func setFlags(_ context.Context, _ api.Module, stack []uint64) {
	const nonblock = 1 << 2 // of fdflags
	errno := uint64(0)
	if api.DecodeU32(stack[1])&^nonblock != 0 {
		errno = notSupported
	}
	stack[0] = errno
}
