package supply

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/uniflow-dev/uniflow/host/flow"
)

func readLock(t *testing.T, path string) *Lock {
	t.Helper()
	lock, err := ReadLock(path)
	if err != nil {
		t.Fatal(err)
	}
	return lock
}

// full is a lock with all that one can say.
func full(t *testing.T, path string) *Lock {
	t.Helper()
	lock := readLock(t, path)
	lock.Pin("p/a.wasm", Pinned{
		Digest: flow.DigestOf([]byte("1")), From: "oci://example.com/a:1@sha256:x", ABI: "command", Imports: []string{"a.b", "a.c"},
		Wants: flow.Wants{HTTP: []string{"GET https://example.com/<x>&"}, State: true}, Signer: "RW",
	})
	lock.Approve("plugins.a", []string{"clock", "http GET https://example.com/*"})
	if err := lock.Write(); err != nil {
		t.Fatal(err)
	}
	return lock
}

func TestLockPinsAndChecks(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "new", LockName)
	lock := full(t, path)
	a, _ := lock.File("p/a.wasm")
	if lock.Pin("p/a.wasm", Pinned{Digest: a.Digest, ABI: a.ABI, Imports: a.Imports, Wants: a.Wants}) {
		t.Error("the same file is pinned as a change: what is known of its origin is lost")
	}
	lock.Pin("p/gone.wasm", Pinned{Digest: a.Digest, ABI: "command"})
	lock.Approve("plugins.gone", []string{"state"})
	if !lock.Retain([]string{"p/a.wasm"}, []string{"plugins.a"}) || lock.Retain([]string{"p/a.wasm"}, []string{"plugins.a"}) {
		t.Error("Retain does not tell a change from none")
	}
	again := readLock(t, path)
	if got, ok := again.File("p/a.wasm"); !ok || got.From != a.From || got.Signer != "RW" || len(again.Approved("plugins.a")) != 2 {
		t.Errorf("got %+v, %v", got, again.Approved("plugins.a"))
	}
	change := func(edit func(*Pinned)) Pinned {
		f := a
		edit(&f)
		return f
	}
	for name, c := range map[string]struct {
		found Pinned
		want  flow.Code
	}{
		"the same":       {a, ""},
		"other bytes":    {change(func(f *Pinned) { f.Digest = flow.DigestOf([]byte("2")) }), flow.CodeDigest},
		"one more":       {change(func(f *Pinned) { f.Imports = []string{"a.b", "a.c", "a.d"} }), flow.CodeNotApproved},
		"one less":       {change(func(f *Pinned) { f.Imports = []string{"a.b"} }), flow.CodeNotApproved},
		"another ABI":    {change(func(f *Pinned) { f.ABI = "extism" }), flow.CodeNotApproved},
		"wants more":     {change(func(f *Pinned) { f.Wants.Clock = true }), flow.CodeNotApproved},
		"another signer": {change(func(f *Pinned) { f.Signer = "RX" }), flow.CodeNotApproved},
	} {
		if err := again.Check("p/a.wasm", c.found); flow.CodeOf(err) != c.want {
			t.Errorf("%s: got %v, want code %q", name, err, c.want)
		}
	}
	if err := again.Check("p/gone.wasm", a); flow.CodeOf(err) != flow.CodeNotLocked {
		t.Errorf("not pinned: got %v", err)
	}
	grown := change(func(f *Pinned) { f.Digest, f.Imports = flow.DigestOf(nil), []string{"a.b", "uniflow.call"} })
	if err := again.Check("p/a.wasm", grown); err == nil || !strings.Contains(err.Error(), "imports +uniflow.call, imports -a.c") {
		t.Errorf("the refusal of other bytes does not say what they import: %v", err)
	}
}

