package wasm

import (
	"strconv"
	"strings"
	"unicode"

	"github.com/uniflow-dev/uniflow/host/flow"
)

const (
	maxFrames = 5   // functions that the message of a trap names
	maxName   = 120 // bytes of a guest's name in a message
	// stackBound is the engine's: a stack of more than so much is not doubled any more.
	stackBound = "more than 50 MB, the most that the engine gives"
)

// trapFault reads the engine's error. Only what the guest is made of reaches the message: the kind of the trap and the
// names of its functions, with their lines where it has any. A panic in a host function carries a stack of the host,
// which does not.
func trapFault(err error, where locate) *flow.Fault {
	first, stack, _ := strings.Cut(err.Error(), "\nwasm stack trace:\n")
	_, kind, trapped := strings.Cut(first, "wasm error: ")
	switch {
	case strings.HasSuffix(first, "stack overflow"):
		return &flow.Fault{
			Reason: flow.ReasonStack, Message: "the guest's call stack is exhausted: it has " + stackBound + where.calledFrom(stack),
			Hint: "look for a recursion without an end, or one that is too deep", Err: err,
		}
	case !trapped && strings.HasSuffix(first, "out of bounds memory access"): // before anything was called
		return &flow.Fault{
			Reason: flow.ReasonTrap, Message: "the guest trapped: a data segment lies outside its memory",
			Hint: "build the plugin again: its linker has laid it out wrongly", Err: err,
		}
	case !trapped && strings.HasPrefix(stack, "\t"+wasiModule+"."):
		// The engine's WASI trusts some numbers and panics on them, which it recovers from.
		return &flow.Fault{
			Reason: flow.ReasonTrap, Message: "the guest called the host with arguments that cannot be served" + where.calledFrom(stack),
			Hint: "look for a wrong pointer or length", Err: err,
		}
	case !trapped:
		return &flow.Fault{
			Reason: flow.ReasonInternal, Message: "a fault of the host ended the guest" + where.calledFrom(stack),
			Hint: "the host's log holds the details", Err: err,
		}
	}
	fault := &flow.Fault{Reason: flow.ReasonTrap, Message: "the guest trapped: " + kind + where.calledFrom(stack), Err: err}
	if kind == "unreachable" {
		fault.Hint = "guests abort that way: a panic, a failed assertion, or no memory left"
	}
	return fault
}

// locate returns the places in the source of offsets in the code of a module; nothing, or "" for what is not known.
type locate func(offsets []uint32) []string

// calledFrom names the innermost functions of a stack trace.
func (where locate) calledFrom(stack string) string {
	frames := framesOf(stack)
	var offsets []uint32
	for _, f := range frames {
		if f.offset > 0 {
			offsets = append(offsets, f.offset)
		}
	}
	var places []string
	if len(offsets) > 0 {
		places = where(offsets)
	}
	var names []string
	for _, f := range frames {
		name := f.name
		if f.offset > 0 && len(places) > 0 {
			if places[0] != "" {
				name += " (" + places[0] + ")"
			}
			places = places[1:]
		}
		names = append(names, name)
	}
	if len(names) == 0 {
		return ""
	}
	return " in " + strings.Join(names, ", called from ")
}

// stackFrame is a function of the guest; offset is where in its code it was, or zero.
type stackFrame struct {
	name   string
	offset uint32
}

// framesOf returns the innermost functions of a stack trace. Behind a function of a module with debug information stands a
// line of its own that begins with the offset.
func framesOf(stack string) []stackFrame {
	var frames []stackFrame
	last := (*stackFrame)(nil)
	for line := range strings.Lines(stack) {
		line, indented := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "\t")
		if !indented {
			break
		}
		if source, ok := strings.CutPrefix(line, "\t"); ok {
			offset, _, _ := strings.Cut(source, ":")
			if at, err := strconv.ParseUint(offset, 0, 32); err == nil && last != nil {
				last.offset = uint32(at)
			}
			continue
		}
		if len(frames) == maxFrames {
			break
		}
		if last = nil; strings.HasPrefix(line, abiModule+":") || strings.HasPrefix(line, abiModule+".") || strings.HasPrefix(line, wasiModule+".") {
			continue // of the host
		}
		frames = append(frames, stackFrame{name: functionName(line)})
		last = &frames[len(frames)-1]
	}
	return frames
}

// functionName drops the signature that the engine appends, "name(i32,i32) i32". Names are the guest's own text.
func functionName(frame string) string {
	if i := strings.LastIndex(frame, ") "); i >= 0 {
		frame = frame[:i+1]
	}
	if i := strings.LastIndexByte(frame, '('); i > 0 {
		frame = frame[:i]
	}
	frame = strings.TrimPrefix(frame, ".") // of the module's name, which most modules do not have
	return printable(frame)
}

// printable returns a name of the guest's own making so that it can stand in a message.
func printable(name string) string {
	name = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, name)
	if len(name) > maxName {
		name = strings.ToValidUTF8(name[:maxName], "") + "…"
	}
	return name
}
