package wasm

import (
	"slices"
	"strings"

	"github.com/uniflow-dev/uniflow/host/internal/wasm/binary"
	"github.com/uniflow-dev/uniflow/sdk/abi"
)

// Exports of modules of the Extism profile that the host calls itself.
const (
	entryExtism      = "run" // where a step names no function
	entryConstruct   = "__wasm_call_ctors"
	entryHaskell     = "hs_init"
	haskellSignature = "(i32, i32) -> ()"
)

// extism finds the entries of a plugin of Extism. Kits mark nothing, so what runtimes of languages export for themselves
// is left out by name.
func (i *Info) extism() {
	i.Profile = ProfileExtism
	var answering []string
	for _, e := range i.Exports {
		if e.Kind != binary.KindFunc.String() || (e.Signature != entrySignature && e.Signature != voidSignature) || ofRuntime(e.Name) {
			continue
		}
		i.Functions = append(i.Functions, e.Name)
		if e.Signature == entrySignature {
			answering = append(answering, e.Name)
		}
	}
	slices.Sort(i.Functions)
	switch {
	case slices.Contains(i.Functions, entryExtism):
		i.Default = entryExtism
	case len(answering) == 1:
		i.Default = answering[0]
	case len(i.Functions) == 1:
		i.Default = i.Functions[0]
	}
}

// ofRuntime reports whether an export is there for the runtime of a language and no entry.
func ofRuntime(name string) bool {
	return name == entryInitialize || slices.ContainsFunc([]string{"__", "asyncify_", "hs_", "uniflow_"}, func(prefix string) bool {
		return strings.HasPrefix(name, prefix)
	})
}

// usual is the name of the entry that is called where a step names none.
func (i *Info) usual() string {
	if i.Profile == ProfileExtism {
		return entryExtism
	}
	return abi.DefaultEntry
}

// initialisers are the exports that are called, in this order, before an entry.
func (i *Info) initialisers() []string {
	var names []string
	switch i.Profile {
	case ProfileReactor:
		if i.export(entryInitialize) != nil {
			names = append(names, entryInitialize)
		}
	case ProfileExtism:
		for _, name := range []string{entryInitialize, entryConstruct} {
			if i.signature(name) == voidSignature {
				names = append(names, name)
				break
			}
		}
		if i.export(entryHaskell) != nil {
			names = append(names, entryHaskell)
		}
	case ProfileCommand:
	}
	return names
}

// signature is that of an exported function, or nothing.
func (i *Info) signature(name string) string {
	if e := i.export(name); e != nil {
		return e.Signature
	}
	return ""
}
