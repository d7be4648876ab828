package binary

// pieceBytes is how much of memory.fill and memory.copy is done between two looks at the fuel.
const pieceBytes = 1 << 20

// Prices by length.
const (
	bytesShift = 3    // 8 bytes of memory for a unit
	pagePrice  = 4096 // units for a page
)

// extra is a function that the rewriting adds behind those of the module.
type extra struct {
	name  string
	typ   uint32
	code  []byte // without locals and end
	index uint32
}

// Places in plan.extra.
const (
	extraBytes   = iota // charges for bytes: (n) -> n
	extraEntries        // charges for entries of a table: (n) -> n
	extraPages          // charges for pages: (n) -> n
	extraFill           // memory.fill
	extraCopy           // memory.copy
)

// addExtra defines the added functions. All are there whether or not they are used, but for those that need a memory.
func (p *plan) addExtra() {
	next := uint32(p.m.functions()) + 1
	p.extra = []extra{
		{name: Reserved + "charge_bytes", typ: p.typeCount, code: p.chargeCode(nil, opI64Const, bytesShift, opI64ShrU)},
		{name: Reserved + "charge_entries", typ: p.typeCount, code: p.chargeCode(nil)},
	}
	if p.m.memories() > 0 {
		p.extra = append(p.extra,
			extra{name: Reserved + "charge_pages", typ: p.typeCount, code: p.pagesCode()},
			extra{name: "memory.fill", typ: p.typeThree, code: p.fillCode()},
			extra{name: "memory.copy", typ: p.typeThree, code: p.copyCode()})
	}
	for i := range p.extra {
		p.extra[i].index = next + uint32(i)
	}
}

// charge appends code that takes a price from the fuel.
func (p *plan) charge(out []byte, price int64) []byte {
	out = appendU32(append(out, opGlobalGet), p.fuel)
	out = append(appendSigned(append(out, opI64Const), price), opI64Sub)
	return appendU32(append(out, opGlobalSet), p.fuel)
}

// check appends code that calls the host when there is no fuel left.
func (p *plan) check(out []byte) []byte {
	out = appendU32(append(out, opGlobalGet), p.fuel)
	return append(p.callTick(append(out, opI64Const, 0, opI64LtS, opIf, 0x40)), opEnd)
}

func (p *plan) callTick(out []byte) []byte { return appendU32(append(out, opCall), p.tick) }

// chargeBy appends code that takes the number of a local, an i32, from the fuel; scale turns it, an i64, into a price.
func (p *plan) chargeBy(out []byte, local byte, scale ...byte) []byte {
	out = appendU32(append(out, opGlobalGet), p.fuel)
	out = append(out, opLocalGet, local, opI64ExtendI32)
	out = append(append(out, scale...), opI64Sub)
	return p.check(appendU32(append(out, opGlobalSet), p.fuel))
}

// chargeCode is a function that charges for its parameter and returns it.
func (p *plan) chargeCode(out []byte, scale ...byte) []byte {
	return append(p.chargeBy(out, 0, scale...), opLocalGet, 0)
}

// pagesCode charges for a growth that the memory's maximum admits.
func (p *plan) pagesCode() []byte {
	most := uint32(MaxPages)
	if p.m.Memory != nil {
		if l := clamp(*p.m.Memory, p.o.MaxMemoryPages); l.Max != nil {
			most = *l.Max
		}
	}
	out := appendSigned([]byte{opLocalGet, 0, opI32Const}, int64(most))
	out = append(out, opI32LeU, opIf, 0x40)
	scale := append(appendSigned([]byte{opI64Const}, pagePrice), opI64Mul)
	return append(p.chargeBy(out, 0, scale...), opEnd, opLocalGet, 0)
}

// Parameters of memory.fill and memory.copy.
const (
	paramTo   = 0
	paramFrom = 1 // or the value
	paramSize = 2
)

var (
	threeParams = []byte{opLocalGet, paramTo, opLocalGet, paramFrom, opLocalGet, paramSize} //nolint:gochecknoglobals // constant
	fillMemory  = []byte{0xfc, 0x0b, 0}                                                     //nolint:gochecknoglobals // constant
	copyMemory  = []byte{0xfc, 0x0a, 0, 0}                                                  //nolint:gochecknoglobals // constant
)

