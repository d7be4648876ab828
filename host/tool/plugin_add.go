package tool

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/manifest"
	"github.com/uniflow-dev/uniflow/host/internal/supply"
	"github.com/uniflow-dev/uniflow/host/internal/wasm"
)

// PluginAdding says which module becomes a plugin of a manifest, and from where it is taken.
type PluginAdding struct {
	Target
	// Source is a path, https://… or oci://HOST/REPOSITORY:TAG or @DIGEST.
	Source string
	// Name of the plugin. Defaults to what the source calls it. A name that the manifest has is a plugin to be updated.
	Name string
	// Keys are minisign public keys of which one must have signed the module, beside those of the manifest.
	Keys []string
	// Digest is what the module must have. Defaults to any.
	Digest flow.Digest
	// PlainHTTP allows HTTP without TLS to other machines.
	PlainHTTP bool
	// Accept takes other bytes in the place of a plugin that is there.
	Accept bool
	// Credentials is the path of a configuration as docker writes it, for registries. Defaults to none.
	Credentials string
}

// AddPlugin takes a module, looks at it without running it, writes it beside the manifest, names it there, and pins it
// without any grant. Nothing is written of what is refused.
func AddPlugin(ctx context.Context, a PluginAdding) (flow.PluginAdded, error) {
	doc, err := manifest.Load(a.manifest())
	if err != nil {
		return flow.PluginAdded{}, err
	}
	if a.Digest != "" && !a.Digest.Valid() {
		return flow.PluginAdded{}, &flow.Error{Code: flow.CodeInput, Op: fmt.Sprintf("--digest %.100s", a.Digest), Message: "expected sha256: and 64 hexadecimal digits", Hint: "uniflow plugin inspect FILE shows the digest of a file"}
	}
	dir, err := filepath.Abs(filepath.Dir(a.manifest()))
	if err != nil {
		return flow.PluginAdded{}, fmt.Errorf("find the manifest: %w", err)
	}
	p := &adding{PluginAdding: a, doc: doc, dir: dir}
	if err := p.take(ctx); err != nil {
		return flow.PluginAdded{}, err
	}
	if err := p.place(); err != nil {
		return flow.PluginAdded{}, err
	}
	return p.report, p.write()
}

// adding is a module on its way into a project.
type adding struct {
	PluginAdding
	doc *manifest.Document
	dir string

	got    supply.Fetched
	pinned supply.Pinned
	known  bool // the manifest has the name
	lock   *supply.Lock
	report flow.PluginAdded
}

// take brings the module here and looks at it: digest, signature, form, in this order.
func (p *adding) take(ctx context.Context) error {
	keys := [][]string{p.Keys, p.doc.Manifest.Host.Keys}
	fetcher := supply.Fetcher{PlainHTTP: p.PlainHTTP, Signed: len(p.Keys)+len(p.doc.Manifest.Host.Keys) > 0, Credentials: p.Credentials}
	got, err := fetcher.Fetch(ctx, p.Source)
	if err != nil {
		return err
	}
	digest := flow.DigestOf(got.Bytes)
	if p.Digest != "" && digest != p.Digest {
		return &flow.Error{Code: flow.CodeDigest, Op: "take the plugin " + p.Source, Message: fmt.Sprintf("expected digest %s, found %s", p.Digest.Short(), digest.Short()), Hint: "nothing was written; ask who offers it which digest is right"}
	}
	for _, k := range keys {
		if len(k) == 0 {
			continue
		}
		if p.report.Signer, err = supply.Verify(got.Bytes, got.Signature, k); err != nil {
			return during(err, "take the plugin "+p.Source)
		}
	}
	module, err := wasm.Inspect(got.Bytes)
	if err != nil {
		return during(err, "take the plugin "+p.Source)
	}
	resolved := module.Resolved("")
	resolved.Signer = p.report.Signer
	p.got, p.pinned = got, supply.PinnedModule(resolved)
	p.pinned.From = got.From
	p.report.Digest, p.report.From, p.report.Needs = digest, got.From, needs(module, got.Bytes)
	return nil
}

// during gives an error of ours the operation, if it has none.
func during(err error, op string) error {
	if e, ok := errors.AsType[*flow.Error](err); ok && e.Op == "" {
		own := *e
		own.Op = op
		return &own
	}
	return err
}

