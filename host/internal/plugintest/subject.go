// Package plugintest is the conformance suite of flow.Runtime: every kind of plugin passes it, so that a step means the
// same whichever kind it is. It tests through the seam only and knows no runtime.
package plugintest

import (
	"testing"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// Behaviour is what a test plugin is asked to do, by the key "behaviour" of with. Package guest implements them.
type Behaviour string

// The behaviours of the suite.
const (
	Context    Behaviour = "context"     // hands the run context on as output "context"
	Echo       Behaviour = "echo"        // output "echo" is with.value
	Log        Behaviour = "log"         // one line of each level from debug
	LogFlood   Behaviour = "log_flood"   // with.size lines
	Progress   Behaviour = "progress"    // one heartbeat
	Patient    Behaviour = "patient"     // asks by progress until it is cancelled, then claims success
	Fail       Behaviour = "fail"        // sets an output and ends with a verdict
	Exit       Behaviour = "exit"        // ends the program with exit code with.size
	Large      Behaviour = "large"       // sets an output of with.size bytes
	NotJSON    Behaviour = "not_json"    // sets an output that is not JSON
	Panic      Behaviour = "panic"       // sets an output and breaks
	Sleep      Behaviour = "sleep"       // sleeps with.after_ms
	Spin       Behaviour = "spin"        // never ends
	PrintFlood Behaviour = "print_flood" // prints with.size MiB
	HostInfo   Behaviour = "host_info"   // calls host.info
	UnknownOp  Behaviour = "unknown_op"  // calls a service that does not exist
	Artifact   Behaviour = "artifact"    // puts an artifact by the service and gets it back
	Files      Behaviour = "files"       // reads /in, writes /out
	NoEntry    Behaviour = "no_entry"    // the step names a function that the plugin does not have
	WrongABI   Behaviour = "wrong_abi"   // the plugin cannot be loaded: it speaks another contract
)

// Subject is a runtime under test.
type Subject struct {
	// Runtime is closed by the caller.
	Runtime flow.Runtime
	// Plugin returns the plugin that has the behaviour; most subjects have one plugin for all but WrongABI.
	Plugin func(b Behaviour) flow.PlanPlugin
	// Without names the behaviours that this kind of plugin cannot have, each with the reason. A test logs it; nothing
	// else is left out.
	Without map[Behaviour]string
	// Slack is what a runtime needs beyond deadline and grace to stop a plugin. Defaults to 5 seconds, for busy machines.
	Slack flow.Duration
}

// Run tests the subject. Calls run side by side.
func Run(t *testing.T, s Subject) {
	t.Helper()
	for _, c := range cases() {
		t.Run(string(c.behaviour)+"/"+c.name, func(t *testing.T) {
			t.Parallel()
			if reason, without := s.Without[c.behaviour]; without {
				t.Logf("this kind has no %s: %s", c.behaviour, reason)
				return
			}
			c.run(t, &trial{Subject: s, behaviour: c.behaviour})
		})
	}
}
