package wasm

import (
	"context"
	"errors"
	"fmt"

	"github.com/tetratelabs/wazero/api"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/wasm/binary"
)

const (
	// sliceFuel is how much a guest works between two looks of the host: 20 to 300 µs, and some milliseconds where each
	// unit waits for memory. Go's garbage collector waits for a guest no longer than that.
	sliceFuel = 200_000
	// callFuel is the price of a call to the host ABI, beside what the rewriting charges where it is made; byteShift makes
	// the price of the bytes that cross, 8 for a unit.
	callFuel  = 500
	byteShift = 3
)

// errStopped unwinds a guest that is stopped. Why stands in the cause of the guest's context.
var errStopped = errors.New("the host has stopped the guest")

// tank is the fuel of one instance. What was used does not depend on the slices in which it was given, nor on time.
type tank struct {
	budget int64             // zero for none
	given  int64             // since the entry
	left   api.MutableGlobal // of the guest; nil before it works, and when it is over
	final  int64             // what was used when it was over
}

// connect finds the guest's gauge. It cannot be had before the instance is there, and a start function is called before
// the host sees the instance.
func (t *tank) connect(m api.Module) {
	if t.left == nil {
		t.left, _ = m.ExportedGlobal(binary.FuelExport).(api.MutableGlobal) // the rewriting has put it there
	}
}

func (t *tank) used() int64 {
	if t.left == nil {
		return t.final
	}
	return t.given - int64(t.left.Get())
}

// stop keeps what was used; the gauge is another's from then on.
func (t *tank) stop() { t.final, t.left = t.used(), nil }

// charge takes the price of what the host does for the guest.
func (t *tank) charge(price int64) {
	t.left.Set(t.left.Get() - uint64(price))
}

// refill gives another slice, or what is left of the budget. It reports false when more than that was used.
func (t *tank) refill() bool {
	used := t.used()
	t.given = used + sliceFuel
	if t.budget > 0 {
		if used > t.budget {
			t.given = used
			t.left.Set(0)
			return false
		}
		t.given = min(t.given, t.budget)
	}
	t.left.Set(uint64(t.given - used))
	return true
}

// restart forgets what was used, and sets the budget for what comes: fuel counts from the entry.
func (t *tank) restart(budget int64) {
	t.budget, t.given = budget, 0
	if t.left != nil {
		t.left.Set(0)
	}
}

// tick is what a guest calls when its slice is used up.
func tick(ctx context.Context, m api.Module, _ []uint64) {
	a := attemptOf(ctx)
	a.fuel.connect(m)
	look(ctx)
	if !a.fuel.refill() {
		a.stop(&flow.Fault{
			Reason: flow.ReasonFuel, Message: fmt.Sprintf("the guest used up limits.fuel, %d units", a.fuel.budget),
			Hint: "raise limits.fuel of the step, or look for a loop that does too much",
		})
		panic(errStopped)
	}
}

// look unwinds a guest that has been stopped.
func look(ctx context.Context) {
	if ctx.Err() != nil {
		panic(errStopped)
	}
}
