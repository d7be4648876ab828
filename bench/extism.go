package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"

	extism "github.com/extism/go-sdk"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/hosttest"
)

// unchanged is a plugin of Extism that is measured as it is, under both hosts.
type unchanged struct {
	name, path, function, input string
}

// sdkModule returns the file of a plugin that the Extism Go SDK has as its
// test data.
func sdkModule(ctx context.Context, name string) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", "github.com/extism/go-sdk").Output()
	if err != nil {
		return "", fmt.Errorf("find the Extism SDK: %w", err)
	}
	return filepath.Join(strings.TrimSpace(string(out)), "wasm", name), nil
}

// plugins measures plugins of Extism under Uniflow and under the Extism Go SDK.
func (l *lineup) plugins(ctx context.Context) (part, error) {
	vowels, err := sdkModule(ctx, "count_vowels.wasm")
	if err != nil {
		return part{}, err
	}
	var p part
	for _, u := range []unchanged{
		{"the Extism plugin count_vowels", vowels, "count_vowels", strings.Repeat("hello world ", 86)},
		{"the C step as an Extism plugin", filepath.Join(l.dir, "extism.wasm"), "run", string(l.doc)},
	} {
		figures, err := l.plugin(ctx, u)
		if err != nil {
			return part{}, fmt.Errorf("%s: %w", u.name, err)
		}
		p.Details = append(p.Details, figures...)
	}
	return p, nil
}

func (l *lineup) plugin(ctx context.Context, u unchanged) ([]figure, error) {
	ours, err := hosttest.Load(ctx, u.path, hosttest.Config{})
	if err != nil {
		return nil, fmt.Errorf("load under Uniflow: %w", err)
	}
	defer ours.Close()
	compiled, err := newExtism(ctx, u.path)
	if err != nil {
		return nil, err
	}
	defer compiled.Close(context.WithoutCancel(ctx))
	reused, err := compiled.Instance(ctx, extism.PluginInstanceConfig{})
	if err != nil {
		return nil, fmt.Errorf("instantiate under Extism: %w", err)
	}
	input, err := json.Marshal(u.input)
	if err != nil {
		return nil, err
	}
	p50, err := byTurns(l.count(rounds), l.each/rounds,
		func() error {
			out, err := ours.Call(ctx, hosttest.Input{Function: u.function, Stdin: input})
			if err == nil && (out.Verdict != flow.VerdictOK || len(out.Outputs) == 0) {
				err = fmt.Errorf("no answer: %s", out.Message)
			}
			return err
		},
		func() error {
			fresh, err := compiled.Instance(ctx, extism.PluginInstanceConfig{})
			if err != nil {
				return err
			}
			defer fresh.CloseWithContext(ctx)
			return answers(ctx, fresh, u)
		},
		func() error { return answers(ctx, reused, u) })
	if err != nil {
		return nil, err
	}
	return []figure{
		lasting(u.name+" under Uniflow", p50[0]),
		ratios("Extism, fresh instance, timeout, to "+u.name, p50[1], p50[0]),
		ratios("Extism, reused instance, timeout, to "+u.name, p50[2], p50[0]),
	}, nil
}

// answers calls a plugin under the SDK.
func answers(ctx context.Context, p *extism.Plugin, u unchanged) error {
	code, out, err := p.CallWithContext(ctx, u.function, []byte(u.input))
	if err == nil && (code != 0 || len(out) == 0) {
		err = errors.New("no answer under Extism")
	}
	return err
}
