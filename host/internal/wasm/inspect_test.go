package wasm_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/wasm"
	bt "github.com/uniflow-dev/uniflow/host/internal/wasm/binary/binarytest"
)

func TestInspectReactor(t *testing.T) {
	t.Parallel()
	b, _ := reactor("log", "call")
	f := b.Func(b.Type(nil, []byte{bt.I32}), 0, bt.Const(0))
	b.Export("mean", f)
	b.Export("alloc", b.Func(b.Type([]byte{bt.I32}, []byte{bt.I32}), 0, bt.Const(0)))
	b.Custom("uniflow.plugin", `{"name":"stats","functions":{"mean":{"outputs":{"properties":{"value":{"type":"number"}}}},"odd":{"outputs":true}}}`)
	module := entry(b, 0, bt.Const(0))
	info, err := wasm.Inspect(module)
	if err != nil {
		t.Fatal(err)
	}
	if info.Profile != wasm.ProfileReactor || !slices.Equal(info.Functions, []string{"mean", "uniflow_run"}) {
		t.Errorf("profile %q, functions %q", info.Profile, info.Functions)
	}
	if len(info.Imports) != 2 || info.Imports[0] != (wasm.Import{Module: "uniflow", Name: "log", Kind: "func", Signature: "(i32, i32, i32) -> ()"}) {
		t.Errorf("imports %+v", info.Imports)
	}
	if info.Descriptor == nil || info.Descriptor.Name != "stats" || info.MemoryMin != 64*flow.KiB || info.MemoryMax != 0 || info.WASI {
		t.Errorf("info %+v", info)
	}
	r := info.Resolved("/x.wasm")
	if r.Path != "/x.wasm" || r.Digest != info.Digest || len(r.Functions) != 2 || len(r.Outputs) != 1 || string(r.Outputs["mean"]["value"]) != `{"type":"number"}` {
		t.Errorf("resolved %+v", r)
	}
	if info.Digest != flow.DigestOf(module) || info.Size != flow.Size(len(module)) {
		t.Errorf("digest %s, size %s", info.Digest, info.Size)
	}
}

func TestInspectGoGuests(t *testing.T) {
	t.Parallel()
	for want, build := range map[wasm.Profile]func() (string, error){wasm.ProfileCommand: built.command, wasm.ProfileReactor: built.reactor} {
		path, err := build()
		if err != nil {
			t.Fatal(err)
		}
		module, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		info, err := wasm.Inspect(module)
		if err != nil || info.Profile != want || !info.WASI {
			t.Errorf("%s: %+v, %v", want, info, err)
		}
	}
}

func TestEveryMissingImportIsListed(t *testing.T) {
	t.Parallel()
	b := &bt.Builder{}
	void := b.Type(nil, nil)
	b.Import("env", "abort", b.Type([]byte{bt.I32, bt.I32, bt.I32, bt.I32}, nil))
	b.Import("uniflow", "log", void)
	b.Import("uniflow", "teleport", void)
	b.Import("wasi_snapshot_preview1", "sched_yield", b.Type(nil, []byte{bt.I32}))
	b.Import("wasi_unstable", "fd_write", void)
	b.Memory(1)
	b.Export("_start", b.Func(void, 0))
	info, err := wasm.Inspect(b.Bytes())
	if info == nil || flow.CodeOf(err) != flow.CodeImports {
		t.Fatalf("info %v, error %v", info, err)
	}
	for _, want := range []string{
		"4 of 5 imports", "env.abort (i32, i32, i32, i32) -> ()", "--use abort=", "uniflow.log () -> ()", "the host's function is (i32, i32, i32) -> ()",
		"uniflow.teleport", "wasi_unstable.fd_write", "preview 0",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is missing in:\n%v", want, err)
		}
	}
	if strings.Contains(err.Error(), "sched_yield") {
		t.Errorf("an import that is served is listed:\n%v", err)
	}
}

