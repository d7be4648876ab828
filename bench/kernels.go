package main

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/uniflow-dev/uniflow/host/hosttest"
)

// kernelNames are the entries of kernels.c.
func kernelNames() []string {
	return []string{"sum", "collatz", "recursion", "sieve", "loads", "copy", "crc", "product", "sort", "calls", "indirect", "branches"}
}

const kernelRounds = 5

// kernels measures loops with the checks that make them stoppable, against the
// same module on wazero alone.
func (l *lineup) kernels(ctx context.Context) (part, error) {
	path := filepath.Join(l.dir, "kernels.wasm")
	checked, err := hosttest.Load(ctx, path, hosttest.Config{})
	if err != nil {
		return part{}, fmt.Errorf("load under Uniflow: %w", err)
	}
	defer checked.Close()
	plain, closePlain, err := newRaw(ctx, path)
	if err != nil {
		return part{}, err
	}
	defer closePlain(ctx)
	var p part
	for _, name := range kernelNames() {
		pair := kernel{name: name, checked: checked, plain: plain}
		if err := pair.agree(ctx); err != nil {
			return part{}, err
		}
		p50, err := byTurns(l.count(kernelRounds), l.each/rounds/2,
			func() error { return second(pair.check(ctx)) },
			func() error { return second(pair.raw(ctx)) })
		if err != nil {
			return part{}, err
		}
		p.Details = append(p.Details, ratios("loop kernel "+name+", checked to unchecked", p50[0], p50[1]).unless(unsteady("the unchecked one", p50[1])))
	}
	p.Goals = kernelGoals(p.Details)
	return p, nil
}

// kernelGoals makes the median and the worst of all kernels; of fewer it would
// make none.
func kernelGoals(all []figure) []figure {
	var values []float64
	unclear := 0
	for _, f := range all {
		values = append(values, f.Value)
		if f.Skipped != "" {
			unclear++
		}
	}
	why := ""
	if unclear > 0 {
		why = fmt.Sprintf("%d of them varied too much without checks", unclear)
	}
	name := fmt.Sprintf("of %d loop kernels, checked to unchecked", len(all))
	worst := slices.MaxFunc(all, func(a, b figure) int { return cmp.Compare(a.Value, b.Value) })
	worst.Name = "worst " + name
	return []figure{summary("median "+name, times, values).most(1.2).unless(why), worst.most(1.5).unless(why)}
}

// kernel is one loop in both forms.
type kernel struct {
	name    string
	checked *hosttest.Module
	plain   *raw
}

func (k kernel) check(ctx context.Context) ([]byte, error) {
	out, err := k.checked.Call(ctx, hosttest.Input{Function: k.name})
	return out.Outputs["result"], err
}

func (k kernel) raw(ctx context.Context) ([]byte, error) {
	return k.plain.call(ctx, k.plain.module.ExportedFunction(k.name))
}

// agree compares the two answers.
func (k kernel) agree(ctx context.Context) error {
	got, err := k.check(ctx)
	if err != nil {
		return fmt.Errorf("kernel %s, checked: %w", k.name, err)
	}
	want, err := k.raw(ctx)
	if err != nil {
		return fmt.Errorf("kernel %s, unchecked: %w", k.name, err)
	}
	if len(got) == 0 || !bytes.Equal(got, want) {
		return fmt.Errorf("kernel %s: got %q, unchecked %q", k.name, got, want)
	}
	return nil
}