func TestLockRefusesWhatIsNotALock(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), LockName)
	full(t, path)
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	edit := func(from, to string) string {
		if !strings.Contains(string(good), from) {
			t.Fatalf("the lock has no %s:\n%s", from, good)
		}
		return strings.Replace(string(good), from, to, 1)
	}
	hex := flow.DigestOf(nil).Hex()
	for name, text := range map[string]string{
		"unknown key": edit(`"abi":`, `"run": true, "abi":`), "twice": edit(`"abi":`, `"digest": "`+string(flow.DigestOf(nil))+`", "abi":`), "other case": edit(`"digest"`, `"Digest"`),
		"file twice":   edit(`"p/a.wasm"`, `"p/a.wasm": {"digest": "`+string(flow.DigestOf(nil))+`", "abi": "command"}, "p/a.wasm"`),
		"grants twice": edit(`"grants": {`, `"grants": {}, "grants": {`), "short digest": edit(`"sha256:`, `"sha256:0`), "no abi": edit(`"command"`, `""`),
		"newer": edit(`"version": 1`, `"version": 2`), "none": edit(`"version": 1,`, ""), "two": string(good) + "{}", "cut off": string(good[:len(good)/2]), "null": edit(`"grants": {`, `"grants": null, "x": {`),
		"deep": strings.Repeat(`{"a":`, 100_000), "old, short": hex[1:] + "  a.wasm\n", "old, upper case": strings.ToUpper(hex) + "  a.wasm\n", "old, twice": hex + "  a\n" + hex + "  a\n", "garbage": "\x00\xff",
	} {
		path := filepath.Join(t.TempDir(), LockName)
		write(t, path, text)
		if lock, err := ReadLock(path); flow.CodeOf(err) != flow.CodeLock {
			t.Errorf("%s: got %+v, %v, want code %s", name, lock, err, flow.CodeLock)
		}
	}
	write(t, path, strings.ReplaceAll(string(good), "\n", "\r\n"))
	readLock(t, path) // blanks and line ends are an editor's business
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, LockName), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadLock(filepath.Join(dir, LockName)); flow.CodeOf(err) != flow.CodeLock {
		t.Errorf("a folder: got %v, want code %s", err, flow.CodeLock)
	}
	outside := filepath.Join(t.TempDir(), "lock")
	write(t, outside, string(good))
	link := filepath.Join(t.TempDir(), LockName)
	if err := os.Symlink(outside, link); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadLock(link); flow.CodeOf(err) != flow.CodeLock {
		t.Errorf("a link that leads out of the folder: got %v, want code %s", err, flow.CodeLock)
	}
}

func TestLockOfTheOlderFormKeepsItsDigests(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), LockName)
	d := flow.DigestOf([]byte("1"))
	write(t, path, "# Digests\n"+d.Hex()+"  a.wasm\n")
	lock := readLock(t, path)
	if !lock.Old() {
		t.Error("it is not told from the present form")
	}
	for want, digest := range map[flow.Code]flow.Digest{"": d, flow.CodeDigest: flow.DigestOf(nil)} {
		if err := lock.Check("a.wasm", Pinned{Digest: digest, ABI: "command"}); flow.CodeOf(err) != want {
			t.Errorf("got %v, want code %q", err, want)
		}
	}
}

func FuzzLock(f *testing.F) {
	f.Add([]byte(`{"version":1,"files":{"a":{"digest":"` + string(flow.DigestOf(nil)) + `","abi":"command"}},"grants":{"plugins.a":["state"]}}`))
	f.Add([]byte(flow.DigestOf(nil).Hex() + "  a.wasm\n"))
	f.Fuzz(func(t *testing.T, src []byte) {
		lock := &Lock{path: LockName, doc: emptyLock()}
		if lock.parse(src) != nil {
			return
		}
		again := &Lock{path: LockName, doc: emptyLock()}
		if lock.old {
			return
		}
		if err := again.parse(encode(lock.doc, "  ")); err != nil || !bytes.Equal(encode(again.doc, ""), encode(lock.doc, "")) {
			t.Errorf("what was read is not what is written: %v", err)
		}
	})
}
