package binary

import "fmt"

// maxResetGlobals bounds the globals that are exported for resetting.
const maxResetGlobals = 1_000

// Resettable returns nothing when memory and mutable globals, exported by Options.ExportGlobals, are all that can differ
// between two states of an instance; else the reason why not. Tables and segments cannot be put back.
func (m *Module) Resettable() string {
	if m.shifts != "" {
		return "it uses " + m.shifts
	}
	if imported := m.imported[KindGlobal] + m.imported[KindMemory] + m.imported[KindTable]; imported > 0 {
		return "it shares memory, a table or a global with others"
	}
	mutable := 0
	for i, g := range m.ownGlobals {
		if g.mutable == 0 {
			continue
		}
		if mutable++; mutable > maxResetGlobals {
			return fmt.Sprintf("it has more than %d mutable globals", maxResetGlobals)
		}
		if g.value < 0x7c { // v128 and references
			return fmt.Sprintf("the mutable global %d is of type %s", i, g.value)
		}
	}
	return ""
}
