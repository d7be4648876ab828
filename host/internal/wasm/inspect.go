package wasm

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/wasm/binary"
	"github.com/uniflow-dev/uniflow/sdk/abi"
)

// Profile is how host and module work together.
type Profile string

// The profiles of Profile.
const (
	ProfileCommand Profile = "command" // a program: stdin, stdout, exit code
	ProfileReactor Profile = "reactor" // a library of functions
	ProfileExtism  Profile = "extism"  // a plugin that was built with a kit of Extism
)

// abi names the contract that a module of the profile is built for.
func (p Profile) abi() string {
	if p == ProfileReactor {
		return string(p) + " " + abi.MarkerExport
	}
	return string(p)
}

// Info is what a module's bytes say, without running them.
type Info struct {
	Profile Profile     `json:"profile,omitempty"`
	Digest  flow.Digest `json:"digest"`
	Size    flow.Size   `json:"size"`
	// Imports in the module's order.
	Imports []Import `json:"imports,omitempty"`
	Exports []Export `json:"exports,omitempty"`
	// Functions are the entries that a step can name; a command has none.
	Functions []string `json:"functions,omitempty"`
	// Default is the entry of a step that names none; empty where there is none, or the plugin has several and the profile
	// does not say which.
	Default string `json:"default,omitempty"`
	// MemoryMin and MemoryMax are what the module declares; MemoryMax is zero for no maximum.
	MemoryMin flow.Size `json:"memory_min"`
	MemoryMax flow.Size `json:"memory_max,omitempty"`
	// WASI is true when the module imports functions of WASI preview 1.
	WASI bool `json:"wasi"`
	// Descriptor is what the author says of the plugin, or nil; DescriptorError says why it cannot be read.
	Descriptor      *abi.Descriptor   `json:"descriptor,omitempty"`
	DescriptorError string            `json:"descriptor_error,omitempty"`
	Producers       []binary.Producer `json:"producers,omitempty"`

	usesABI, usesExtism bool
	// resettable is true when an instance can be put back into its first state.
	resettable bool
}

// Import is something that the module needs. Refused says why the host cannot serve it; it is empty when it can.
type Import struct {
	Module    string `json:"module"`
	Name      string `json:"name"`
	Kind      string `json:"kind"`
	Signature string `json:"signature,omitempty"`
	Refused   string `json:"refused,omitempty"`
}

// Export is something that the module offers.
type Export struct {
	Name      string `json:"name"`
	Kind      string `json:"kind"`
	Signature string `json:"signature,omitempty"`
}

// Inspect reads a module without running it. The error has a code UF2xxx when the module cannot be loaded; where the
// bytes are a well-formed module all the same, Info comes with it.
func Inspect(b []byte) (*Info, error) {
	_, info, err := inspect(b)
	return info, err
}

func inspect(b []byte) (*binary.Module, *Info, error) {
	if err := checkFormat(b); err != nil {
		return nil, nil, err
	}
	m, err := binary.Decode(b)
	if err == nil {
		err = m.Rewritable(rewriting)
	}
	if err != nil {
		return nil, nil, refused(err)
	}
	info := &Info{Digest: flow.DigestOf(b), Size: flow.Size(len(b)), Producers: m.Producers()}
	info.imports(m)
	info.exports(m)
	info.descriptor(m)
	if m.Memory != nil {
		info.MemoryMin = flow.Size(m.Memory.Min) << 16
		if m.Memory.Max != nil {
			info.MemoryMax = flow.Size(*m.Memory.Max) << 16
		}
	}
	info.resettable = (info.Profile == ProfileReactor || info.Profile == ProfileExtism && info.Default != entryStart) && m.Resettable() == ""
	return m, info, info.check()
}

// rewriting is what is done to each module beside the metering.
var rewriting = binary.Options{MaxTableEntries: binary.MaxTableSize, MaxMemoryPages: maxPages} //nolint:gochecknoglobals // constant

// maxPages keeps every size and result below 2^31.
const maxPages = 1<<15 - 1

// refused turns an error of package binary into one for people.
func refused(err error) error {
	code, hint := flow.CodeMalformed, "build the plugin again, or download it again"
	if found, ok := errors.AsType[*binary.Error](err); ok && found.Limit {
		code, hint = flow.CodeModuleLimit, "strip debug information, or split the plugin"
	}
	return &flow.Error{Code: code, Message: "not a module that can be loaded", Err: err, Hint: hint}
}

