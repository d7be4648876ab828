package binary

import "encoding/binary"

// instruction is one instruction as it was read. What its fields mean depends on its immediate.
type instruction struct {
	op  uint32 // the opcode; behind a prefix, prefix << 8 | number
	pos int    // where it begins
	shape

	x, y  uint32 // indices, depths, type of a reference; of a memory access: alignment and offset
	value int64  // of a constant; of a block its type, negative for a value type or none
	raw   []byte // bytes that are kept as they are; the depths of br_table
}

// Opcodes that the checks and the rewriting look at.
const (
	opUnreachable  = 0x00
	opBlock        = 0x02
	opLoop         = 0x03
	opIf           = 0x04
	opElse         = 0x05
	opEnd          = 0x0b
	opBr           = 0x0c
	opBrIf         = 0x0d
	opBrTable      = 0x0e
	opReturn       = 0x0f
	opCall         = 0x10
	opCallIndirect = 0x11
	opLocalGet     = 0x20
	opLocalSet     = 0x21
	opLocalTee     = 0x22
	opGlobalGet    = 0x23
	opGlobalSet    = 0x24
	opMemorySize   = 0x3f
	opMemoryGrow   = 0x40
	opI32Const     = 0x41
	opI64Const     = 0x42
	opI32GtU       = 0x4b
	opI32LeU       = 0x4d
	opI64LtS       = 0x53
	opI64GtU       = 0x56
	opI64GeS       = 0x59
	opI32Add       = 0x6a
	opI32Sub       = 0x6b
	opI32Or        = 0x72
	opI64Add       = 0x7c
	opI64Sub       = 0x7d
	opI64Mul       = 0x7e
	opI64Shl       = 0x86
	opI64ShrU      = 0x88
	opI64ExtendI32 = 0xad
	opMemoryInit   = 0xfc08
	opDataDrop     = 0xfc09
	opMemoryCopy   = 0xfc0a
	opMemoryFill   = 0xfc0b
	opTableInit    = 0xfc0c
	opTableCopy    = 0xfc0e
	opTableGrow    = 0xfc0f
	opTableFill    = 0xfc11
	opRefFunc      = 0xd2
	opVectorConst  = 0xfd0c
)

// calls reports whether an instruction is made into a call, by the rewriting or by the engine.
func (in *instruction) calls() bool {
	switch in.op {
	case opCall, opCallIndirect, opMemoryGrow, opRefFunc:
		return true
	}
	return in.op >= opMemoryInit && in.op <= opTableFill
}

// blockVoid is the type of a block without parameters and results.
const blockVoid = -0x40

// instruction reads one instruction. It checks what can be known without the rest of the module.
func (r *reader) instruction() instruction {
	in := instruction{pos: r.pos}
	b := r.byte()
	in.op = uint32(b)
	known := false
	switch b {
	case 0xfc, 0xfd:
		sub := r.u32()
		if sub <= 0xff {
			in.op = uint32(b)<<8 | sub
			in.shape, known = prefixedShape(in.op)
		}
		if !known && r.err == nil {
			r.pos = in.pos
			r.fail("instruction 0x%02x %d is not known, or belongs to a proposal that is not enabled (%s)", b, sub, proposal(b))
		}
	default:
		in.shape, known = plainShape(b)
		if !known && r.err == nil {
			r.pos = in.pos
			r.fail("instruction 0x%02x is not known, or belongs to a proposal that is not enabled (%s)", b, proposal(b))
		}
	}
	if r.err == nil {
		r.immediate(&in)
	}
	return in
}

// proposal names what an opcode that is refused may belong to.
func proposal(b byte) string {
	switch {
	case b >= 0x06 && b <= 0x0a, b == 0x18, b == 0x19, b == 0x1f:
		return "exceptions"
	case b == 0x12, b == 0x13, b == 0x15:
		return "tail calls"
	case b == 0x14, b >= 0xd3 && b <= 0xd6:
		return "typed references"
	case b == 0xfb:
		return "garbage collection"
	case b == 0xfd:
		return "relaxed SIMD"
	case b == 0xfe:
		return "threads"
	}
	return "none that this host knows"
}

