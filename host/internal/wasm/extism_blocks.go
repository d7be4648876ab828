package wasm

import (
	"cmp"
	"encoding/binary"
	"math/bits"
	"slices"
)

const (
	blockBase = 64 // the first address of a block; 0 is none
	blockCost = 48 // bytes that the host keeps for a block beside its own
	// blockSlack follows each block, so that eight bytes can be read where fewer are left of it.
	blockSlack = 8
	freeLooks  = 8 // blocks of a class that are looked at to find one to use again
)

// blocks is the memory of the Extism profile: host and guest hand texts to each other in blocks, which are named by their
// address, and the guest reads and writes them by host calls. An address is an offset into bytes and nothing else, and
// each is checked in 64 bits. The memory is one attempt's and goes with it.
type blocks struct {
	bytes []byte
	list  []block   // by address
	free  [65][]int // blocks to use again, by the length of their size in bits
	peak  uint64
	price int64 // fuel for what was done since it was last charged
}

type block struct {
	at, size uint64
	used     uint64 // bytes that were asked for
	active   bool
}

// taken is what the blocks cost the host, in bytes.
func (b *blocks) taken() uint64 { return uint64(len(b.bytes)) + uint64(len(b.list))*blockCost }

// alloc returns the address of a new block, or 0 when all blocks would take more than room.
func (b *blocks) alloc(n, room uint64) uint64 {
	if n == 0 || n > room {
		return 0
	}
	size := (n + blockSlack + 7) &^ 7
	if i := b.reuse(size); i >= 0 {
		b.list[i].used, b.list[i].active = n, true
		return b.list[i].at
	}
	at := max(uint64(len(b.bytes)), blockBase)
	if at+size+uint64(len(b.list)+1)*blockCost > room {
		return 0
	}
	b.extend(at+size, room)
	b.list = append(b.list, block{at: at, size: size, used: n, active: true})
	b.peak = max(b.peak, b.taken())
	return at
}

// reuse takes a freed block that is large enough, and not much larger, off its list; -1 when there is none near.
func (b *blocks) reuse(size uint64) int {
	class := bits.Len64(size)
	for c := class; c <= class+1; c++ {
		free := b.free[c]
		for n := len(free) - 1; n >= 0 && n >= len(free)-freeLooks; n-- {
			if i := free[n]; b.list[i].size >= size {
				free[n] = free[len(free)-1]
				b.free[c] = free[:len(free)-1]
				return i
			}
		}
	}
	return -1
}

// extend makes the memory end at an address; what is new holds zeros.
func (b *blocks) extend(end, room uint64) {
	old := uint64(len(b.bytes))
	b.price += int64((end - old) >> byteShift)
	if end <= uint64(cap(b.bytes)) {
		b.bytes = b.bytes[:end]
		clear(b.bytes[old:])
		return
	}
	grown := make([]byte, end, max(end, min(2*uint64(cap(b.bytes)), room)))
	copy(grown, b.bytes)
	b.bytes = grown
}

// find returns the place of the block that begins at an address, or -1.
func (b *blocks) find(at uint64) int {
	i, found := slices.BinarySearchFunc(b.list, at, func(x block, at uint64) int { return cmp.Compare(x.at, at) })
	if !found || !b.list[i].active {
		return -1
	}
	return i
}

// release makes a block free, once; an address that names no block is left alone.
func (b *blocks) release(at uint64) {
	if i := b.find(at); i >= 0 {
		b.list[i].active = false
		class := bits.Len64(b.list[i].size)
		b.free[class] = append(b.free[class], i)
	}
}

// length is how many bytes the block at an address has; 0 when there is none.
func (b *blocks) length(at uint64) uint64 {
	if i := b.find(at); i >= 0 {
		return b.list[i].used
	}
	return 0
}

// content returns the bytes of the block at an address as a view that is good until the next alloc.
func (b *blocks) content(at uint64) []byte { return b.span(at, b.length(at)) }

// within reports whether n bytes at an address lie in the memory.
func (b *blocks) within(at, n uint64) bool {
	size := uint64(len(b.bytes))
	return at >= blockBase && n <= size && at <= size-n
}

// span returns n bytes at an address that lies in the memory, else nothing.
func (b *blocks) span(at, n uint64) []byte {
	if n == 0 || !b.within(at, n) {
		return nil
	}
	return b.bytes[at : at+n]
}

// put copies bytes into a new block; 0 when they are none, or when there is no room.
func (b *blocks) put(content []byte, room uint64) uint64 {
	at := b.alloc(uint64(len(content)), room)
	if at != 0 {
		copy(b.bytes[at:], content)
		b.price += int64(len(content) >> byteShift)
	}
	return at
}

// forget frees all blocks at once; their addresses are given anew.
func (b *blocks) forget() {
	b.bytes, b.list = b.bytes[:min(len(b.bytes), blockBase)], b.list[:0]
	b.free = [65][]int{}
}

func (b *blocks) loadU64(at uint64) (uint64, bool) {
	if !b.within(at, 8) {
		return 0, false
	}
	return binary.LittleEndian.Uint64(b.bytes[at:]), true
}

func (b *blocks) storeU64(at, value uint64) bool {
	if !b.within(at, 8) {
		return false
	}
	binary.LittleEndian.PutUint64(b.bytes[at:], value)
	return true
}
