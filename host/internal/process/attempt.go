package process

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/sdk/abi"
	"github.com/uniflow-dev/uniflow/sdk/process"
	"github.com/uniflow-dev/uniflow/sdk/process/proto"
)

const (
	markTimeout    = time.Second     // for the last line that a plugin has announced
	crashTimeout   = time.Second     // for the end of a process whose connection broke
	serviceTimeout = 5 * time.Second // for services to return after their context has ended
)

// attempt is one call of a plugin on one worker.
type attempt struct {
	proc *proc
	call flow.Call
	host flow.HostCalls
	id   string // known to the plugin of this attempt only
	kept *abi.Attempt
	file *upload // the artifact in flight
	used atomic.Int64

	serviceCtx context.Context //nolint:containedctx // of the calls of the plugin, which come on goroutines of gRPC
	entered    atomic.Bool     // whether the plugin has made any call
	calls      sync.WaitGroup  // calls in flight
}

func newAttempt(w *proc, call flow.Call, host flow.HostCalls) *attempt {
	return &attempt{
		proc: w, call: call, host: host, id: rand.Text(),
		kept: abi.NewAttempt(abi.Limits{OutputBytes: int(call.Limits.Output)}),
	}
}

// run executes the attempt. After a fault the process is dead, and its last words are in the log.
func (a *attempt) run(ctx context.Context, doc []byte) (flow.Result, *flow.Fault) {
	w := a.proc
	serviceCtx, cancel := context.WithCancel(ctx)
	a.serviceCtx = serviceCtx
	marked := w.lines.listen(a.host, process.StderrMark(a.id))
	defer w.lines.silence()
	request := &proto.RunRequest{
		ContextJson: doc, CallId: a.id, HostBrokerId: w.services.begin(a),
		GraceMs: a.call.Grace.Std().Milliseconds(), OutputBytes: int64(a.call.Limits.Output),
	}
	done, fault := a.receive(ctx, request)
	if ctx.Err() != nil {
		fault = a.stop(ctx, done != nil, marked)
	}
	w.services.end()
	cancel()
	a.waitForCalls()
	if fault == nil && done.GetPanicked() {
		fault = &flow.Fault{Reason: flow.ReasonPanic, Message: "the plugin panicked: " + abi.ClipMessage(done.GetMessage()), Hint: "the log of the attempt holds the stack"}
	}
	if fault != nil {
		w.end()
		fault.Usage = a.usage()
		return flow.Result{}, fault
	}
	if done.GetStderrMarked() {
		wait(marked, markTimeout)
	}
	return a.result(done), nil
}

// receive sends the request and takes events until the done event. It returns as soon as ctx ends.
func (a *attempt) receive(ctx context.Context, request *proto.RunRequest) (*proto.Done, *flow.Fault) {
	// The deadline stays on this side: gRPC would hand it on, and the plugin's end could break off the stream before
	// ours knows why. The end of ctx is told by the end of the stream.
	streamCtx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, cancel)()
	defer a.dropFile()
	stream, err := a.proc.program.Run(streamCtx, request)
	if err != nil {
		return nil, a.broken(ctx, err)
	}
	for {
		event, err := stream.Recv()
		if err != nil {
			return nil, a.broken(ctx, err)
		}
		if done := event.GetDone(); done != nil {
			return done, nil
		}
		a.used.Add(1)
		if fault := a.take(ctx, event); fault != nil {
			return nil, fault
		}
	}
}

// take does what an event asks for.
func (a *attempt) take(ctx context.Context, event *proto.RunEvent) *flow.Fault {
	switch e := event.GetEvent().(type) {
	case *proto.RunEvent_Log:
		level := min(max(flow.LogLevel(e.Log.GetLevel()), flow.LogTrace), flow.LogError)
		a.host.Log(level, abi.ClipMessage(e.Log.GetMessage()))
	case *proto.RunEvent_Progress:
		// The plugin hears of a cancellation by the end of the stream.
		a.host.Progress(int(min(max(e.Progress.GetPermille(), 0), 1000)), abi.ClipMessage(e.Progress.GetMessage()))
	case *proto.RunEvent_Output:
		return a.output(e.Output.GetName(), e.Output.GetValueJson())
	case *proto.RunEvent_Artifact:
		return a.piece(ctx, e.Artifact)
	}
	return nil // an event of a newer contract
}

func (a *attempt) output(name string, value []byte) *flow.Fault {
	switch e := a.kept.Output(name, value); e {
	case abi.OK:
		return nil
	case abi.TooLarge:
		limit := a.call.Limits.Output
		if limit <= 0 {
			limit = abi.MaxOutput
		}
		return &flow.Fault{
			Reason:  flow.ReasonOutputLimit,
			Message: fmt.Sprintf("with output %.40q of %d bytes the outputs exceed limits.output (%s), %d outputs or %d bytes of a name", name, len(value), limit, abi.MaxOutputs, abi.MaxOutputName),
			Hint:    "raise limits.output of the step, or hand large values on as artifacts",
		}
	default:
		return &flow.Fault{Reason: flow.ReasonOutput, Message: fmt.Sprintf("output %.40q is refused: %s", name, e)}
	}
}

