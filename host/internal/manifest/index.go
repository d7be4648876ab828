package manifest

import (
	"slices"
	"strconv"

	"github.com/pelletier/go-toml/v2/unstable"
)

// span is a range of bytes of the text; a negative start means that the place is not known.
type span struct{ start, end int }

// entry is the place of one key or list item, and of what is inside.
type entry struct {
	key   span // of an item: its value
	value span // of a table with a header: its name in the header
	kind  entryKind
	keys  map[string]*entry
	items []*entry
}

// entryKind says how a key came about, which decides what may be added to it.
type entryKind int

const (
	kindImplied entryKind = iota // by the header of a table inside it
	kindDotted                   // by a dotted key
	kindTable                    // by its own header
	kindArray                    // by a header in double brackets
	kindValue                    // by a value
	kindText                     // by a value that is a string
)

// repeat is a key or table that stands a second time.
type repeat struct {
	path          []string
	first, second span
	inside        int // parts of path that lead to a value which is complete already; 0 if there is none
}

// indexer walks the syntax tree of the position parser. It is not the judge of what is valid: that is the decoder, and
// where the two differ, the index merely lacks an entry.
type indexer struct {
	src      []byte
	parser   unstable.Parser
	root     *entry
	path     []string // of the table whose keys are read
	repeated []repeat
}

// buildIndex returns the places of all keys of src, as far as it can be read, and the keys that stand twice.
func buildIndex(src []byte) (root *entry, repeated []repeat) {
	ix := &indexer{src: src, root: &entry{kind: kindTable, key: span{0, 0}, value: span{0, 0}}}
	// Positions are a convenience. A fault in finding them must not stop a manifest that the decoder accepts.
	defer func() {
		_ = recover()
		root, repeated = ix.root, ix.repeated
	}()
	ix.walk()
	return ix.root, ix.repeated
}

func (ix *indexer) walk() {
	ix.parser.Reset(ix.src)
	table := ix.root
	for ix.parser.NextExpression() {
		switch node := ix.parser.Expression(); node.Kind {
		case unstable.Table, unstable.ArrayTable:
			table = ix.header(node)
		case unstable.KeyValue:
			ix.keyValue(table, node, len(ix.path))
		}
	}
}

// header enters the table of a [header] and returns it.
func (ix *indexer) header(node *unstable.Node) *entry {
	ix.path = ix.path[:0]
	e, inside := ix.root, 0
	var at span
	for it := node.Key(); it.Next(); {
		part := it.Node()
		at = rangeOf(part)
		if inside == 0 && e.kind >= kindValue {
			inside = len(ix.path)
		}
		ix.path = append(ix.path, string(part.Data))
		e = e.child(string(part.Data), at)
	}
	array := node.Kind == unstable.ArrayTable
	// A header may add to what a dotted key began: TOML forbids it, the decoder does not.
	if open := e.kind <= kindDotted || array && e.kind == kindArray; inside > 0 || !open {
		ix.repeat(e, at, inside)
		return &entry{} // what follows has its own places, which nobody asks for
	}
	if e.kind == kindArray {
		e.keys = nil // every header starts a new item
		return e
	}
	e.key, e.value, e.kind = at, at, kindTable
	if array {
		e.kind, e.keys = kindArray, nil
	}
	return e
}

// keyValue adds a key with its value to table and returns the offset behind the value. depth is the number of parts
// of ix.path that lead to table.
func (ix *indexer) keyValue(table *entry, node *unstable.Node, depth int) int {
	ix.path = ix.path[:depth]
	e, inside := table, 0
	var at span
	for it := node.Key(); it.Next(); {
		part := it.Node()
		if e != table && e.kind == kindImplied {
			e.kind = kindDotted
		}
		if inside == 0 && e != table && e.kind >= kindValue {
			inside = len(ix.path)
		}
		at = rangeOf(part)
		ix.path = append(ix.path, string(part.Data))
		e = e.child(string(part.Data), at)
	}
	if inside > 0 || e.kind != kindImplied || len(e.keys) > 0 {
		ix.repeat(e, at, inside)
		e = &entry{} // as for tables
	}
	e.key = at
	end := ix.value(e, node.Value(), skip(ix.src, at.end, "="), len(ix.path))
	ix.path = ix.path[:depth]
	return end
}

// value sets the place of a value that starts at start, and of what is inside, and returns the offset behind it.
func (ix *indexer) value(e *entry, node *unstable.Node, start, depth int) int {
	e.kind = kindValue
	end := start + 1
	switch node.Kind {
	case unstable.Array:
		for it := node.Children(); it.Next(); {
			item := &entry{}
			end = ix.value(item, it.Node(), skip(ix.src, end, ","), depth)
			item.key = item.value
			e.items = append(e.items, item)
		}
		end = skip(ix.src, end, ",") + 1
	case unstable.InlineTable:
		for it := node.Children(); it.Next(); {
			end = ix.keyValue(e, it.Node(), depth)
		}
		end = skip(ix.src, end, ",") + 1
	default:
		at := rangeOf(node)
		start, end = at.start, at.end
		if node.Kind == unstable.String {
			e.kind = kindText
		}
	}
	e.value = span{start, min(end, len(ix.src))}
	return e.value.end
}

// repeat records the key at ix.path.
func (ix *indexer) repeat(first *entry, second span, inside int) {
	ix.repeated = append(ix.repeated, repeat{slices.Clone(ix.path), first.key, second, inside})
}

// child returns the entry of a key, a new one if there is none.
func (e *entry) child(key string, at span) *entry {
	if c, ok := e.keys[key]; ok {
		return c
	}
	if e.keys == nil {
		e.keys = map[string]*entry{}
	}
	c := &entry{key: at, value: at}
	e.keys[key] = c
	return c
}

// lookup returns the entry of a path, or that of its nearest ancestor and false.
func (e *entry) lookup(path []string) (*entry, bool) {
	for _, part := range path {
		next := e.keys[part]
		if i, err := strconv.Atoi(part); next == nil && err == nil && i >= 0 && i < len(e.items) {
			next = e.items[i]
		}
		if next == nil {
			return e, false
		}
		e = next
	}
	return e, true
}

func rangeOf(node *unstable.Node) span {
	start := int(node.Raw.Offset)
	return span{start, start + int(node.Raw.Length)}
}

// skip returns the first offset from pos that is neither space, comment nor one of also.
func skip(src []byte, pos int, also string) int {
	for pos < len(src) {
		switch c := src[pos]; c {
		case ' ', '\t', '\n', '\r', also[0]:
			pos++
		case '#':
			pos = lineEnd(src, pos)
		default:
			return pos
		}
	}
	return pos
}
