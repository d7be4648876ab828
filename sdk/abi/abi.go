// Package abi is the contract between the Uniflow host and its guests as Go
// values: names, numbers, JSON shapes, limits, and the rules that turn what a
// guest did into a verdict. The host's runtimes, the plugin kits and the
// authors' test harness all use these same rules, and the golden vectors in
// testdata hold them to it. Numbers are never reused, and additions never
// change the version.
//
// The package uses the standard library only and does no I/O.
package abi

import (
	"fmt"
	"time"
)

// Version is the value of the field "abi" of every run context.
const Version = "uniflow.run/1"

// Names by which host and guest find each other in a Wasm module.
const (
	Module        = "uniflow"        // the module that a guest imports
	MarkerExport  = "uniflow_abi_v1" // an empty function that marks a reactor; never called
	DefaultEntry  = "uniflow_run"    // the entry of a reactor when the step names no function
	WarmExport    = "uniflow_warm"   // optional: called after _initialize, before the snapshot
	ReseedExport  = "uniflow_reseed" // optional: called after each restore of the snapshot
	CustomSection = "uniflow.plugin" // the custom section that holds a Descriptor
)

// Names of the functions of the import module. Every parameter and every
// result is an i32; a negative result is -Errno.
const (
	ImportInputSize = "input_size" // () -> i32
	ImportInputRead = "input_read" // (dst, off, len) -> i32
	ImportOutput    = "output"     // (name, name_len, value, value_len) -> i32
	ImportLog       = "log"        // (level, msg, len)
	ImportFail      = "fail"       // (kind, msg, len) -> i32
	ImportProgress  = "progress"   // (permille, msg, len) -> i32
	ImportCall      = "call"       // (op, op_len, req, req_len) -> i32
	ImportCallRead  = "call_read"  // (dst, off, len) -> i32
	ImportCallWrite = "call_write" // (src, len) -> i32
)

// Operations that ImportCall reaches. A host answers UnknownOp to any other.
const (
	OpHostInfo    = "host.info"
	OpHTTPRequest = "http.request"
	OpStateGet    = "state.get"
	OpStateSet    = "state.set"
	OpStateDelete = "state.delete"
	OpStateList   = "state.list"
	OpSecretGet   = "secret.get"
	OpArtifactPut = "artifact.put"
	OpArtifactGet = "artifact.get"
	OpEventEmit   = "event.emit"
)

// Limits of the contract. A host may set lower ones, never higher ones.
const (
	MaxContext    = 8 << 20        // bytes of a run context
	MaxOutputs    = 64             // named outputs of one attempt
	MaxOutput     = 1 << 20        // bytes of all output values of an attempt, where no other limit is set
	MaxOutputName = 128            // bytes of the name of an output
	MaxOp         = 128            // bytes of the name of an operation
	MaxMessage    = 16 << 10       // bytes of one log, fail or progress message
	MaxBody       = 8 << 20        // bytes of the body of a call, and of a response
	MaxDescriptor = 256 << 10      // bytes of a descriptor
	MaxDepth      = 64             // nesting of any JSON value that a guest hands over
	MaxRetryAfter = 24 * time.Hour // longest wait that a guest can ask for
)

// Environment variables of a guest in the command profile.
const (
	EnvRunID    = "UNIFLOW_RUN_ID"
	EnvStep     = "UNIFLOW_STEP"
	EnvAttempt  = "UNIFLOW_ATTEMPT"
	EnvDeadline = "UNIFLOW_DEADLINE"
)

// Errno says why a host call was refused. Zero is success; a host call
// returns the number negated.
type Errno int32

// The numbers of Errno.
const (
	OK          Errno = 0
	Denied      Errno = 1 // no grant covers it
	NotFound    Errno = 2
	TooLarge    Errno = 3 // over a limit; nothing was changed
	Invalid     Errno = 4 // not UTF-8, not JSON, nested too deep, or malformed
	Unavailable Errno = 5 // the service cannot answer now
	Cancelled   Errno = 6 // the attempt is being stopped
	Quota       Errno = 7 // a budget is used up
	UnknownOp   Errno = 8 // this host does not know the operation
	Fault       Errno = 9 // a pointer leads outside the guest's memory
)

