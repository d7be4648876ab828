package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"
)

// The languages of the step. A variant is compared with our step in the same
// language.
const (
	langC  = "C"
	langGo = "Go"
)

// Names of variants that a goal is about.
const (
	nameFresh    = "wazero, fresh instance"
	nameExtism   = "Extism, fresh instance, timeout"
	nameNativeC  = "fork/exec, native C"
	nameNativeGo = "fork/exec, native Go"
	namePython   = "fork/exec, python3 -S -E and a script"
	nameGoPlugin = "go-plugin, warm call, AutoMTLS"
)

// variant is one way to run the step.
type variant struct {
	// Lang is the language whose step of ours it is compared with.
	Lang string
	Name string
	// role tells the two variants of a language that others are judged by.
	role role
	// call runs the step once and returns its answer.
	call func(context.Context) ([]byte, error)
}

type role int

const (
	peer  role = iota
	ours       // the denominator of the ratios
	floor      // the least that the work itself costs here: its spread tells how quiet the machine was
)

// omission is a variant that this machine cannot measure.
type omission struct {
	Lang string `json:"lang"`
	Name string `json:"name"`
	Why  string `json:"why"`
}

// lineup is everything that is measured, ready to run.
type lineup struct {
	dir       string        // for what is built
	each      time.Duration // to measure each variant for, all rounds together
	doc, want []byte
	with      map[string]any // the inputs that doc holds
	variants  []variant
	rows      []row // what came of the variants
	leftOut   []omission
	goReactor string   // path of the module whose load is measured
	tools     []string // that took part, with versions
	closers   []func(context.Context) error
}

func newLineup(dir string, each time.Duration) *lineup {
	l := &lineup{dir: dir, each: each, doc: document(), want: answer(), with: map[string]any{}}
	for name, value := range inputs(noteSize()) {
		l.with[name] = value
	}
	return l
}

// count is how often something is done whose duration is its own: full, unless
// next to no time is given.
func (l *lineup) count(full int) int { return max(1, min(full, int(l.each/(10*time.Millisecond)))) }

func (l *lineup) add(lang, name string, role role, call func(context.Context) ([]byte, error)) {
	l.variants = append(l.variants, variant{Lang: lang, Name: name, role: role, call: call})
}

func (l *lineup) omit(lang, name string, why error) {
	l.leftOut = append(l.leftOut, omission{Lang: lang, Name: name, Why: why.Error()})
}

// assemble builds and loads every variant. Only what needs a tool that may be
// missing is left out; whatever else fails is an error.
func (l *lineup) assemble(ctx context.Context) error {
	if err := unpack(l.dir); err != nil {
		return err
	}
	if err := l.addSandboxes(ctx, langC, filepath.Join(l.dir, "reactor.wasm"), filepath.Join(l.dir, "extism.wasm")); err != nil {
		return err
	}
	if err := l.addWorker(ctx, langC, filepath.Join(l.dir, "reactor.wasm")); err != nil {
		return err
	}
	l.addNativeC(ctx)
	var err error
	if l.goReactor, err = buildModule(ctx, l.dir, "reactor"); err != nil {
		return err
	}
	plugin, err := buildModule(ctx, l.dir, "extism")
	if err != nil {
		return err
	}
	if err := l.addSandboxes(ctx, langGo, l.goReactor, plugin); err != nil {
		return err
	}
	native, err := buildProgram(ctx, l.dir, "native")
	if err != nil {
		return err
	}
	l.addProcess(langGo, nameNativeGo, native)
	l.addPython(ctx)
	goplugin, err := buildProgram(ctx, l.dir, "goplugin")
	if err != nil {
		return err
	}
	return l.addGoPlugin(ctx, goplugin)
}

// addSandboxes adds the step of one language under the three Wasm hosts.
func (l *lineup) addSandboxes(ctx context.Context, lang, reactor, plugin string) error {
	for _, add := range []func() error{
		func() error { return l.addOurs(ctx, lang, reactor) },
		func() error { return l.addRaw(ctx, lang, reactor) },
		func() error { return l.addExtism(ctx, lang, plugin) },
	} {
		if err := add(); err != nil {
			return fmt.Errorf("%s: %w", lang, err)
		}
	}
	return nil
}

// check runs every variant once more than a first call would, since a reused
// instance must give the same answer again, and compares the answers.
func (l *lineup) check(ctx context.Context) error {
	var wrong []error
	for _, v := range l.variants {
		for range 2 {
			if err := l.once(ctx, v); err != nil {
				wrong = append(wrong, err)
				break
			}
		}
	}
	return errors.Join(wrong...)
}

// once runs a variant and compares its answer.
func (l *lineup) once(ctx context.Context, v variant) error {
	got, err := v.call(ctx)
	if err != nil {
		return fmt.Errorf("%s, %s: %w", v.Lang, v.Name, err)
	}
	if !bytes.Equal(got, l.want) {
		return fmt.Errorf("%s, %s: the answer is %.200q, want %s", v.Lang, v.Name, got, l.want)
	}
	return nil
}

// close frees what assemble has loaded, last things first.
func (l *lineup) close(ctx context.Context) {
	for _, free := range slices.Backward(l.closers) {
		_ = free(context.WithoutCancel(ctx)) // the process ends next
	}
}
