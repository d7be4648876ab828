package binary

// immediate says what follows an opcode.
type immediate byte

const (
	immNone      immediate = iota
	immBlock               // type of a block
	immIndex               // an index or a depth
	immIndices             // two indices
	immLabels              // depths of br_table
	immSelect              // types of select
	immReference           // type of a reference
	immI32
	immI64
	immBytes      // arg bytes
	immMemory     // memory.size, memory.grow
	immMemoryFill // the index of the memory
	immMemoryCopy // the index of the memory, twice
	immMemoryInit // the index of a data segment, and of the memory
	immAccess     // alignment, at most arg, and offset
	immAccessLane // the same, and a lane
	immLane       // a lane below arg
	immShuffle    // 16 lanes
)

// shape is what is known of an opcode.
type shape struct {
	imm    immediate
	arg    byte
	weight uint16 // fuel
}

// Weights of instructions in fuel; one unit is about the work of an addition. They are part of what makes fuel
// repeatable: a change of them is a new RewriterVersion.
const (
	weightFree     = 0   // leaves no machine code of its own
	weightPlain    = 1   //
	weightBranch   = 2   // br_table
	weightVector   = 2   //
	weightDivide   = 10  // division, remainder, square root
	weightCall     = 20  // a function of the module, and the first weightSmall of it
	weightIndirect = 24  // the same, by a table
	weightTable    = 4   // a bounds check and an access
	weightFill     = 20  // memory.fill, memory.copy; and by length
	weightLeave    = 100 // leaves the compiled code
	weightHost     = 500 // a function of the host
	weightGrow     = 500 // and by length
)

// accessAlignments are the natural alignments of 0x28 i32.load to 0x3e i64.store32, as powers of two.
const accessAlignments = "\x02\x03\x02\x03\x00\x00\x01\x01\x00\x00\x01\x01\x02\x02\x02\x03\x02\x03\x00\x01\x00\x01\x02"

// plainShape returns the shape of an opcode of one byte.
func plainShape(op byte) (shape, bool) {
	switch {
	case op == 0x00, op == 0x0f:
		return shape{immNone, 0, weightPlain}, true
	case op == 0x01, op == opElse, op == opEnd, op == 0x1a:
		return shape{immNone, 0, weightFree}, true
	case op == opBlock, op == opLoop:
		return shape{immBlock, 0, weightFree}, true
	case op == opIf:
		return shape{immBlock, 0, weightPlain}, true
	case op == opBr, op == opBrIf, op >= opLocalGet && op <= opGlobalSet:
		return shape{immIndex, 0, weightPlain}, true
	case op == opBrTable:
		return shape{immLabels, 0, weightBranch}, true
	case op == opCall:
		return shape{immIndex, 0, weightCall}, true
	case op == opCallIndirect:
		return shape{immIndices, 0, weightIndirect}, true
	case op == 0x1b:
		return shape{immNone, 0, weightPlain}, true
	case op == 0x1c:
		return shape{immSelect, 0, weightPlain}, true
	case op == 0x25, op == 0x26:
		return shape{immIndex, 0, weightTable}, true
	case op >= 0x28 && op <= 0x3e:
		return shape{immAccess, accessAlignments[op-0x28], weightPlain}, true
	case op == opMemorySize:
		return shape{immMemory, 0, weightPlain}, true
	case op == opMemoryGrow:
		return shape{immMemory, 0, weightGrow}, true
	}
	return operatorShape(op)
}

// operatorShape returns the shape of constants, operators and references.
func operatorShape(op byte) (shape, bool) {
	switch {
	case op == opI32Const:
		return shape{immI32, 0, weightPlain}, true
	case op == opI64Const:
		return shape{immI64, 0, weightPlain}, true
	case op == 0x43:
		return shape{immBytes, 4, weightPlain}, true
	case op == 0x44:
		return shape{immBytes, 8, weightPlain}, true
	case op >= 0x6d && op <= 0x70, op >= 0x7f && op <= 0x82, // integer division and remainder
		op == 0x91, op == 0x95, op == 0x9f, op == 0xa3: // square root and division of floats
		return shape{immNone, 0, weightDivide}, true
	case op >= 0x45 && op <= 0xc4, op == 0xd1:
		return shape{immNone, 0, weightPlain}, true
	case op == 0xd0:
		return shape{immReference, 0, weightPlain}, true
	case op == opRefFunc:
		return shape{immIndex, 0, weightLeave}, true
	}
	return shape{}, false
}

