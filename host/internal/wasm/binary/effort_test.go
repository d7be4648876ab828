package binary_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/uniflow-dev/uniflow/host/internal/wasm/binary"
	bt "github.com/uniflow-dev/uniflow/host/internal/wasm/binary/binarytest"
)

// branching is a function of n branches out of a block, behind one that does nothing.
func branching(n int) []byte {
	b := &bt.Builder{}
	void := b.Type(nil, nil)
	b.Func(void, 0)
	b.Func(void, 1, bt.Asm("block void"), bytes.Repeat(bt.Asm("local.get 0 br_if 0 "), n), bt.Asm("end"))
	return b.Bytes()
}

func TestFunctionThatIsTooDearIsNamed(t *testing.T) {
	t.Parallel()
	module := branching(40_000)
	_, err := binary.Decode(module)
	found, ok := errors.AsType[*binary.Error](err)
	if !ok || !found.Limit {
		t.Fatalf("error %v, want a limit", err)
	}
	if body := bytes.Index(module, []byte{1, 1, bt.I32, 0x02, 0x40}); found.Offset != body {
		t.Errorf("offset %d, the function is at %d", found.Offset, body)
	}
	for _, part := range []string{"function 1", "million steps", "blocks that lie behind many others", "for a module of 160037 bytes"} {
		if !strings.Contains(found.Rule, part) {
			t.Errorf("rule %q does not say %q", found.Rule, part)
		}
	}
}

// TestEstimateGrowsWithTheSquareOfBranches sees that twice the function is four times the work, and twice the functions
// twice.
func TestEstimateGrowsWithTheSquareOfBranches(t *testing.T) {
	t.Parallel()
	steps := func(module []byte) float64 {
		m, err := binary.Decode(module)
		if err != nil {
			t.Fatal(err)
		}
		return m.Work().Steps
	}
	if ratio := steps(branching(4_000)) / steps(branching(2_000)); ratio < 3.8 || ratio > 4.2 {
		t.Errorf("twice the branches are %.1f times the work", ratio)
	}
	functions := func(n int) []byte {
		b := &bt.Builder{}
		void := b.Type(nil, nil)
		for range n {
			b.Func(void, 1, bt.Asm("block void"), bytes.Repeat(bt.Asm("local.get 0 br_if 0 "), 500), bt.Asm("end"))
		}
		return b.Bytes()
	}
	if ratio := steps(functions(20)) / steps(functions(10)); ratio < 1.9 || ratio > 2.1 {
		t.Errorf("twice the functions are %.1f times the work", ratio)
	}
}

// TestOnlyWhatIsReachedIsCompiled sees that code behind a branch that is always taken costs nothing.
func TestOnlyWhatIsReachedIsCompiled(t *testing.T) {
	t.Parallel()
	b := &bt.Builder{}
	b.Func(b.Type(nil, nil), 1, bt.Asm("block void br 0"), bytes.Repeat(bt.Asm("local.get 0 br_if 0 "), 40_000), bt.Asm("end"))
	if _, err := binary.Decode(b.Bytes()); err != nil {
		t.Error(err)
	}
}
