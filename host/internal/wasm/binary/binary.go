// Package binary reads the bytes of a Wasm module without executing them: what it imports, exports and says of itself,
// and whether every count, index and opcode in it can be true. It writes a module anew so that its work is counted and
// can be stopped; an engine that trusts what it is given sees nothing but what was written here.
//
// It turns bytes into values and imports the standard library only; it must not know the engine.
package binary

import (
	"bytes"
	"fmt"
	"strings"
)

// Bounds of a module. They are far above what compilers make and keep a hostile file from using up the host; an engine
// allocates by these counts.
const (
	MaxModule     = 64 << 20  // bytes of a module
	MaxTypes      = 50_000    // function types
	MaxParams     = 1_000     // parameters or results of a function type
	MaxImports    = 1_024     // imports
	MaxFunctions  = 50_000    // functions, imported ones included
	MaxTables     = 8         // tables
	MaxTableSize  = 100_000   // entries of a table at its start
	MaxMemories   = 1         // memories
	MaxPages      = 65_536    // pages of 64 KiB of a memory
	MaxGlobals    = 50_000    // globals
	MaxExports    = 10_000    // exports
	MaxElements   = 10_000    // element segments
	MaxElementIDs = 1_000_000 // entries of all element segments
	MaxData       = 100_000   // data segments
	MaxBody       = 7_654_321 // bytes of a function body, the bound of browsers
	MaxLocals     = 50_000    // locals of a function
	MaxAllLocals  = 5_000_000 // locals of all functions; a declaration of many takes four bytes
	MaxNesting    = 10_000    // blocks in one another; compilers of big switches and Go nest one for each case
	MaxLoops      = 1_000     // loops in one another; the engine's work grows with the square of it
	MaxCustoms    = 1_000     // custom sections
	MaxNames      = 1_000_000 // entries of the name section
	MaxName       = 100_000   // bytes of one name
)

// Module is what the sections of a module say.
type Module struct {
	Types   []FuncType
	Imports []Import
	// Functions holds the type of each function that the module defines.
	Functions []uint32
	Tables    []Table
	// Memory is the memory that the module defines, or nil.
	Memory  *Limits
	Exports []Export
	// Start is the function that instantiation calls, or nil.
	Start   *uint32
	Customs []Custom

	bytes      []byte
	imported   [4]int // imports by Kind
	tables     int
	globals    int
	ownGlobals []globalType
	elements   int
	bodies     []body
	quiet      []bool // for each body whether calls of it cost nothing beside what they weigh
	datas      int
	declared   *uint32 // data segments by the data count section
	sections   []section
	work       Work
	usesData   bool   // an instruction names a data segment
	shifts     string // an instruction that changes tables or segments, or nothing
}

// functions returns the number of functions, imported ones included.
func (m *Module) functions() int { return m.imported[KindFunc] + len(m.Functions) }

// isQuiet reports whether calls of a function cost nothing beside what they weigh.
func (m *Module) isQuiet(index uint32) bool {
	own := int(index) - m.imported[KindFunc]
	return own >= 0 && own < len(m.quiet) && m.quiet[own]
}

// memories returns the number of memories, imported ones included.
func (m *Module) memories() int {
	if m.Memory != nil {
		return m.imported[KindMemory] + 1
	}
	return m.imported[KindMemory]
}

// ValueType is the type of a parameter, local or global.
type ValueType byte

// String returns the name in the text format.
func (v ValueType) String() string {
	switch v {
	case 0x7f:
		return "i32"
	case 0x7e:
		return "i64"
	case 0x7d:
		return "f32"
	case 0x7c:
		return "f64"
	case 0x7b:
		return "v128"
	case 0x70:
		return "funcref"
	case 0x6f:
		return "externref"
	}
	return fmt.Sprintf("0x%02x", byte(v))
}

// I32 is the only type that the functions of the host ABI use, I64 that of fuel.
const (
	I32 ValueType = 0x7f
	I64 ValueType = 0x7e
)

// FuncType is the signature of a function.
type FuncType struct {
	Params, Results []ValueType
}

