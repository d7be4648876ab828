// Package manifest reads uniflow.toml: TOML text to a flow.Manifest that is checked for form, with every mistake at
// once and each at its line and column.
//
// It owns the bounds on the text, the position of every key and value, and the rules of form: known keys, types,
// ranges, words, names, paths. What a manifest means (references, expressions, schedules, grants) is checked by package
// plan, which hands its findings to Document.Locate for their places. The package reads one file and nothing else; it
// executes nothing and knows no store.
package manifest

import (
	"os"

	"github.com/uniflow-dev/uniflow/host/flow"
)

const (
	// MaxSize is the number of bytes that a manifest may have.
	MaxSize = 1 << 20
	// MaxTenantSize is the number of bytes that the manifest of a tenant may have.
	MaxTenantSize = 256 << 10

	maxNesting  = 32     // brackets inside brackets
	maxKeyParts = 16     // parts of one dotted key or table name
	maxPath     = 48     // parts of the whole path to a value
	maxItems    = 50_000 // parts of keys, tables and list items of a file
	maxShown    = 20     // problems of one file, besides the one that counts the rest
)

// Document is a manifest together with its text and the places of its keys.
type Document struct {
	// Manifest is what the text says. It is complete only if Parse reported no errors.
	Manifest flow.Manifest
	// Name is the file's name as it stands in problems.
	Name string
	// Digest is that of the file's bytes.
	Digest flow.Digest

	text *text
	root *entry
}

// Load reads the manifest at path, which is a regular file of at most MaxSize bytes. Mistakes are returned as
// flow.Problems, errors of the file system among them (UF1001 to UF1003).
func Load(path string) (*Document, error) {
	src, problem := read(path, MaxSize, func() (*os.File, error) { return os.OpenFile(path, openFlags, 0) })
	if problem != nil {
		return nil, flow.Problems{*problem}
	}
	doc, problems := Parse(path, src)
	if len(problems.Errors()) > 0 {
		return nil, problems
	}
	return doc, nil
}

// LoadTenant is Load for the manifest of a tenant, which is hostile input: a file of at most MaxTenantSize bytes in the
// tenant's folder, which no symbolic link leads out of. name is what problems call it. As with Parse, a Document that comes
// with problems is there to look for further mistakes only; without one there is nothing to look at.
func LoadTenant(folder *os.Root, file, name string) (*Document, flow.Problems) {
	src, problem := read(name, MaxTenantSize, func() (*os.File, error) { return folder.OpenFile(file, openFlags, 0) })
	if problem != nil {
		return nil, flow.Problems{*problem}
	}
	return ParseTenant(name, src)
}

// Parse reads the text of a manifest; name is what problems call the file. All problems of form are found at once,
// located and sorted; at most 20 are listed, and a last one counts the rest.
//
// A text that is no TOML, or beyond the bounds, gives no Document. A text with mistakes of form gives both: the
// Document then holds what could be read, so that a caller can look for further mistakes.
func Parse(name string, src []byte) (*Document, flow.Problems) {
	doc, tree, problems := parse(name, src)
	if doc == nil {
		return nil, problems
	}
	b := &binder{doc: doc, rules: rules()}
	b.manifest(&doc.Manifest, tree)
	return doc, doc.finish(b.findings, b.dropped)
}

// parse reads TOML with the places of all in it. A text that is none gives no Document.
func parse(name string, src []byte) (*Document, map[string]any, flow.Problems) {
	digest := flow.DigestOf(src)
	src = trimByteOrderMark(src)
	doc := &Document{Name: name, Digest: digest, text: newText(src)}
	if p := checkText(src); p != nil {
		return nil, nil, doc.finish([]finding{*p}, 0)
	}
	var repeated []repeat
	doc.root, repeated = buildIndex(src)
	tree, findings := decode(src, repeated)
	if findings != nil {
		return nil, nil, doc.finish(findings, 0)
	}
	return doc, tree, nil
}

// Locate returns the problems with File, Line, Column, EndColumn and Source filled in, sorted by place. A problem is
// found by its Path; where the path does not exist, its nearest ancestor that does is marked. Problems that have a
// place already keep it.
func (d *Document) Locate(problems flow.Problems) flow.Problems {
	located := make(flow.Problems, len(problems))
	for i, p := range problems {
		if p.Line == 0 {
			d.place(&p, d.find(&p))
		}
		located[i] = p
	}
	located.Sort()
	return located
}
