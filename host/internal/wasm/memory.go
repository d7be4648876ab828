package wasm

import (
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"
)

// memory bounds the linear memory of one instance. A growth over the limit is refused, which the guest sees as -1; that
// it was refused tells an exhausted guest from any other that ends badly.
type memory struct {
	limit   uint64 // bytes
	bytes   []byte
	peak    uint64
	refused bool
}

var (
	_ experimental.MemoryAllocator = (*memory)(nil)
	_ experimental.LinearMemory    = (*memory)(nil)
)

// Allocate implements experimental.MemoryAllocator. An instance has one memory.
func (m *memory) Allocate(_, _ uint64) experimental.LinearMemory { return m }

// Reallocate implements experimental.LinearMemory. Capacity doubles, so that growing page by page does not copy each time.
func (m *memory) Reallocate(size uint64) []byte {
	if size > m.limit {
		m.refused = true
		return nil
	}
	if size > uint64(cap(m.bytes)) {
		grown := make([]byte, size, max(size, min(2*uint64(cap(m.bytes)), m.limit)))
		copy(grown, m.bytes)
		m.bytes = grown
	}
	m.bytes = m.bytes[:size]
	m.peak = max(m.peak, size)
	return m.bytes
}

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