// fillCode is memory.fill in pieces. As the instruction does, it traps before anything is written.
func (p *plan) fillCode() []byte {
	out := appendLong(nil)
	out = appendOutside(out, paramTo)
	out = append(out, opIf, 0x40)
	out = append(append(append(out, threeParams...), fillMemory...), opEnd) // traps
	out = append(out, opLoop, 0x40, opLocalGet, paramTo, opLocalGet, paramFrom)
	out = append(appendPiece(out), fillMemory...)
	out = appendMove(out, paramTo, opI32Add)
	out = appendMove(out, paramSize, opI32Sub)
	out = append(p.pieceEnd(out), opEnd, opEnd)
	return append(append(p.chargeBytes(out), threeParams...), fillMemory...)
}

// copyCode is memory.copy in pieces, from the end where the destination lies behind the source, so that no piece
// overwrites what a later one reads.
func (p *plan) copyCode() []byte {
	out := appendLong(nil)
	out = appendOutside(out, paramTo)
	out = append(appendOutside(out, paramFrom), opI32Or)
	out = append(out, opIf, 0x40)
	out = append(append(append(out, threeParams...), copyMemory...), opEnd) // traps
	out = append(out, opLocalGet, paramTo, opLocalGet, paramFrom, opI32LeU, opIf, 0x40)
	out = append(out, opLoop, 0x40, opLocalGet, paramTo, opLocalGet, paramFrom)
	out = append(appendPiece(out), copyMemory...)
	out = appendMove(out, paramTo, opI32Add)
	out = appendMove(out, paramFrom, opI32Add)
	out = appendMove(out, paramSize, opI32Sub)
	out = append(p.pieceEnd(out), opEnd, opElse)
	out = append(out, opLoop, 0x40)
	out = appendMove(out, paramSize, opI32Sub)
	out = append(out, opLocalGet, paramTo, opLocalGet, paramSize, opI32Add, opLocalGet, paramFrom, opLocalGet, paramSize, opI32Add)
	out = append(appendPiece(out), copyMemory...)
	out = append(p.pieceEnd(out), opEnd, opEnd, opEnd)
	return append(append(p.chargeBytes(out), threeParams...), copyMemory...)
}

// appendLong opens a block for sizes that are done in pieces.
func appendLong(out []byte) []byte {
	out = append(out, opLocalGet, paramSize)
	return append(appendPiece(out), opI32GtU, opIf, 0x40)
}

func appendPiece(out []byte) []byte { return appendSigned(append(out, opI32Const), pieceBytes) }

// appendOutside leaves whether the place that begins at a parameter is outside the memory.
func appendOutside(out []byte, param byte) []byte {
	return append(out, opLocalGet, param, opI64ExtendI32, opLocalGet, paramSize, opI64ExtendI32, opI64Add,
		opMemorySize, 0, opI64ExtendI32, opI64Const, 16, opI64Shl, opI64GtU)
}

// appendMove moves a parameter by a piece.
func appendMove(out []byte, param, op byte) []byte {
	out = appendPiece(append(out, opLocalGet, param))
	return append(out, op, opLocalSet, param)
}

// pieceEnd pays for a piece and goes back to the loop while more than one is left.
func (p *plan) pieceEnd(out []byte) []byte {
	out = p.check(p.charge(out, pieceBytes>>bytesShift))
	out = appendPiece(append(out, opLocalGet, paramSize))
	return append(out, opI32GtU, opBrIf, 0)
}

// chargeBytes pays for the size that is left.
func (p *plan) chargeBytes(out []byte) []byte {
	return p.chargeBy(out, paramSize, opI64Const, bytesShift, opI64ShrU)
}

// weight is what an instruction costs without its length.
func (p *plan) weight(in *instruction) int64 {
	if in.op == opCall && in.x < p.tick {
		return weightHost
	}
	return int64(in.weight)
}

// emit appends an instruction, or what stands for it.
func (p *plan) emit(out []byte, in *instruction) []byte {
	switch in.op {
	case opMemoryFill:
		return p.call(out, extraFill)
	case opMemoryCopy:
		return p.call(out, extraCopy)
	case opMemoryInit:
		out = p.call(out, extraBytes)
	case opMemoryGrow:
		out = p.call(out, extraPages)
	case opTableInit, opTableCopy, opTableFill, opTableGrow:
		out = p.call(out, extraEntries)
	}
	return in.append(out)
}

func (p *plan) call(out []byte, extra int) []byte {
	return appendU32(append(out, opCall), p.extra[extra].index)
}
