package wasm

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"time"

	crypto "crypto/rand"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/sdk/abi"
)

// Defaults of limits that a call leaves at zero.
const (
	defaultMemory    = 64 * flow.MiB
	defaultArtifacts = 64 * flow.MiB
)

// attempt is the host's side of one instance. The guest is one thread, so nothing here is for concurrent use.
type attempt struct {
	ctx     context.Context //nolint:containedctx // the attempt is what ctx bounds
	call    flow.Call
	host    flow.HostCalls
	grant   flow.Grant
	foreign bool // the plugin is one of a tenant that has a ceiling
	command bool
	plugin  string
	script  *Script
	log     *slog.Logger
	where   locate
	stop    context.CancelCauseFunc // ends the guest at its next look at the fuel; the first cause stands
	guest   context.Context         //nolint:containedctx // what stop ends

	document pieces // the run context
	outputs  *abi.Attempt
	out      *outFS
	mounts   []mount
	files    *openFiles
	stdout   *collector // of a command
	lines    *lineLog   // stdout as log lines, or nil
	stderr   *lineLog

	begun    time.Time
	trail    trail
	calls    int64
	denied   bool // services are not to be had
	response []byte
	body     []byte
	fuel     tank

	extism   *extism // of a plugin of that profile
	instance *instance
	clock    virtualClock
	random   io.Reader
	limit    uint64 // bytes of memory
	peak     uint64 // bytes of memory that were used
	refused  bool   // more memory was asked for
}

// attemptKey is the one context key of this package: host functions are shared by all instances of a module and find
// their attempt by it.
type attemptKey struct{}

func withAttempt(ctx context.Context, a *attempt) context.Context {
	return context.WithValue(ctx, attemptKey{}, a)
}

// attemptOf finds the attempt of a host function; instances are made under no other ctx.
func attemptOf(ctx context.Context) *attempt {
	return ctx.Value(attemptKey{}).(*attempt) //nolint:forcetypeassert // see above
}

func newAttempt(ctx context.Context, m *session, call flow.Call, host flow.HostCalls) (*attempt, error) {
	a := &attempt{
		ctx: ctx, call: call, host: host, grant: m.plugin.Grant, foreign: m.plugin.Ceiling != "", plugin: m.plugin.Name, script: m.script, log: m.log,
		where:   func(offsets []uint32) []string { return m.engine.lines.of(m.plugin, offsets) },
		command: m.engine.info.Profile == ProfileCommand,
		outputs: abi.NewAttempt(abi.Limits{OutputBytes: int(call.Limits.Output)}),
		limit:   uint64(orDefault(call.Limits.Memory, defaultMemory)),
		clock:   virtualClock{start: call.Context.ScheduledAt},
		begun:   time.Now(),
	}
	if need := m.engine.info.MemoryMin; uint64(need) > a.limit {
		return nil, a.tooLarge(need)
	}
	if m.engine.info.usesExtism {
		a.extism = &extism{}
	}
	a.document = document(&call.Context)
	if size := a.document.size(); size > abi.MaxContext {
		return nil, &flow.Fault{
			Reason: flow.ReasonOutputLimit, Message: fmt.Sprintf("the run context has %d bytes, at most %d are allowed", size, abi.MaxContext),
			Hint: "pass large values as artifacts",
		}
	}
	a.stdio()
	if m.engine.info.WASI {
		if err := a.mount(); err != nil {
			a.close()
			return nil, err
		}
	}
	return a, nil
}

func orDefault(s, otherwise flow.Size) flow.Size {
	if s <= 0 {
		return otherwise
	}
	return s
}

// stdio decides where the guest's text goes.
func (a *attempt) stdio() {
	a.stderr = &lineLog{log: a.hostLog, ended: a.ended}
	if a.command && a.call.Stdout != string(abi.StdoutLog) {
		a.stdout = &collector{limit: int(orDefault(a.call.Limits.Output, abi.MaxOutput)), full: func(limit int) {
			a.stop(&flow.Fault{
				Reason: flow.ReasonOutputLimit, Message: fmt.Sprintf("standard output exceeds limits.output, %s", flow.Size(limit)),
				Hint: "write large results to a file in /out, or set stdout = \"log\"",
			})
		}}
		return
	}
	a.lines = &lineLog{log: a.hostLog, ended: a.ended}
}

// standardOutput is where what the guest prints goes.
func (a *attempt) standardOutput() io.Writer {
	if a.lines != nil {
		return a.lines
	}
	return a.stdout
}

// hostLog hands a line of standard output or error on.
func (a *attempt) hostLog(level abi.Level, message string) { a.host.Log(flow.LogLevel(level), message) }

// ended reports whether the guest has been stopped.
func (a *attempt) ended() bool { return a.guest.Err() != nil }

// flush ends the guest's last lines.
func (a *attempt) flush() {
	a.stderr.flush()
	if a.lines != nil {
		a.lines.flush()
	}
}

func (a *attempt) close() {
	for _, m := range a.mounts {
		if m.close != nil {
			_ = m.close() // it was only read
		}
	}
}

func (a *attempt) usage() flow.Usage {
	memory := a.peak
	if a.extism != nil {
		memory += a.extism.peak
	}
	return flow.Usage{Memory: flow.Size(memory), HostCalls: a.calls, Fuel: a.fuel.used()}
}