// broken says why the stream ended without a done event.
func (a *attempt) broken(ctx context.Context, err error) *flow.Fault {
	child := a.proc.child
	switch {
	case ctx.Err() != nil:
		return flow.EndFault(ctx)
	case a.proc.runtime.stopping():
		return stopFault()
	case status.Code(err) == codes.ResourceExhausted:
		return &flow.Fault{
			Reason:  flow.ReasonOutputLimit,
			Message: fmt.Sprintf("the plugin sent a message over %d bytes, the most that host and plugin exchange at once", process.MaxWireMessage),
			Hint:    "hand large values on as artifacts", Err: err,
		}
	case wait(child.gone, timeToDie(err)):
		return &flow.Fault{Reason: flow.ReasonCrashed, Message: "the process of the plugin " + child.ending() + " during the attempt", Hint: "its last words are in the log of the attempt", Err: err}
	case errors.Is(err, io.EOF):
		return &flow.Fault{Reason: flow.ReasonCrashed, Message: "the plugin ended the attempt without saying how"}
	}
	return &flow.Fault{Reason: flow.ReasonCrashed, Message: "the plugin broke off the attempt: " + abi.ClipMessage(status.Convert(err).Message()), Err: err}
}

// timeToDie is how long to wait for the end of the process after err: the stream breaks a little earlier than that is
// known, in one way.
func timeToDie(err error) time.Duration {
	if status.Code(err) == codes.Unavailable {
		return crashTimeout
	}
	return 0
}

// stop waits for a plugin that is not done to end by itself after ctx has ended, as long as its grace is.
func (a *attempt) stop(ctx context.Context, done bool, marked <-chan struct{}) *flow.Fault {
	fault := flow.EndFault(ctx)
	grace := a.call.Grace.Std()
	if done || grace <= 0 {
		return fault
	}
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-marked:
	case <-a.proc.child.gone:
	case <-timer.C:
		fault.Message += fmt.Sprintf("; the plugin did not stop within its grace of %s and was killed", a.call.Grace)
	}
	return fault
}

// waitForCalls waits until no call of the plugin is in flight, so that nothing of the attempt takes effect after it.
func (a *attempt) waitForCalls() {
	if !a.entered.Load() {
		return
	}
	all := make(chan struct{})
	go func() {
		a.calls.Wait()
		close(all)
	}()
	wait(all, serviceTimeout)
}

func (a *attempt) usage() flow.Usage { return flow.Usage{HostCalls: a.used.Load()} }

// result is the plugin's own word. A failure has no outputs; a skip keeps them.
func (a *attempt) result(done *proto.Done) flow.Result {
	verdict := flow.Verdict(done.GetKind())
	if verdict < flow.VerdictOK || verdict > flow.VerdictPermanent {
		verdict = flow.VerdictFailed
	}
	r := flow.Result{Verdict: verdict, Usage: a.usage()}
	if verdict != flow.VerdictOK {
		r.Code, r.Message = abi.ClipMessage(done.GetCode()), abi.ClipMessage(done.GetMessage())
	}
	if verdict == flow.VerdictRetry {
		ms := min(max(done.GetRetryAfterMs(), 0), abi.MaxRetryAfter.Milliseconds())
		r.RetryAfter = flow.Duration(time.Duration(ms) * time.Millisecond)
	}
	if verdict == flow.VerdictOK || verdict == flow.VerdictSkip {
		r.Outputs = a.kept.Outputs()
	}
	return r
}

// encode returns the document that the plugin reads. The values in it are JSON already, and are taken byte for byte.
func encode(run flow.RunContext) ([]byte, *flow.Fault) {
	const hole = `"context":null,"with":null,"item":null` // cannot be part of a text, where quotes are escaped
	run.ABI = flow.RunContextABI
	if run.Features == nil {
		run.Features = []string{}
	}
	context, with, item := run.Context, run.With, run.Item
	run.Context, run.With, run.Item = nil, nil, nil
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(run); err != nil {
		return nil, &flow.Fault{Reason: flow.ReasonInternal, Message: "the run context is not JSON", Err: err}
	}
	before, after, _ := bytes.Cut(bytes.TrimSuffix(b.Bytes(), []byte("\n")), []byte(hole))
	doc := append(bytes.Clone(before), `"context":`...)
	doc = append(appendObject(doc, context), `,"with":`...)
	doc = append(appendObject(doc, with), `,"item":`...)
	if len(item) == 0 {
		item = json.RawMessage("null")
	}
	doc = append(append(doc, item...), after...)
	if len(doc) > abi.MaxContext {
		return nil, &flow.Fault{
			Reason:  flow.ReasonOutputLimit,
			Message: fmt.Sprintf("the run context has %d bytes, at most %s", len(doc), flow.Size(abi.MaxContext)),
			Hint:    "hand large values on as artifacts",
		}
	}
	return doc, nil
}

// appendObject appends members in the order of their names.
func appendObject(doc []byte, members map[string]json.RawMessage) []byte {
	doc = append(doc, '{')
	for i, name := range slices.Sorted(maps.Keys(members)) {
		if i > 0 {
			doc = append(doc, ',')
		}
		quoted, err := json.Marshal(name)
		if err != nil {
			continue // cannot be, of a text
		}
		value := members[name]
		if len(value) == 0 {
			value = json.RawMessage("null")
		}
		doc = append(append(append(doc, quoted...), ':'), value...)
	}
	return append(doc, '}')
}