// place finds out under which name and path the module goes, and whether it may.
func (p *adding) place() error {
	name := p.Name
	if name == "" {
		name = p.got.Name
	}
	if !pluginName.MatchString(name) {
		return &flow.Error{Code: flow.CodeInput, Op: "add the plugin", Message: fmt.Sprintf("%.100q is no name for a plugin", name), Hint: "give a name of small letters, digits, _ and - behind the source"}
	}
	p.report.Name, p.report.Path = name, "plugins/"+name+".wasm"
	op := fmt.Sprintf("add plugin %q", name)
	var declared flow.Plugin
	if declared, p.known = p.doc.Manifest.Plugins[name]; p.known {
		if declared.Wasm == "" || len(declared.Build) > 0 {
			return &flow.Error{Code: flow.CodeExists, Op: op, Message: "the manifest has a plugin of that name that is built, or is no module", Hint: "give another name behind the source"}
		}
		p.report.Path = declared.Wasm
	}
	var err error
	if p.lock, err = supply.ReadLock(filepath.Join(p.dir, supply.LockName)); err != nil {
		return err
	}
	if p.lock.Old() {
		return &flow.Error{Code: flow.CodeLock, Op: op, Message: supply.LockName + " has the older form", Hint: "uniflow build writes it anew; review it first"}
	}
	return p.compare(op)
}

// compare holds the module against what is in its place.
func (p *adding) compare(op string) error {
	before, pinned := p.lock.File(p.report.Path)
	p.report.Change = before.Change(p.report.Name, p.pinned)
	folder, err := supply.OpenFolder(p.dir)
	if err != nil {
		return err
	}
	defer folder.Close()
	there, err := folder.Resolve(p.report.Path)
	switch {
	case p.Accept:
		return nil
	case pinned && before.Digest != p.pinned.Digest:
		err = during(p.lock.Check(p.report.Path, p.pinned), op)
		if e, ok := errors.AsType[*flow.Error](err); ok {
			e.Op, e.Hint = op, "nothing was written; look at what has changed, and take it with --accept"
		}
		return err
	case err == nil && there.Digest != p.pinned.Digest:
		return &flow.Error{Code: flow.CodeWouldOverwrite, Op: op, Message: "there is another file at " + p.report.Path, Hint: "give another name behind the source, or take the place of the file with --accept"}
	}
	return nil
}

// write puts the module and its signature in place, pins it, and names it in the manifest.
func (p *adding) write() error {
	folder, err := supply.OpenFolder(p.dir)
	if err != nil {
		return err
	}
	defer folder.Close()
	signature := p.report.Path + supply.SignatureSuffix
	if p.got.Signature != nil {
		err = folder.Write(signature, p.got.Signature)
	} else {
		err = folder.Remove(signature) // of other bytes
	}
	if err == nil {
		err = folder.Write(p.report.Path, p.got.Bytes)
	}
	if err != nil {
		return err
	}
	p.lock.Pin(p.report.Path, p.pinned)
	if !p.known {
		p.lock.Approve("plugins."+p.report.Name, nil)
	}
	if err := p.lock.Write(); err != nil {
		return err
	}
	p.report.Declared = p.known
	if p.known {
		return nil
	}
	return p.declare()
}

// declare adds the plugin's table to the end of the manifest, if that says the same and one thing more.
func (p *adding) declare() error {
	p.report.Manifest = fmt.Sprintf("[plugins.%s]\nwasm = %q\n", p.report.Name, p.report.Path)
	path, err := filepath.EvalSymlinks(p.manifest())
	if err != nil {
		return unwritten(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		return unwritten(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return unwritten(err)
	}
	if len(text) > 0 && text[len(text)-1] != '\n' {
		text = append(text, '\n')
	}
	text = slices.Concat(text, []byte("\n"+p.report.Manifest))
	doc, problems := manifest.Parse(p.doc.Name, text)
	if len(problems.Errors()) > 0 || doc.Manifest.Plugins[p.report.Name].Wasm != p.report.Path || len(doc.Manifest.Plugins) != len(p.doc.Manifest.Plugins)+1 {
		return nil // such as plugins = { … } on one line: the reader is told what to add
	}
	if err := supply.Replace(path, text, info.Mode().Perm()); err != nil {
		return unwritten(err)
	}
	p.report.Declared = true
	return nil
}

func unwritten(err error) error {
	return &flow.Error{Code: flow.CodeInput, Op: "name the plugin in the manifest", Message: "the manifest cannot be written", Hint: "the module is in place and pinned; add its table by hand", Err: err}
}
