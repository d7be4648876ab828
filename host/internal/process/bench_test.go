//go:build unix

package process

import (
	"testing"

	"github.com/uniflow-dev/uniflow/host/internal/plugintest/guest"
)

// BenchmarkFirstCall is the start of a process and its first attempt.
func BenchmarkFirstCall(b *testing.B) {
	m := load(b, newRuntime(b, Config{Idle: -1}), plan(nil))
	succeed(b, m, guest.With{Behaviour: "echo", Value: []byte(`1`)}) // the process that Load started
	for b.Loop() {
		succeed(b, m, guest.With{Behaviour: "echo", Value: []byte(`1`)})
	}
}

// BenchmarkWarmCall is an attempt on a process that waits for it.
func BenchmarkWarmCall(b *testing.B) {
	m := load(b, newRuntime(b, Config{}), plan(nil))
	for b.Loop() {
		succeed(b, m, guest.With{Behaviour: "echo", Value: []byte(`1`)})
	}
}

// BenchmarkHostCall is a warm attempt with one call to the host.
func BenchmarkHostCall(b *testing.B) {
	m := load(b, newRuntime(b, Config{}), plan(nil))
	for b.Loop() {
		succeed(b, m, guest.With{Behaviour: "host_info"})
	}
}