func (a *attempt) tooLarge(need flow.Size) *flow.Fault {
	return &flow.Fault{
		Reason: flow.ReasonMemory, Message: fmt.Sprintf("the module needs %s of memory at its start; limits.memory is %s", need, flow.Size(a.limit)),
		Hint: "raise limits.memory of the step, or link the module with less initial memory",
	}
}

func (a *attempt) outOfMemory() *flow.Fault {
	return &flow.Fault{
		Reason: flow.ReasonMemory, Message: fmt.Sprintf("the guest asked for more memory than limits.memory, %s, and ended", flow.Size(a.limit)),
		Hint: "raise limits.memory of the step or plugin", Usage: a.usage(),
	}
}

// outFull is the fault of a guest that fails after /out took no more; nil if that did not happen.
func (a *attempt) outFull() *flow.Fault {
	if a.out == nil || a.out.full == nil {
		return nil
	}
	fault := *a.out.full
	fault.Usage = a.usage()
	return &fault
}

// stdin is the run context, or what the step puts in its place: the bytes of a string, any other value as JSON.
func (a *attempt) stdin() ([]byte, error) {
	if a.call.Stdin == nil {
		return bytes.Join(a.document, nil), nil
	}
	var text string
	if err := json.Unmarshal(a.call.Stdin, &text); err == nil {
		return []byte(text), nil
	}
	if !json.Valid(a.call.Stdin) {
		return nil, errors.New("stdin of the call is not JSON")
	}
	return a.call.Stdin, nil
}

// bounded keeps one reading of randomness short.
func (a *attempt) bounded(source io.Reader) io.Reader { return &random{source: source, ended: a.ended} }

// randomness is what the guest reads; a source is made when it first does.
func (a *attempt) randomness() io.Reader {
	if a.random == nil {
		a.random = a.bounded(crypto.Reader)
		if !a.grant.Random {
			a.random = a.bounded(rand.NewChaCha8(a.seed()))
		}
	}
	return a.random
}

// seed depends on the attempt, so that a second look at it sees the same, and a retry does not.
func (a *attempt) seed() [32]byte {
	run := &a.call.Context
	item := -1
	if run.ItemIndex != nil {
		item = *run.ItemIndex
	}
	return sha256.Sum256(fmt.Appendf(nil, "%q %q %d %d", run.RunID, run.Step, run.Attempt, item))
}

// collect adds what a command printed, what a plugin of Extism gave back, and what any guest wrote to /out, to the outputs.
func (a *attempt) collect(ctx context.Context) *flow.Fault {
	if a.extism != nil {
		if fault := a.collectExtism(ctx); fault != nil {
			return fault
		}
	}
	if a.stdout != nil {
		if fault := a.collectStdout(ctx); fault != nil {
			return fault
		}
	}
	if a.out == nil {
		return nil
	}
	for _, name := range a.out.names() {
		if fault := a.store(ctx, name, mediaType(name), bytes.NewReader(a.out.content(name))); fault != nil {
			return fault
		}
	}
	return nil
}

func (a *attempt) collectStdout(ctx context.Context) *flow.Fault {
	printed, mode := a.stdout.bytes(), abi.StdoutMode(a.call.Stdout)
	err := a.outputs.Stdout(printed, mode)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, abi.ErrNotUTF8) && mode != abi.StdoutJSON:
		return a.store(ctx, abi.OutputStdout, "application/octet-stream", bytes.NewReader(printed))
	case errors.Is(err, abi.TooLarge):
		return &flow.Fault{Reason: flow.ReasonOutputLimit, Message: err.Error(), Hint: "raise limits.output, or write large results to a file in /out"}
	}
	return &flow.Fault{Reason: flow.ReasonOutput, Message: err.Error(), Hint: "print one JSON value, or set stdout = \"text\""}
}

// store keeps an artifact and sets the output of its name to the reference, unless the guest has set that itself.
func (a *attempt) store(ctx context.Context, name, mediaType string, r io.Reader) *flow.Fault {
	ref, err := a.host.Artifact(ctx, name, mediaType, r)
	if errors.Is(err, flow.ErrTooLarge) {
		return &flow.Fault{
			Reason: flow.ReasonOutputLimit, Message: fmt.Sprintf("artifact %q exceeds limits.artifacts, %s", name, orDefault(a.call.Limits.Artifacts, defaultArtifacts)),
			Hint: "raise limits.artifacts of the step",
		}
	}
	if full, ok := errors.AsType[*flow.ServiceError](err); ok && full.Errno == int(abi.Quota) {
		return &flow.Fault{Reason: flow.ReasonQuota, Message: fmt.Sprintf("artifact %q: %s", name, full.Message), Hint: full.Hint}
	}
	if err != nil {
		a.log.Error("artifact not stored", slog.String("run", string(a.call.Context.RunID)), slog.String("step", a.call.Context.Step), slog.Any("err", err))
		return &flow.Fault{Reason: flow.ReasonInternal, Message: fmt.Sprintf("artifact %q could not be stored", name), Err: err}
	}
	if _, set := a.outputs.Outputs()[name]; set {
		return nil
	}
	value, err := json.Marshal(ref)
	if err == nil {
		err = a.outputs.Output(name, value).Err()
	}
	if err != nil {
		return &flow.Fault{Reason: flow.ReasonOutputLimit, Message: fmt.Sprintf("output %q of an artifact: %v", name, err), Hint: "write fewer files to /out"}
	}
	return nil
}