func TestFilesThatAreNoPlugin(t *testing.T) {
	t.Parallel()
	command := func(edit func(*bt.Builder)) []byte {
		b := &bt.Builder{}
		edit(b)
		return b.Bytes()
	}
	extism := &bt.Builder{}
	extism.Import("extism:host/env", "input_length", extism.Type(nil, []byte{bt.I64}))
	extism.Import("extism:host/user", "mult", extism.Type(nil, []byte{bt.I64}))
	extism.Export("_start", extism.Func(extism.Type(nil, nil), 0))
	for name, c := range map[string]struct {
		module []byte
		code   flow.Code
		says   string
	}{
		"empty":         {nil, flow.CodeNotWasm, "empty"},
		"text":          {[]byte("(module)\n"), flow.CodeNotWasm, "text"},
		"other text":    {[]byte("#!/bin/sh\n"), flow.CodeNotWasm, "text"},
		"native":        {[]byte("\x7fELF\x02\x01\x01\x00\x00"), flow.CodeNotWasm, "does not begin"},
		"component":     {[]byte("\x00asm\x0d\x00\x01\x00"), flow.CodeComponent, "component"},
		"version":       {[]byte("\x00asm\x02\x00\x00\x00"), flow.CodeNotWasm, "version"},
		"memory":        {bt.Join(bt.Preamble(), bt.Section(2, []byte("\x01\x03env\x03mem\x02\x00\x01"))), flow.CodeImports, "env.mem (memory): the host offers functions only"},
		"bomb":          {bt.Join(bt.Preamble(), bt.Section(2, []byte{0xff, 0xff, 0xff, 0xff, 0x0f})), flow.CodeMalformed, "at byte 15"},
		"Extism":        {extism.Bytes(), flow.CodeExtism, "extism:host/user.mult () -> i64: a function of the host that the plugin was written for"},
		"no entry":      {bt.Preamble(), flow.CodeNoEntry, "_start"},
		"wrong _start":  {command(func(b *bt.Builder) { b.Export("_start", b.Func(b.Type(nil, []byte{bt.I32}), 0, bt.Const(0))) }), flow.CodeNoEntry, "() -> i32"},
		"reactor alone": {command(func(b *bt.Builder) { b.Export("uniflow_abi_v1", b.Func(b.Type(nil, nil), 0)) }), flow.CodeNoEntry, "no function"},
		"no memory": {command(func(b *bt.Builder) {
			b.Import("wasi_snapshot_preview1", "sched_yield", b.Type(nil, []byte{bt.I32}))
			b.Export("_start", b.Func(b.Type(nil, nil), 0))
		}), flow.CodeNoEntry, "memory"},
	} {
		_, err := wasm.Inspect(c.module)
		if flow.CodeOf(err) != c.code || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %s with %q", name, err, c.code, c.says)
		}
		if e, ok := errors.AsType[*flow.Error](err); !ok || e.Hint == "" {
			t.Errorf("%s: %v has no hint", name, err)
		}
	}
}

func TestLoadRefuses(t *testing.T) {
	t.Parallel()
	rt := newRuntime(t, wasm.Config{})
	dir := t.TempDir()
	b, _ := reactor()
	module := entry(b, 0, bt.Const(0))
	changed := pluginOf(t, module)
	changed.Digest = flow.DigestOf([]byte("other"))
	invalid, _ := reactor()
	for name, c := range map[string]struct {
		plugin flow.PlanPlugin
		code   flow.Code
	}{
		"missing":          {flow.PlanPlugin{Name: "x", Path: filepath.Join(dir, "none.wasm")}, flow.CodeModuleFile},
		"folder":           {flow.PlanPlugin{Name: "x", Path: dir}, flow.CodeModuleFile},
		"device":           {flow.PlanPlugin{Name: "x", Path: os.DevNull}, flow.CodeModuleFile},
		"digest":           {changed, flow.CodeModuleDigest},
		"no digest":        {flow.PlanPlugin{Name: "x", Path: changed.Path}, flow.CodeModuleDigest},
		"invalid function": {pluginOf(t, entry(invalid, 0, bt.Op(bt.Add))), flow.CodeCompile},
	} {
		_, err := rt.Load(t.Context(), c.plugin)
		found, ok := errors.AsType[*flow.Error](err)
		if !ok || found.Code != c.code || !strings.HasPrefix(found.Op, "load plugin") || found.Hint == "" {
			t.Errorf("%s: %v, want %s with a hint", name, err, c.code)
		}
	}
}
