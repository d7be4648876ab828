package wasm_test

import (
	"encoding/binary"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/plugintest"
	"github.com/uniflow-dev/uniflow/host/internal/plugintest/guest"
	"github.com/uniflow-dev/uniflow/host/internal/wasm"
	bt "github.com/uniflow-dev/uniflow/host/internal/wasm/binary/binarytest"
)

// abiCalls are the functions of the ABI with the number of their parameters; log alone returns nothing.
var abiCalls = []struct { //nolint:gochecknoglobals // a table
	name   string
	params int
}{
	{"input_size", 0}, {"input_read", 3}, {"output", 4}, {"log", 3}, {"fail", 3}, {"progress", 3}, {"call", 4}, {"call_read", 3}, {"call_write", 2},
}

// callsPerAttempt is how many calls one guest makes.
const callsPerAttempt = 2_000

// Promise: whatever numbers a guest hands to the functions of the ABI, the host does not panic, and the attempt ends by the
// guest's own word. Twenty thousand calls are made, or as many as UNIFLOW_FUZZ_CALLS says.
func TestCallsWithAnyNumbers(t *testing.T) {
	t.Parallel()
	want := 20_000
	if n, err := strconv.Atoi(os.Getenv("UNIFLOW_FUZZ_CALLS")); err == nil {
		want = n
	}
	rt := newRuntime(t, wasm.Config{})
	made := int64(0)
	for seed := uint64(1); made < int64(want); seed++ {
		p := pluginOf(t, callingModule(rand.New(rand.NewPCG(seed, 7))))
		m, err := rt.Load(t.Context(), p)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		host := plugintest.NewHost(t.Context())
		call := plugintest.NewCall(t, guest.With{})
		call.Limits.Memory = 16 * flow.MiB
		result, err := m.Call(t.Context(), call, host)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		made += result.Usage.HostCalls
	}
	t.Logf("%d calls", made)
}

// callingModule is a guest that makes calls with numbers of all sizes, many of them near the edges of what they mean, and
// returns 0. Its memory holds names, JSON and noise.
func callingModule(r *rand.Rand) []byte {
	names := make([]string, len(abiCalls))
	for i, c := range abiCalls {
		names[i] = c.name
	}
	b, index := reactor(names...)
	noise := make([]byte, 4096)
	for i := 0; i < len(noise); i += 8 {
		binary.LittleEndian.PutUint64(noise[i:], r.Uint64())
	}
	b.Data(0, `{"key":"n","value":[1,2,{"a":"\u00fc"}]}http.requeststate.setsecret.getartifact.putartifact.getevent.emithost.info`)
	b.Data(1024, string(noise))
	var body [][]byte
	for range callsPerAttempt {
		c := abiCalls[r.IntN(len(abiCalls))]
		for range c.params {
			body = append(body, bt.Const(int(anyNumber(r))))
		}
		body = append(body, bt.Call(index[c.name]))
		if c.name != "log" {
			body = append(body, bt.Op(0x1a)) // drop
		}
	}
	return entry(b, 0, append(body, bt.Const(0))...)
}

// anyNumber is a number of 32 bits: small, within the guest's memory, at its end, negative, or anything.
func anyNumber(r *rand.Rand) int32 {
	switch r.IntN(6) {
	case 0:
		return int32(r.IntN(16))
	case 1:
		return int32(r.IntN(256))
	case 2:
		return int32(r.IntN(1 << 16))
	case 3:
		return int32(1<<16 - r.IntN(64))
	case 4:
		return -int32(r.IntN(1 << 16))
	}
	return int32(r.Uint32())
}
