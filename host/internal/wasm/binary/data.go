package binary

import (
	"cmp"
	"slices"
)

// mergeGap is how many bytes may lie between two data segments that are merged. Linkers leave out runs of zeros; a
// segment costs the engine more than they do.
const mergeGap = 64

// segment is a data segment as it stands in the file.
type segment struct {
	form     uint32
	expr     reader // of an active one
	constant bool
	offset   uint32 // where constant
	content  []byte
}

// data returns the data section and the number of its segments.
func (p *plan) data() ([]byte, int) {
	d, ok := p.source(sectionData)
	if !ok {
		return nil, 0
	}
	n := d.r.u32()
	segments := make([]segment, n)
	for i := range segments {
		segments[i] = readSegment(&d.r)
	}
	if sorted, ok := p.mergeable(segments); ok {
		segments = merged(sorted)
	}
	out := appendU32(nil, uint32(len(segments)))
	for _, s := range segments {
		out = p.segment(out, s)
	}
	return out, len(segments)
}

func readSegment(r *reader) segment {
	s := segment{form: r.u32()}
	if s.form == 2 {
		r.u32()
	}
	if s.form != 1 {
		s.expr = *r
		in := r.instruction()
		s.offset = uint32(in.value)
		s.constant = in.op == opI32Const
		for in.op != opEnd && r.err == nil {
			if in = r.instruction(); in.op != opEnd {
				s.constant = false
			}
		}
	}
	s.content = r.bytes(r.u32())
	return s
}

// mergeable returns the segments in ascending order, and whether nothing can tell them from merged ones: they lie in a
// memory that begins as zeros, inside its first size, without overlaps, and no instruction names one.
func (p *plan) mergeable(segments []segment) ([]segment, bool) {
	if p.m.Memory == nil || p.m.usesData {
		return nil, false
	}
	sorted := slices.Clone(segments)
	slices.SortStableFunc(sorted, func(a, b segment) int { return cmp.Compare(a.offset, b.offset) })
	end := uint64(0)
	for _, s := range sorted {
		if !s.constant || uint64(s.offset) < end {
			return nil, false
		}
		end = uint64(s.offset) + uint64(len(s.content))
	}
	return sorted, end <= uint64(p.m.Memory.Min)<<16
}

// merged joins segments that follow one another closely.
func merged(segments []segment) []segment {
	var out []segment
	for _, s := range segments {
		last := len(out) - 1
		if last < 0 || uint64(s.offset) > uint64(out[last].offset)+uint64(len(out[last].content))+mergeGap {
			s.content = slices.Clip(s.content) // what is appended must not run into the file
			out = append(out, s)
			continue
		}
		prev := &out[last]
		gap := int(s.offset-prev.offset) - len(prev.content)
		prev.content = append(append(prev.content, make([]byte, gap)...), s.content...)
	}
	return out
}

func (p *plan) segment(out []byte, s segment) []byte {
	switch {
	case s.form == 1:
		out = append(out, 1)
	case s.constant:
		out = append(appendSigned(append(out, 0, opI32Const), int64(int32(s.offset))), opEnd)
	default:
		out = p.expression(append(out, 0), &s.expr)
	}
	out = appendU32(out, uint32(len(s.content)))
	return append(out, s.content...)
}