// checkFormat tells the files apart that are no module.
func checkFormat(b []byte) error {
	switch binary.FormatOf(b) {
	case binary.FormatModule:
		return nil
	case binary.FormatComponent:
		return &flow.Error{
			Code: flow.CodeComponent, Message: "the file is a component of the component model, not a core module",
			Hint: "build for wasip1 instead of wasip2, or take the module out: wasm-tools component unbundle FILE --module-dir DIR",
		}
	case binary.FormatVersion:
		return &flow.Error{Code: flow.CodeNotWasm, Message: "the file is Wasm of a version other than 1", Hint: "build the plugin again as a core module, for wasip1"}
	}
	message, hint := "the file does not begin with the bytes of a Wasm module", "is it a native program? then write process = instead of wasm ="
	switch {
	case len(b) == 0:
		message, hint = "the file is empty", "build the plugin again"
	case len(b) >= 7 && string(b[:7]) == "(module" || isText(b):
		message, hint = "the file is text, not a Wasm module", "translate the text format first, for example by wat2wasm"
	}
	return &flow.Error{Code: flow.CodeNotWasm, Message: message, Hint: hint}
}

// isText reports whether the file begins like a text.
func isText(b []byte) bool {
	for _, c := range b[:min(len(b), 256)] {
		if c < ' ' && c != '\n' && c != '\r' && c != '\t' {
			return false
		}
	}
	return true
}

func (i *Info) imports(m *binary.Module) {
	all := offered()
	for _, imp := range m.Imports {
		found := Import{Module: imp.Module, Name: imp.Name, Kind: imp.Kind.String()}
		if imp.Kind == binary.KindFunc {
			found.Signature = m.Types[imp.Type].String()
		}
		found.Refused = refusal(found, all)
		i.Imports = append(i.Imports, found)
		i.usesABI = i.usesABI || imp.Module == abiModule
		i.usesExtism = i.usesExtism || imp.Module == extismModule
		i.WASI = i.WASI || imp.Module == wasiModule
	}
}

const (
	entryStart      = "_start"
	entryInitialize = "_initialize"
	entrySignature  = "() -> i32"
	voidSignature   = "() -> ()"
)

func (i *Info) exports(m *binary.Module) {
	for _, e := range m.Exports {
		found := Export{Name: e.Name, Kind: e.Kind.String()}
		if t, ok := m.FuncType(e.Index); ok && e.Kind == binary.KindFunc {
			found.Signature = t.String()
		}
		i.Exports = append(i.Exports, found)
	}
	switch {
	case i.export(abi.MarkerExport) != nil:
		i.Profile = ProfileReactor
		for _, e := range i.Exports {
			if e.Signature == entrySignature {
				i.Functions = append(i.Functions, e.Name)
			}
		}
		slices.Sort(i.Functions)
		if i.Default = abi.DefaultEntry; !slices.Contains(i.Functions, i.Default) {
			i.Default = ""
		}
	case i.usesExtism:
		i.extism()
	case i.export(entryStart) != nil:
		i.Profile = ProfileCommand
	}
}

// export returns the named function, or nil.
func (i *Info) export(name string) *Export {
	for n := range i.Exports {
		if i.Exports[n].Name == name && i.Exports[n].Kind == "func" {
			return &i.Exports[n]
		}
	}
	return nil
}

func (i *Info) descriptor(m *binary.Module) {
	doc, ok := m.Custom(abi.CustomSection)
	if !ok {
		return
	}
	d, err := abi.DecodeDescriptor(doc)
	if err != nil {
		i.DescriptorError = err.Error()
		return
	}
	i.Descriptor = &d
}

// check decides whether the module can be loaded.
func (i *Info) check() error {
	if err := i.checkImports(); err != nil {
		return err
	}
	return i.checkEntry()
}

// checkImports lists every import that the host cannot serve.
func (i *Info) checkImports() error {
	var lines []string
	foreign := false // of a host other than Extism's
	for _, imp := range i.Imports {
		if imp.Refused != "" {
			foreign = foreign || !slices.Contains([]string{extismModule, wasiModule, abiModule}, imp.Module)
			form := imp.Signature
			if form == "" {
				form = "(" + imp.Kind + ")"
			}
			lines = append(lines, fmt.Sprintf("%s.%s %s: %s", printable(imp.Module), printable(imp.Name), form, imp.Refused))
		}
	}
	if len(lines) == 0 {
		return nil
	}
	code, hint := flow.CodeImports, "build for wasip1 without what needs them"
	if i.Profile == ProfileExtism && foreign {
		code, hint = flow.CodeExtism, "build the plugin without functions of its own host and without modules to link"
	}
	return &flow.Error{
		Code: code, Message: fmt.Sprintf("the host does not offer %d of %d imports:\n  %s", len(lines), len(i.Imports), strings.Join(lines, "\n  ")),
		Hint: hint,
	}
}

