package tool

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/wasm"
	"github.com/uniflow-dev/uniflow/sdk/abi"
)

// PackPlugin writes the module at path with a description embedded as its custom section; one that it has is replaced.
// Nothing is written unless the result can be loaded.
func PackPlugin(path, descriptor, out string) (flow.PluginInfo, error) {
	module, err := readPlugin(path)
	if err != nil {
		return flow.PluginInfo{Path: path}, err
	}
	info, err := wasm.Inspect(module)
	if err != nil {
		return flow.PluginInfo{Path: path}, err
	}
	doc, err := readDescriptor(descriptor, info)
	if err != nil {
		return flow.PluginInfo{Path: path}, err
	}
	packed, err := withSection(module, doc)
	if err == nil {
		_, err = wasm.Inspect(packed)
	}
	if err != nil {
		return flow.PluginInfo{Path: path}, fmt.Errorf("pack %s: %w", path, err)
	}
	if err := replaceFile(out, packed); err != nil {
		return flow.PluginInfo{Path: path}, &flow.Error{Code: flow.CodeInput, Op: "write " + out, Message: "it cannot be written", Hint: "name a file in a folder that you may write to: -o plugin.wasm", Err: err}
	}
	return InspectPlugin(out)
}

// replaceFile writes a file as a whole or not at all: it may be the one that was read.
func replaceFile(path string, content []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".uniflow-*")
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err = errors.Join(err, f.Chmod(0o644), f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}

// readDescriptor reads and checks a description; it returns the document without needless space.
func readDescriptor(path string, info *wasm.Info) ([]byte, error) {
	fail := func(message, hint string, err error) ([]byte, error) {
		return nil, &flow.Error{Code: flow.CodeDescription, Op: "read " + path, Message: message, Hint: hint, Err: err}
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return fail("it cannot be read", "name the description: --descriptor uniflow.plugin.json", nil)
	}
	if _, err := abi.DecodeDescriptor(raw); err != nil {
		return fail("it is no description", `a JSON object like {"name": "csv", "version": "1.0.0"}`, err)
	}
	var d abi.Descriptor
	strict := json.NewDecoder(bytes.NewReader(raw))
	strict.DisallowUnknownFields()
	if err := strict.Decode(&d); err != nil {
		return fail(strings.TrimPrefix(err.Error(), "json: "), "the keys are name, version, description, functions and wants", nil)
	}
	if _, err := strict.Token(); !errors.Is(err, io.EOF) {
		return fail("something follows the JSON object", "remove it", nil)
	}
	if d.Name == "" {
		return fail("it has no name", `add "name": "csv"`, nil)
	}
	for _, name := range slices.Sorted(maps.Keys(d.Functions)) {
		if message, hint := checkFunction(name, d.Functions[name], info); message != "" {
			return fail(message, hint, nil)
		}
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, raw); err != nil {
		return fail("it is no JSON", "", err)
	}
	return compact.Bytes(), nil
}

// checkFunction says what is wrong with the description of a function, and what to do.
func checkFunction(name string, f abi.Function, info *wasm.Info) (message, hint string) {
	if info.Profile == wasm.ProfileReactor && !slices.Contains(info.Functions, name) {
		hint = "the module exports " + strings.Join(info.Functions, ", ")
		if near := nearest(name, info.Functions); near != "" {
			hint = fmt.Sprintf("did you mean %q?", near)
		}
		return fmt.Sprintf("it describes a function %q, which the module does not export", name), hint
	}
	for key, schema := range map[string]json.RawMessage{"with": f.With, "outputs": f.Outputs} {
		trimmed := bytes.TrimSpace(schema)
		if len(trimmed) > 0 && trimmed[0] != '{' && string(trimmed) != "true" && string(trimmed) != "false" {
			return fmt.Sprintf("functions.%s.%s is no JSON Schema", name, key), `write an object like {"type": "object"}`
		}
	}
	return "", ""
}

var errCut = errors.New("the module is cut short")

// withSection returns a module with one descriptor, at its end.
func withSection(module, content []byte) ([]byte, error) {
	const name = abi.CustomSection
	const header = 8
	if len(module) < header {
		return nil, errCut
	}
	out := bytes.Clone(module[:header])
	for rest := module[header:]; len(rest) > 0; {
		size, n := binary.Uvarint(rest[1:])
		end := uint64(1+n) + size
		if n <= 0 || end > uint64(len(rest)) {
			return nil, errCut
		}
		body := rest[1+n : end]
		if rest[0] != 0 || !hasName(body, name) {
			out = append(out, rest[:end]...)
		}
		rest = rest[end:]
	}
	body := append(binary.AppendUvarint(nil, uint64(len(name))), name...)
	body = append(body, content...)
	out = append(out, 0)
	return append(binary.AppendUvarint(out, uint64(len(body))), body...), nil
}

// hasName reports whether a custom section begins with a name.
func hasName(body []byte, name string) bool {
	size, n := binary.Uvarint(body)
	return n > 0 && size == uint64(len(name)) && bytes.HasPrefix(body[n:], []byte(name))
}
