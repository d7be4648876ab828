package wasm

import (
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"
)

// memory bounds the linear memory of one instance. A growth over the limit is refused, which the guest sees as -1; that
// it was refused tells an exhausted guest from any other that ends badly.
type memory struct {
	limit   uint64 // bytes
	likely  uint64 // bytes to which it will grow, by what others did
	bytes   []byte
	peak    uint64
	refused bool
	attempt *attempt // whose turn it is, or nil
}

// copiedAtOnce is how much of a memory that moves is copied between two looks at whether the guest has been stopped.
const copiedAtOnce = 4 << 20

var (
	_ experimental.MemoryAllocator = (*memory)(nil)
	_ experimental.LinearMemory    = (*memory)(nil)
)

// Allocate implements experimental.MemoryAllocator. An instance has one memory.
func (m *memory) Allocate(_, _ uint64) experimental.LinearMemory { return m }

// Reallocate implements experimental.LinearMemory. Capacity doubles, so that growing page by page does not copy each time.
// A guest that has been stopped does not get more, and does not come to see that: its next look at the fuel ends it.
func (m *memory) Reallocate(size uint64) []byte {
	if size+m.blocks() > m.limit {
		m.refused = true
		return nil
	}
	if size > uint64(cap(m.bytes)) {
		if m.stopped() {
			return nil
		}
		grown := make([]byte, size, max(size, min(max(2*uint64(cap(m.bytes)), m.likely), m.limit)))
		for done := 0; done < len(m.bytes); done += copiedAtOnce {
			if done > 0 && m.stopped() {
				return nil
			}
			copy(grown[done:min(done+copiedAtOnce, len(m.bytes))], m.bytes[done:])
		}
		m.bytes = grown
	}
	m.bytes = m.bytes[:size]
	m.peak = max(m.peak, size)
	return m.bytes
}

// blocks is what the attempt has beside the memory, of the same limit.
func (m *memory) blocks() uint64 {
	if m.attempt == nil {
		return 0
	}
	return m.attempt.blocks()
}

func (m *memory) stopped() bool { return m.attempt != nil && m.attempt.ended() }

// fit grows the memory to a size that an instance had after its initialisation.
func (m *memory) fit(size int, instance api.Module) bool {
	const page = 64 << 10
	if missing := size - len(m.bytes); missing > 0 {
		_, ok := instance.Memory().Grow(uint32(missing / page))
		return ok
	}
	return size == len(m.bytes)
}

// Free implements experimental.LinearMemory.
func (m *memory) Free() { m.bytes = nil }