func (i *Info) checkEntry() error {
	fail := func(message string) error {
		return &flow.Error{Code: flow.CodeNoEntry, Message: message, Hint: "see uniflow explain " + string(flow.CodeNoEntry)}
	}
	entries := map[string]string{entryStart: voidSignature, entryInitialize: voidSignature, abi.MarkerExport: voidSignature, abi.WarmExport: voidSignature, abi.ReseedExport: voidSignature}
	for _, e := range i.Exports {
		if want, special := entries[e.Name]; special && e.Kind == "func" && e.Signature != want {
			return fail(fmt.Sprintf("export %s has the signature %s, expected %s", e.Name, e.Signature, want))
		}
	}
	switch {
	case i.Profile == ProfileReactor && i.usesExtism:
		return fail("the module exports " + abi.MarkerExport + " and imports " + extismModule + ": it is to be either a reactor or a plugin of Extism")
	case i.Profile == ProfileExtism && i.signature(entryHaskell) != "" && i.signature(entryHaskell) != haskellSignature:
		return fail(fmt.Sprintf("export %s has the signature %s, expected %s", entryHaskell, i.signature(entryHaskell), haskellSignature))
	case i.Profile == ProfileExtism && len(i.Functions) == 0:
		return fail("the plugin of Extism exports no function " + entrySignature + " or " + voidSignature + " that a step could call")
	case i.Profile == "":
		return i.noProfile()
	case i.Profile == ProfileReactor && len(i.Functions) == 0:
		return fail("the reactor exports no function " + entrySignature + " that a step could call")
	case (i.usesABI || i.WASI) && !slices.ContainsFunc(i.Exports, func(e Export) bool { return e.Name == "memory" && e.Kind == "memory" }):
		return fail("the module imports functions that use its memory, but does not export \"memory\"")
	}
	return nil
}

// Resolved is what a plan needs to know of the module at path.
func (i *Info) Resolved(path string) flow.Resolved {
	r := flow.Resolved{Path: path, Digest: i.Digest, Profile: string(i.Profile), ABI: i.Profile.abi(), Functions: i.Functions, Default: i.Default}
	for _, m := range i.Imports {
		r.Imports = append(r.Imports, m.Module+"."+m.Name)
	}
	slices.Sort(r.Imports)
	r.Imports = slices.Compact(r.Imports)
	if i.Descriptor == nil {
		return r
	}
	r.Wants = flow.Wants(i.Descriptor.Wants)
	r.Shapes = map[string]flow.Shape{}
	for name, f := range i.Descriptor.Functions {
		r.Shapes[name] = flow.Shape{With: f.With, Outputs: f.Outputs}
	}
	for name, f := range i.Descriptor.Functions {
		var schema struct {
			Properties map[string]json.RawMessage `json:"properties"`
		}
		if json.Unmarshal(f.Outputs, &schema) != nil || len(schema.Properties) == 0 {
			continue // a schema that does not list outputs by name says nothing of them
		}
		if r.Outputs == nil {
			r.Outputs = map[string]map[string]json.RawMessage{}
		}
		r.Outputs[name] = schema.Properties
	}
	return r
}

// noProfile tells what a module lacks to be one that the host can call.
func (i *Info) noProfile() error {
	const marker = "uniflow_abi_v"
	e := &flow.Error{Code: flow.CodeNoEntry, Message: "the module exports neither _start (a command) nor " + abi.MarkerExport + " (a reactor)", Hint: "see uniflow explain " + string(flow.CodeNoEntry)}
	for _, x := range i.Exports {
		switch {
		case strings.HasPrefix(x.Name, marker):
			e.Message = fmt.Sprintf("the module speaks another version of the host ABI: it exports %s, this host knows %s", printable(x.Name), abi.MarkerExport)
			e.Hint = "build it with a kit of this version, or take a newer host"
			return e
		case x.Kind == "func" && x.Signature == entrySignature && i.usesABI:
			e.Message = fmt.Sprintf("the module has the function %s that a step could call, but lacks the mark of a reactor, %s", printable(x.Name), abi.MarkerExport)
			e.Hint = "export an empty function " + abi.MarkerExport + "; the kits have it"
		}
	}
	return e
}
