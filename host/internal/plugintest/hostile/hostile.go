// Package hostile is the corpus of attacks by plugins, and the suite that runs it: modules that are no modules, that cost
// too much to read or to compile, that never end, grow without end, or lie to the host. Each case has a name that says the
// attack, and the endings that are right for it.
//
// Run tests any flow.Runtime through the seam: no attack may panic, kill, freeze or fill the host, and a well-behaved
// plugin of another tenant is served all along. The package knows the contract and the bytes, never a runtime.
package hostile

import (
	"slices"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// Stage is where an attack strikes.
type Stage string

// The stages of Stage.
const (
	Decode  Stage = "decode"   // the bytes lie about themselves
	Compile Stage = "compile"  // a module that is well-formed costs too much to compile, or breaks a rule of validation
	Execute Stage = "run"      // the guest does not end, or ends badly
	HostABI Stage = "host ABI" // the guest lies to the functions of the host
	WASI    Stage = "wasi"     // the guest lies to the functions of WASI
	Life    Stage = "life"     // the guest misuses its initialisation, or hides something between attempts
	Native  Stage = "native"   // a process plugin; see Elsewhere
)

// Ending is how a load or an attempt ended: the flow.Code of a refusal, the flow.Reason of a fault, or one of the words
// below for the plugin's own verdict.
type Ending string

// The plugin's own verdicts. OK is also how guests end that check what the host answers, and were content.
const (
	OK        Ending = "ok"
	Failed    Ending = "failed"
	Skip      Ending = "skip"
	Retry     Ending = "retry"
	Permanent Ending = "permanent"
)

// Case is one attack.
type Case struct {
	// Name says the attack. It is unique.
	Name  string
	Stage Stage
	// Modules are the bytes: one module, or many of which each alone must end so.
	Modules func() [][]byte
	// Want holds the endings of which one must come, at each attempt.
	Want []Ending
	// Entries are the functions that are called, one attempt each, one after another. Defaults to one attempt of the
	// default entry.
	Entries []string
	// Timeout is the deadline of each attempt. Defaults to a minute, which none is to reach.
	Timeout time.Duration
	// Load is how long a load may take. Defaults to as long as the subject needs.
	Load time.Duration
	// Limits replace those of an ordinary call where they are not zero.
	Limits flow.Limits
	Grant  flow.Grant
	// Input fills the file "given" in /in with so many bytes.
	Input int
}

// Cases returns the corpus. Modules are assembled when they are asked for.
func Cases() []Case {
	return slices.Concat(formatCases(), countCases(), sectionCases(), codeCases(), linkCases(), compileCases(), runCases(),
		boundCases(), abiCases(), wasiCases(), fileCases(), lifeCases())
}

// one is a case's only module.
func one(module []byte) func() [][]byte { return func() [][]byte { return [][]byte{module} } }

// later is a case's only module, assembled when it is asked for.
func later(f func() []byte) func() [][]byte { return func() [][]byte { return [][]byte{f()} } }

func want(endings ...Ending) []Ending { return endings }

// refused is how modules end that break a rule of the format or a bound.
func refused(codes ...flow.Code) []Ending {
	endings := make([]Ending, len(codes))
	for i, code := range codes {
		endings[i] = Ending(code)
	}
	return endings
}

func faults(reasons ...flow.Reason) []Ending {
	endings := make([]Ending, len(reasons))
	for i, reason := range reasons {
		endings[i] = Ending(reason)
	}
	return endings
}