// String returns the signature for people: "(i32, i32) -> i32".
func (f FuncType) String() string {
	results := list(f.Results)
	if len(f.Results) != 1 {
		results = "(" + results + ")"
	}
	return "(" + list(f.Params) + ") -> " + results
}

func list(types []ValueType) string {
	names := make([]string, len(types))
	for i, t := range types {
		names[i] = t.String()
	}
	return strings.Join(names, ", ")
}

// Kind is what an import or export is.
type Kind byte

// The kinds of Kind.
const (
	KindFunc   Kind = 0
	KindTable  Kind = 1
	KindMemory Kind = 2
	KindGlobal Kind = 3
)

// String returns the word of the text format.
func (k Kind) String() string {
	if k > KindGlobal {
		return fmt.Sprintf("kind %d", byte(k))
	}
	return [...]string{"func", "table", "memory", "global"}[k]
}

// Import is something that the module needs from outside.
type Import struct {
	Module, Name string
	Kind         Kind
	// Type is the index of a function's type; zero for other kinds.
	Type uint32
}

// Export is something that the module offers.
type Export struct {
	Name  string
	Kind  Kind
	Index uint32
}

// Limits of a memory or table, in pages or entries.
type Limits struct {
	Min uint32
	Max *uint32
}

// Custom is a custom section. Data shares memory with the bytes of the module.
type Custom struct {
	Name string
	Data []byte
}

// FuncType returns the signature of a function by its index, imported functions first.
func (m *Module) FuncType(index uint32) (FuncType, bool) {
	types := uint64(len(m.Types))
	if int64(index) >= int64(m.imported[KindFunc]) {
		defined := int64(index) - int64(m.imported[KindFunc])
		if defined >= int64(len(m.Functions)) || uint64(m.Functions[defined]) >= types {
			return FuncType{}, false
		}
		return m.Types[m.Functions[defined]], true
	}
	for _, i := range m.Imports {
		if i.Kind != KindFunc {
			continue
		}
		if index == 0 {
			return m.Types[i.Type], true
		}
		index--
	}
	return FuncType{}, false
}

// Export returns the named export.
func (m *Module) Export(name string) (Export, bool) {
	for _, e := range m.Exports {
		if e.Name == name {
			return e, true
		}
	}
	return Export{}, false
}

// Custom returns the first custom section of that name.
func (m *Module) Custom(name string) ([]byte, bool) {
	for _, c := range m.Customs {
		if c.Name == name {
			return c.Data, true
		}
	}
	return nil, false
}

// Format is what the first bytes of a file say.
type Format int

// The formats of Format.
const (
	FormatOther     Format = iota // not Wasm
	FormatModule                  // a core module of version 1
	FormatComponent               // a component
	FormatVersion                 // Wasm of a version that is not known
)

// FormatOf looks at the first eight bytes.
func FormatOf(b []byte) Format {
	if len(b) < 8 || !bytes.HasPrefix(b, []byte("\x00asm")) {
		return FormatOther
	}
	switch {
	case bytes.Equal(b[4:8], []byte{1, 0, 0, 0}):
		return FormatModule
	case bytes.Equal(b[6:8], []byte{1, 0}): // the second half is the layer
		return FormatComponent
	}
	return FormatVersion
}

// Decode reads a module down to its instructions; b must not change as long as the result is in use. Indices, depths,
// nesting and immediates are checked; the types of operands are left to the engine's validator. The error is an *Error.
// What it allocates is bounded by a small multiple of len(b), and by the bounds of this package.
func Decode(b []byte) (*Module, error) {
	if len(b) > MaxModule {
		return nil, &Error{Rule: fmt.Sprintf("the module has %d bytes, at most %d are allowed", len(b), MaxModule), Limit: true}
	}
	if FormatOf(b) != FormatModule {
		return nil, &Error{Rule: "the file does not begin with the preamble of a module"}
	}
	d := &decoder{m: &Module{bytes: b}, r: reader{b: b, pos: 8, end: len(b)}}
	for d.r.err == nil && d.r.left() > 0 {
		d.section()
	}
	if d.r.err == nil {
		d.agree()
	}
	if d.r.err != nil {
		return nil, d.r.err
	}
	return d.m, nil
}
