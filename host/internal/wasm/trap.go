package wasm

import (
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
// names of its functions. A panic in a host function carries a stack of the host, which does not.
func trapFault(err error) *flow.Fault {
	first, stack, _ := strings.Cut(err.Error(), "\nwasm stack trace:\n")
	_, kind, trapped := strings.Cut(first, "wasm error: ")
	switch {
	case strings.HasSuffix(first, "stack overflow"):
		return &flow.Fault{
			Reason: flow.ReasonStack, Message: "the guest's call stack is exhausted: it has " + stackBound + calledFrom(stack),
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
			Reason: flow.ReasonTrap, Message: "the guest called the host with arguments that cannot be served" + calledFrom(stack),
			Hint: "look for a wrong pointer or length", Err: err,
		}
	case !trapped:
		return &flow.Fault{
			Reason: flow.ReasonInternal, Message: "a fault of the host ended the guest" + calledFrom(stack),
			Hint: "the host's log holds the details", Err: err,
		}
	}
	fault := &flow.Fault{Reason: flow.ReasonTrap, Message: "the guest trapped: " + kind + calledFrom(stack), Err: err}
	if kind == "unreachable" {
		fault.Hint = "guests abort that way: a panic, a failed assertion, or no memory left"
	}
	return fault
}

// calledFrom names the innermost functions of a stack trace.
func calledFrom(stack string) string {
	var names []string
	for line := range strings.Lines(stack) {
		line, indented := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "\t")
		if !indented || len(names) == maxFrames {
			break
		}
		if strings.HasPrefix(line, abiModule+":") || strings.HasPrefix(line, abiModule+".") || strings.HasPrefix(line, wasiModule+".") {
			continue // of the host
		}
		names = append(names, functionName(line))
	}
	if len(names) == 0 {
		return ""
	}
	return " in " + strings.Join(names, ", called from ")
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
