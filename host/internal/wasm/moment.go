package wasm

import (
	"fmt"
	"strings"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/sdk/abi"
)

const (
	keptCalls = 5   // host calls that the end of a guest tells
	keptText  = 200 // bytes of what the guest said last
)

// hostCall is a call from the guest to the host.
type hostCall struct {
	name   string
	op     string // of a service
	result int32
}

// String names a call with its operation and its refusal, if it had one.
func (c hostCall) String() string {
	text := c.name
	if c.op != "" {
		text += " " + printable(c.op)
	}
	if c.result < 0 {
		text += " (" + abi.Errno(-c.result).Name() + ")"
	}
	return text
}

// trail keeps the last calls of a guest.
type trail struct {
	calls [keptCalls]hostCall
	n     int
}

func (t *trail) add(name string) {
	t.calls[t.n%keptCalls] = hostCall{name: name}
	t.n++
}

// last is the call under way.
func (t *trail) last() *hostCall { return &t.calls[(t.n+keptCalls-1)%keptCalls] }

// String lists the calls, the newest last; equal ones that follow one another are counted.
func (t *trail) String() string {
	var texts []string
	times := 1
	for i := max(0, t.n-keptCalls); i < t.n; i++ {
		text := t.calls[i%keptCalls].String()
		if len(texts) > 0 && (texts[len(texts)-1] == text || strings.HasPrefix(texts[len(texts)-1], text+" × ")) {
			times++
			texts[len(texts)-1] = fmt.Sprintf("%s × %d", text, times)
			continue
		}
		times = 1
		texts = append(texts, text)
	}
	return strings.Join(texts, ", ")
}

// moment says where the guest was when its sandbox broke: time, fuel, memory, its last calls of the host, and what it said
// last.
func (a *attempt) moment() string {
	var b strings.Builder
	fmt.Fprintf(&b, "; after %s, fuel %d, memory %s", time.Since(a.begun).Round(100*time.Microsecond), a.fuel.used(), flow.Size(a.peakNow()))
	if a.trail.n > 0 {
		fmt.Fprintf(&b, "; its last calls of the host: %s", &a.trail)
	}
	if said := strings.TrimSpace(a.stderr.last); said != "" && a.stderr.panicLine == "" {
		fmt.Fprintf(&b, "; it said last: %s", abbreviated(said))
	}
	return b.String()
}

// peakNow is the memory that the guest has used so far.
func (a *attempt) peakNow() uint64 {
	peak := a.peak
	if peak == 0 && a.instance != nil {
		peak = a.instance.memory.peak
	}
	if a.extism != nil {
		peak += a.extism.peak
	}
	return peak
}

func abbreviated(text string) string {
	text = strings.ToValidUTF8(text, "\uFFFD")
	if len(text) > keptText {
		text = strings.ToValidUTF8(text[:keptText], "") + "…"
	}
	return text
}

// told completes a fault of the guest's own making by its moment. Faults of the host say nothing of the guest.
func (a *attempt) told(fault *flow.Fault, err error) *flow.Fault {
	own := *fault
	switch fault.Reason {
	case flow.ReasonTrap, flow.ReasonStack: // which name their functions
	case flow.ReasonMemory, flow.ReasonFuel, flow.ReasonTimeout:
		own.Message += a.whereStopped(err)
	default:
		return fault
	}
	own.Message += a.moment()
	return &own
}

// whereStopped names the functions in which a guest was stopped.
func (a *attempt) whereStopped(err error) string {
	if err == nil {
		return ""
	}
	_, stack, _ := strings.Cut(err.Error(), "\nwasm stack trace:\n")
	return a.where.calledFrom(stack)
}
