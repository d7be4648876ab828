package binary

import "encoding/binary"

// Table is a table that the module defines.
type Table struct {
	Type   ValueType
	Limits Limits
}

// ClampTables returns the bytes that m was decoded from with no table able to grow beyond MaxTableSize entries, since an
// engine has no other bound for them. Bytes that need no change are returned as they are.
func (m *Module) ClampTables(b []byte) []byte {
	if len(m.Tables) == 0 {
		return b
	}
	content := binary.AppendUvarint(nil, uint64(len(m.Tables)))
	for _, t := range m.Tables {
		highest := uint32(MaxTableSize)
		if t.Limits.Max != nil {
			highest = min(highest, *t.Limits.Max)
		}
		content = append(content, byte(t.Type), 1)
		content = binary.AppendUvarint(content, uint64(t.Limits.Min))
		content = binary.AppendUvarint(content, uint64(highest))
	}
	start, end := m.tableSection[0], m.tableSection[1]
	clamped := make([]byte, 0, len(b)+len(content)+16)
	clamped = append(clamped, b[:start]...)
	clamped = append(clamped, sectionTable)
	clamped = binary.AppendUvarint(clamped, uint64(len(content)))
	clamped = append(clamped, content...)
	return append(clamped, b[end:]...)
}