// prefixedShape returns the shape of an opcode behind a prefix.
func prefixedShape(op uint32) (shape, bool) {
	if op>>8 == 0xfd {
		return vectorShape(byte(op))
	}
	switch {
	case op <= 0xfc07:
		return shape{immNone, 0, weightPlain}, true
	case op == opMemoryInit:
		return shape{immMemoryInit, 0, weightLeave}, true
	case op == opMemoryCopy:
		return shape{immMemoryCopy, 0, weightFill}, true
	case op == opMemoryFill:
		return shape{immMemoryFill, 0, weightFill}, true
	case op == opTableInit, op == opTableCopy:
		return shape{immIndices, 0, weightLeave}, true
	case op == opTableGrow:
		return shape{immIndex, 0, weightGrow}, true
	case op <= 0xfc11: // data.drop, elem.drop, table.size, table.fill
		return shape{immIndex, 0, weightLeave}, true
	}
	return shape{}, false
}

// vectorShape returns the shape of a vector instruction.
func vectorShape(op byte) (shape, bool) {
	switch op { // numbers without an instruction
	case 0x9a, 0xa2, 0xa5, 0xa6, 0xaf, 0xb0, 0xb2, 0xb3, 0xb4, 0xbb, 0xc2, 0xc5, 0xc6, 0xcf, 0xd0, 0xd2, 0xd3, 0xd4, 0xe2, 0xee:
		return shape{}, false
	}
	switch {
	case op <= 0x0b:
		return shape{immAccess, "\x04\x03\x03\x03\x03\x03\x03\x00\x01\x02\x03\x04"[op], weightVector}, true
	case op == 0x0c:
		return shape{immBytes, 16, weightVector}, true
	case op == 0x0d:
		return shape{immShuffle, 0, weightVector}, true
	case op >= 0x15 && op <= 0x22:
		return shape{immLane, "\x10\x10\x10\x08\x08\x08\x04\x04\x02\x02\x04\x04\x02\x02"[op-0x15], weightVector}, true
	case op >= 0x54 && op <= 0x5b:
		return shape{immAccessLane, (op - 0x54) % 4, weightVector}, true
	case op == 0x5c:
		return shape{immAccess, 2, weightVector}, true
	case op == 0x5d:
		return shape{immAccess, 3, weightVector}, true
	case op == 0xe3, op == 0xe7, op == 0xef, op == 0xf3: // square root and division
		return shape{immNone, 0, weightDivide}, true
	}
	return shape{immNone, 0, weightVector}, true
}

// effect is by how much an instruction that is no call and no branch changes the height of the operand stack; where that
// is not looked up, it is higher than the truth.
func (in *instruction) effect() int {
	switch {
	case in.op <= 0xff:
		return plainEffect(byte(in.op))
	case in.op>>8 == 0xfd:
		return vectorEffect(byte(in.op))
	case in.op == 0xfc10: // table.size
		return 1
	case in.op == opTableGrow:
		return -1
	case in.op == opMemoryInit, in.op == opMemoryCopy, in.op == opMemoryFill, in.op == opTableInit, in.op == opTableCopy, in.op == opTableFill:
		return -3
	}
	return 0
}

func plainEffect(op byte) int {
	switch {
	case op == opGlobalGet, op == opMemorySize, op >= opI32Const && op <= 0x44, op == 0xd0, op == opRefFunc:
		return 1
	case op == 0x1a, op == opGlobalSet:
		return -1
	case op == 0x1b, op == 0x1c, op == 0x26, op >= 0x36 && op <= 0x3e: // select, table.set, stores
		return -2
	case op >= 0x46 && op <= 0x4f, op >= 0x51 && op <= 0x66, op >= 0x6a && op <= 0x78, op >= 0x7c && op <= 0x8a,
		op >= 0x92 && op <= 0x98, op >= 0xa0 && op <= 0xa6: // of two operands
		return -1
	}
	return 0
}

func vectorEffect(op byte) int {
	switch {
	case op == 0x0c:
		return 1
	case op == 0x0b, op == 0x52, op >= 0x58 && op <= 0x5b: // stores, bitselect
		return -2
	case op == 0x0d, op == 0x0e, op >= 0x23 && op <= 0x4c, op >= 0x4e && op <= 0x51, op >= 0x54 && op <= 0x57:
		return -1
	}
	return 0
}