var errnoNames = [...]string{"ok", "denied", "not_found", "too_large", "invalid", "unavailable", "cancelled", "quota", "unknown_op", "fault"}

var errnoTexts = [...]string{
	"ok",
	"denied: no grant covers this call",
	"not found",
	"too large: a limit of the host was exceeded",
	"invalid: not UTF-8, not JSON, nested too deep, or malformed",
	"unavailable: the service cannot answer now",
	"cancelled: the attempt is being stopped",
	"quota: a budget is used up",
	"unknown operation: this host does not offer it",
	"fault: a pointer leads outside the guest's memory",
}

// Name returns the machine-readable name, "errno" for a number that this
// version does not know.
func (e Errno) Name() string {
	if e < 0 || int(e) >= len(errnoNames) {
		return "errno"
	}
	return errnoNames[e]
}

// Error returns the text for people, so that an Errno can travel as an error.
// OK is not an error: use Err to turn an Errno into one.
func (e Errno) Error() string {
	if e < 0 || int(e) >= len(errnoTexts) {
		return "refused by the host for a reason this version does not know"
	}
	return errnoTexts[e]
}

// Err returns nil for OK and the Errno itself otherwise.
func (e Errno) Err() error {
	if e == OK {
		return nil
	}
	return e
}

// refusal is an error whose text stands alone and which is an Errno.
type refusal struct {
	errno Errno
	text  string
}

func (r *refusal) Error() string { return r.text }
func (r *refusal) Unwrap() error { return r.errno }

func refuse(e Errno, format string, args ...any) error {
	return &refusal{e, fmt.Sprintf(format, args...)}
}

// Result returns what a host call hands to the guest: the number negated.
func (e Errno) Result() int32 { return -int32(e) }

// ErrnoByName returns the Errno with the given name, and false when there is
// none.
func ErrnoByName(name string) (Errno, bool) {
	for i, n := range errnoNames {
		if n == name {
			return Errno(i), true
		}
	}
	return 0, false
}

// CallError is the JSON document that call_read yields after a failed call.
type CallError struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
}

// ExitCode returns the exit code by which a command ends with this kind.
func (k Kind) ExitCode() uint32 {
	switch k.known() {
	case KindOK:
		return ExitOK
	case KindSkip:
		return ExitSkip
	case KindRetry:
		return ExitRetry
	case KindPermanent:
		return ExitDataError
	}
	return 1
}

// Level is the severity of a log line.
type Level int32

// The levels of ImportLog.
const (
	LevelTrace Level = 0
	LevelDebug Level = 1
	LevelInfo  Level = 2
	LevelWarn  Level = 3
	LevelError Level = 4
)

var levelNames = [...]string{"trace", "debug", "info", "warn", "error"}

// String returns the name of the level; a number out of range reads as the
// nearest level.
func (l Level) String() string {
	return levelNames[min(max(l, LevelTrace), LevelError)]
}

// Kind says how an attempt ended by the guest's own word.
type Kind int32

// The kinds of ImportFail and of the entry's return value.
const (
	KindOK        Kind = 0
	KindFailed    Kind = 1 // a failure; the retry policy decides
	KindSkip      Kind = 2 // nothing to do; outputs stay
	KindRetry     Kind = 3 // transient; the only kind that may name a wait
	KindPermanent Kind = 4 // trying again is useless
)

var kindNames = [...]string{"ok", "failed", "skip", "retry", "permanent"}

// String returns the name of the kind; an unknown number reads as "failed".
func (k Kind) String() string { return kindNames[k.known()] }

// known maps a number of a newer guest to KindFailed: a failure that this
// version cannot name is still a failure.
func (k Kind) known() Kind {
	if k < KindOK || k > KindPermanent {
		return KindFailed
	}
	return k
}

// Exit codes of the command profile. Any other code is a plain failure.
const (
	ExitOK        uint32 = 0
	ExitDataError uint32 = 65 // permanent: the input is wrong
	ExitRetry     uint32 = 75 // transient
	ExitConfig    uint32 = 78 // permanent: the configuration is wrong
	ExitSkip      uint32 = 99 // nothing to do; the last line of stderr says why
)
