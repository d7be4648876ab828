package wasm_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/uniflow-dev/uniflow/host/flow"
	bt "github.com/uniflow-dev/uniflow/host/internal/wasm/binary/binarytest"
)

// Promise: what breaks a guest is told with the moment: time, fuel, memory and its last calls of the host, with what they
// asked for and how they were refused.
func TestTheEndOfAGuestTellsItsMoment(t *testing.T) {
	t.Parallel()
	b, index := reactor("input_size", "call", "log")
	b.Data(16, "no.such")
	service := bt.Join(bt.Const(16), bt.Const(7), bt.Const(0), bt.Const(0), bt.Call(index["call"]), bt.Op(0x1a))
	line := bt.Join(bt.Const(2), bt.Const(16), bt.Const(7), bt.Call(index["log"]))
	size := bt.Join(bt.Call(index["input_size"]), bt.Op(0x1a))
	_, _, err := attempt(t, entry(b, 0, size, size, size, line, service, service, bt.Op(bt.Unreachable)), nil)
	fault := faultOf(t, err)
	want := regexp.MustCompile(`^the guest trapped: unreachable in \S+; after [0-9.]+(µs|ms|s), fuel [1-9][0-9]*, memory 64KiB; its last calls of the host: input_size × 2, log, call no\.such \(unknown_op\) × 2$`)
	if fault.Reason != flow.ReasonTrap || !want.MatchString(fault.Message) {
		t.Errorf("fault %s %q", fault.Reason, fault.Message)
	}
}

// Promise: a guest that is stopped is told with the functions in which it was.
func TestAStopTellsWhereTheGuestWas(t *testing.T) {
	t.Parallel()
	b, _ := reactor()
	module := append(entry(b, 0, bt.Loop(), bt.Const(0)), bt.Section(0, bt.Join(bt.Vec([]byte("name")), []byte{1}, bt.Vec(bt.Join([]byte{1, 1}, bt.Vec([]byte("digging"))))))...)
	_, _, err := attempt(t, module, func(c *flow.Call) { c.Limits.Fuel = 1_000_000 })
	if fault := faultOf(t, err); fault.Reason != flow.ReasonFuel || !strings.Contains(fault.Message, " in digging; after ") {
		t.Errorf("fault %s %q", fault.Reason, fault.Message)
	}
}
