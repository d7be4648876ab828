package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"

	extism "github.com/extism/go-sdk"

	"github.com/uniflow-dev/uniflow/host/hosttest"
)

// mebibyte measures what it takes to hand 1 MiB of JSON to a guest and back.
func (l *lineup) mebibyte(ctx context.Context) (part, error) {
	value := []byte(`"` + strings.Repeat("x", 1<<20-2) + `"`)
	ours, closeOurs, err := l.echoOurs(ctx, value)
	if err != nil {
		return part{}, err
	}
	defer closeOurs()
	theirs, closeTheirs, err := l.echoExtism(ctx, value)
	if err != nil {
		return part{}, err
	}
	defer closeTheirs()
	calls := []func() error{returns(ours, value), copying(value), returns(theirs, value)}
	p50, err := byTurns(l.count(rounds), l.each/rounds, calls...)
	if err != nil {
		return part{}, fmt.Errorf("1 MiB in and out: %w", err)
	}
	busy := unsteady("the copying", p50[1])
	return part{Goals: []figure{
		ratios("1 MiB of JSON in and out to three memcpys", p50[0], p50[1]).most(3).unless(busy),
		ratios("Extism, reused instance, to 1 MiB in and out", p50[2], p50[0]).least(45).unless(busy),
	}, Details: []figure{
		lasting("1 MiB of JSON in and out", p50[0]), lasting("three memcpys of 1 MiB", p50[1]), lasting("1 MiB in and out under Extism", p50[2]),
	}}, nil
}

// echoOurs returns a call that hands the value to a guest of ours and back.
func (l *lineup) echoOurs(ctx context.Context, value []byte) (call func() ([]byte, error), done func() error, err error) {
	m, err := hosttest.Load(ctx, filepath.Join(l.dir, "mebibyte.wasm"), hosttest.Config{})
	if err != nil {
		return nil, nil, fmt.Errorf("load under Uniflow: %w", err)
	}
	with := map[string]any{"data": json.RawMessage(value)}
	return func() ([]byte, error) {
		out, err := m.Call(ctx, hosttest.Input{With: with})
		return out.Outputs["result"], err
	}, m.Close, nil
}

// echoExtism is the same by an instance of a plugin that is used again.
func (l *lineup) echoExtism(ctx context.Context, value []byte) (call func() ([]byte, error), done func() error, err error) {
	compiled, err := newExtism(ctx, filepath.Join(l.dir, "extism-mebibyte.wasm"))
	if err != nil {
		return nil, nil, err
	}
	done = func() error { return compiled.Close(ctx) }
	p, err := compiled.Instance(ctx, extism.PluginInstanceConfig{})
	return func() ([]byte, error) { return callExtism(ctx, p, value) }, done, err
}

// returns makes sure that a call returns the value: the first time all of it,
// later its length, since comparing would take as long as what is measured.
func returns(call func() ([]byte, error), value []byte) func() error {
	compared := false
	return func() error {
		got, err := call()
		if err == nil && (len(got) != len(value) || !compared && !bytes.Equal(got, value)) {
			err = fmt.Errorf("%d bytes came back, not the %d that went in", len(got), len(value))
		}
		compared = true
		return err
	}
}

// copying copies the value three times, into places that are there.
func copying(value []byte) func() error {
	var places [3][]byte
	for i := range places {
		places[i] = make([]byte, len(value))
	}
	return func() error {
		from := value
		for _, to := range places {
			copy(to, from)
			from = to
		}
		return nil
	}
}