// immediate reads what follows an opcode.
func (r *reader) immediate(in *instruction) {
	switch in.imm {
	case immNone:
	case immBlock:
		in.value = r.blockType()
	case immIndex:
		in.x = r.u32()
	case immIndices:
		in.x, in.y = r.u32(), r.u32()
	case immLabels:
		n := r.count("targets of br_table", 1, MaxTargets)
		start := r.pos
		for range n {
			r.u32()
		}
		in.x, in.raw = uint32(n), r.b[start:max(start, r.pos)]
		in.y = r.u32()
	case immSelect:
		if r.u32() != 1 {
			r.fail("select with other than one type")
		}
		in.x = uint32(r.valueType())
	case immReference:
		in.x = uint32(r.byte())
		if in.x != 0x70 && in.x != 0x6f {
			r.fail("reference type 0x%02x is not enabled", in.x)
		}
	case immI32:
		in.value = r.signed(32)
	case immI64:
		in.value = r.signed(64)
	case immBytes:
		in.raw = r.bytes(uint32(in.arg))
	case immMemory, immMemoryFill, immMemoryCopy, immMemoryInit:
		r.memoryIndices(in)
	default:
		r.access(in)
	}
}

// memoryIndices reads the indices of a memory instruction: there is one memory, written as one byte.
func (r *reader) memoryIndices(in *instruction) {
	if in.imm == immMemoryInit {
		in.x = r.u32()
	}
	n := 1
	if in.imm == immMemoryCopy {
		n = 2
	}
	for range n {
		if r.byte() != 0 {
			r.fail("a second memory is not enabled")
		}
	}
}

// access reads alignment and offset of a memory access, and lanes.
func (r *reader) access(in *instruction) {
	if in.imm == immAccess || in.imm == immAccessLane {
		in.x, in.y = r.u32(), r.u32()
		if in.x > uint32(in.arg) {
			r.fail("alignment 2^%d of an access whose own is 2^%d", in.x, in.arg)
		}
	}
	lanes, n := 16>>in.arg, 1 // of an access
	switch in.imm {
	case immAccess:
		return
	case immLane:
		lanes = int(in.arg)
	case immShuffle:
		lanes, n = 32, 16
	}
	in.raw = r.bytes(uint32(n))
	for _, lane := range in.raw {
		if int(lane) >= lanes {
			r.fail("lane %d of %d", lane, lanes)
		}
	}
}

// blockType returns the index of a type, or a negative number: blockVoid, or that of a value type.
func (r *reader) blockType() int64 {
	v := r.signed(33)
	if v >= 0 {
		return v
	}
	if v < -0x40 || (v != blockVoid && !isValueType(byte(v&0x7f))) {
		r.fail("%d is not the type of a block", v)
	}
	return v
}

func isValueType(b byte) bool {
	switch b {
	case 0x7f, 0x7e, 0x7d, 0x7c, 0x7b, 0x70, 0x6f:
		return true
	}
	return false
}

// valueType reads the type of a value.
func (r *reader) valueType() ValueType {
	b := r.byte()
	if !isValueType(b) {
		r.fail("0x%02x is not a value type that is enabled", b)
	}
	return ValueType(b)
}

// append writes the instruction, every number in its shortest form.
func (in *instruction) append(out []byte) []byte {
	if in.op > 0xff {
		out = append(out, byte(in.op>>8))
		out = appendU32(out, in.op&0xff)
	} else {
		out = append(out, byte(in.op))
	}
	switch in.imm {
	case immNone:
	case immBlock, immI32, immI64:
		out = appendSigned(out, in.value)
	case immIndex:
		out = appendU32(out, in.x)
	case immIndices:
		out = appendU32(appendU32(out, in.x), in.y)
	case immLabels:
		out = appendU32(out, in.x)
		for r := (reader{b: in.raw, end: len(in.raw)}); r.left() > 0; {
			out = appendU32(out, r.u32())
		}
		out = appendU32(out, in.y)
	case immSelect:
		out = append(out, 1, byte(in.x))
	case immReference:
		out = append(out, byte(in.x))
	case immMemory, immMemoryFill:
		out = append(out, 0)
	case immMemoryCopy:
		out = append(out, 0, 0)
	case immMemoryInit:
		out = append(appendU32(out, in.x), 0)
	case immAccess, immAccessLane:
		out = append(appendU32(appendU32(out, in.x), in.y), in.raw...)
	default:
		out = append(out, in.raw...)
	}
	return out
}

func appendU32(out []byte, v uint32) []byte { return binary.AppendUvarint(out, uint64(v)) }

// appendSigned writes a signed LEB128 number.
func appendSigned(out []byte, v int64) []byte {
	for {
		c := byte(v & 0x7f)
		v >>= 7
		if (v == 0 && c&0x40 == 0) || (v == -1 && c&0x40 != 0) {
			return append(out, c)
		}
		out = append(out, c|0x80)
	}
}
