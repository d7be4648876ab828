package tool

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"aead.dev/minisign"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/project"
	"github.com/uniflow-dev/uniflow/host/internal/supply"
)

const (
	typeManifest = "application/vnd.oci.image.manifest.v1+json"
	typeIndex    = "application/vnd.oci.image.index.v1+json"
)

// shelf is a registry and a web server in one: it serves what it holds, and lies where a test says so.
type shelf struct {
	*httptest.Server
	blobs     map[string][]byte // by digest
	manifests map[string][]byte // by tag and by digest
	types     map[string]string // of manifests
	files     map[string][]byte // by path
	// meddle answers in the place of the shelf, if it returns true.
	meddle func(w http.ResponseWriter, r *http.Request) bool
}

func newShelf(t *testing.T) *shelf {
	t.Helper()
	s := &shelf{blobs: map[string][]byte{}, manifests: map[string][]byte{}, types: map[string]string{}, files: map[string][]byte{}}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

func (s *shelf) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if s.meddle != nil && s.meddle(w, r) {
		return
	}
	at := strings.TrimPrefix(r.URL.Path, "/v2/acme/clean/")
	ref, isManifest := strings.CutPrefix(at, "manifests/")
	digest, isBlob := strings.CutPrefix(at, "blobs/")
	var body []byte
	switch {
	case isManifest:
		body = s.manifests[ref]
		w.Header().Set("Content-Type", s.types[string(flow.DigestOf(body))])
		w.Header().Set("Docker-Content-Digest", string(flow.DigestOf(body)))
	case isBlob:
		body = s.blobs[digest]
	default:
		body = s.files[r.URL.Path]
	}
	if body == nil {
		http.Error(w, "none", http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	if r.Method != http.MethodHead {
		_, _ = w.Write(body)
	}
}

// oci is the reference of a tag or digest.
func (s *shelf) oci(ref string) string {
	return "oci://" + strings.TrimPrefix(s.URL, "http://") + "/acme/clean" + ref
}

// layer is one of an artifact.
type layer struct {
	MediaType   string            `json:"mediaType"`
	Digest      flow.Digest       `json:"digest"`
	Size        int               `json:"size"`
	Annotations map[string]string `json:"annotations,omitempty"`
	Platform    map[string]string `json:"platform,omitempty"`
}

func (s *shelf) blob(mediaType, title string, b []byte) layer {
	s.blobs[string(flow.DigestOf(b))] = b
	return layer{MediaType: mediaType, Digest: flow.DigestOf(b), Size: len(b), Annotations: map[string]string{"org.opencontainers.image.title": title}}
}

// push puts an artifact of layers under a tag, and returns its descriptor.
func (s *shelf) push(tag string, layers ...layer) layer {
	return s.put(tag, typeManifest, map[string]any{
		"schemaVersion": 2, "mediaType": typeManifest, "config": s.blob("application/vnd.wasm.config.v0+json", "", []byte("{}")), "layers": layers,
	})
}

func (s *shelf) put(tag, mediaType string, doc any) layer {
	b, err := json.Marshal(doc)
	if err != nil {
		panic(err)
	}
	d := string(flow.DigestOf(b))
	s.manifests[tag], s.manifests[d], s.types[d] = b, b, mediaType
	return layer{MediaType: mediaType, Digest: flow.Digest(d), Size: len(b)}
}

// starter begins a project and returns its folder.
func starter(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if _, err := Init(dir); err != nil {
		t.Fatal(err)
	}
	return dir
}

// tree is all that a folder holds.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		body := ""
		if !d.IsDir() {
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			body = string(b)
		}
		all[path] = body
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// smaller is a prebuilt module with fewer imports than the starter's.
func smaller(t *testing.T) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "..", "examples", "weather", "plugins", "summarise.wasm"))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func add(t *testing.T, dir, source string, edit func(*PluginAdding)) (flow.PluginAdded, error) {
	t.Helper()
	a := PluginAdding{Target: Target{Manifest: filepath.Join(dir, ManifestName)}, Source: source, Name: "clean"}
	if edit != nil {
		edit(&a)
	}
	return AddPlugin(t.Context(), a)
}

func TestATagIsResolvedOnceAndTheLockHolds(t *testing.T) {
	t.Parallel()
	s, dir := newShelf(t), starter(t)
	first := s.push("1", s.blob("application/wasm", "clean.wasm", smaller(t)))
	report, err := add(t, dir, s.oci(":1"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if want := s.oci(":1") + "@" + string(first.Digest); report.From != want || !report.Declared || report.Digest != flow.DigestOf(smaller(t)) {
		t.Errorf("got %+v, want it from %s", report, want)
	}
	load := func() error {
		_, err := project.Load(t.Context(), filepath.Join(dir, ManifestName), project.Options{Pinned: true})
		return err
	}
	if err := load(); err != nil {
		t.Errorf("what was added is not served: %v", err)
	}
	lock, err := supply.ReadLock(filepath.Join(dir, supply.LockName))
	if err != nil {
		t.Fatal(err)
	}
	if f, ok := lock.File("plugins/clean.wasm"); !ok || f.From != report.From || lock.Approved("plugins.clean") != nil {
		t.Errorf("pinned as %+v, with grants %v", f, lock.Approved("plugins.clean"))
	}

	// The tag is moved: what is pinned stays what is served, and other bytes are not taken without a word.
	s.push("1", s.blob("application/wasm", "clean.wasm", starterModule))
	before := tree(t, dir)
	if err := load(); err != nil {
		t.Errorf("the tag was moved: %v", err)
	}
	if _, err = add(t, dir, s.oci(":1"), nil); flow.CodeOf(err) != flow.CodeDigest || !strings.Contains(err.Error(), "imports +uniflow.log") {
		t.Errorf("other bytes: got %v, want what they import", err)
	}
	if fmt.Sprint(tree(t, dir)) != fmt.Sprint(before) {
		t.Error("what was refused was written")
	}
	report, err = add(t, dir, s.oci(":1"), func(a *PluginAdding) { a.Accept = true })
	if err != nil || strings.Join(report.Change.Imports.Added, " ") != "uniflow.log" {
		t.Errorf("accepted: got %+v, %v", report, err)
	}
	if err := load(); err != nil {
		t.Error(err)
	}
	// By its digest, the first one is still there; an index leads to it as well.
	for _, ref := range []string{"@" + string(first.Digest), ":index"} {
		first.Platform = map[string]string{"os": "wasip1", "architecture": "wasm"}
		s.put("index", typeIndex, map[string]any{"schemaVersion": 2, "mediaType": typeIndex, "manifests": []layer{{MediaType: typeManifest, Digest: flow.DigestOf(nil), Platform: map[string]string{"os": "linux", "architecture": "amd64"}}, first}})
		if report, err := add(t, dir, s.oci(ref), func(a *PluginAdding) { a.Accept = true }); err != nil || report.Digest != flow.DigestOf(smaller(t)) {
			t.Errorf("%s: got %+v, %v", ref, report, err)
		}
	}
}

// swapped is a registry whose tag is moved, or whose answers are others, after it was asked what the tag is.
func swapped(s *shelf, lie bool) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodHead {
			return false
		}
		other := s.push("1", s.blob("application/wasm", "clean.wasm", starterModule))
		if lie && strings.Contains(r.URL.Path, "/manifests/") {
			w.Header().Set("Content-Type", typeManifest)
			_, _ = w.Write(s.manifests[string(other.Digest)])
		}
		return lie && strings.Contains(r.URL.Path, "/manifests/")
	}
}

func TestASwappedTagIsSeen(t *testing.T) {
	t.Parallel()
	for _, lie := range []bool{false, true} {
		s, dir := newShelf(t), starter(t)
		s.push("1", s.blob("application/wasm", "clean.wasm", smaller(t)))
		s.meddle = swapped(s, lie)
		before := tree(t, dir)
		report, err := add(t, dir, s.oci(":1"), nil)
		if !lie && (err != nil || report.Digest != flow.DigestOf(smaller(t))) {
			t.Errorf("the tag was moved since: got %+v, %v", report, err)
		}
		if lie && (flow.CodeOf(err) != flow.CodeDownload || fmt.Sprint(tree(t, dir)) != fmt.Sprint(before)) {
			t.Errorf("the registry gives another manifest than it was asked for: got %+v, %v", report, err)
		}
	}
}

// cut sends the length of all, and then a part.
func cut(b []byte) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.Contains(r.URL.Path, "/blobs/") && !strings.HasPrefix(r.URL.Path, "/files/") {
			return false
		}
		w.Header().Set("Content-Length", strconv.Itoa(len(b)))
		_, _ = w.Write(b[:len(b)/2])
		return true
	}
}

func flipped(b []byte) []byte {
	c := bytes.Clone(b)
	c[len(c)/2] ^= 1
	return c
}

func TestWhatIsNotWhatItShouldBeIsRefusedBeforeItIsWritten(t *testing.T) {
	t.Parallel()
	public, private, err := minisign.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	_, stranger, err := minisign.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	good := smaller(t)
	signed := func(a *PluginAdding) { a.Keys = []string{public.String()} }
	pinned := func(a *PluginAdding) { a.Digest = flow.DigestOf(good) }
	for name, c := range map[string]struct {
		make func(s *shelf) string // what the shelf holds; the source
		edit func(*PluginAdding)
		want flow.Code
	}{
		"one bit of a blob": {func(s *shelf) string {
			l := s.blob("application/wasm", "", good)
			s.blobs[string(l.Digest)] = flipped(good)
			s.push("1", l)
			return s.oci(":1")
		}, nil, flow.CodeDownload},
		"one bit of a manifest": {func(s *shelf) string {
			d := s.push("1", s.blob("application/wasm", "", good))
			s.manifests[string(d.Digest)] = flipped(s.manifests[string(d.Digest)])
			return s.oci("@" + string(d.Digest))
		}, nil, flow.CodeDownload},
		"a short blob": {func(s *shelf) string {
			l := s.blob("application/wasm", "", good)
			s.blobs[string(l.Digest)] = good[:len(good)-1]
			s.push("1", l)
			return s.oci(":1")
		}, nil, flow.CodeDownload},
		"a blob that is cut off": {func(s *shelf) string {
			s.push("1", s.blob("application/wasm", "", good))
			s.meddle = cut(good)
			return s.oci(":1")
		}, nil, flow.CodeDownload},
		"a giant layer": {func(s *shelf) string {
			l := s.blob("application/wasm", "", good)
			l.Size = 65 << 20
			s.push("1", l)
			return s.oci(":1")
		}, nil, flow.CodeDownload},
		"two modules": {func(s *shelf) string {
			s.push("1", s.blob("application/wasm", "", good), s.blob("application/wasm", "", starterModule))
			return s.oci(":1")
		}, nil, flow.CodeDownload},
		"no tag":          {func(s *shelf) string { return s.oci("") }, nil, flow.CodeDownload},
		"no such tag":     {func(s *shelf) string { return s.oci(":9") }, nil, flow.CodeDownload},
		"another machine": {func(*shelf) string { return "http://plain.example/clean.wasm" }, nil, flow.CodeDownload},
		"a file elsewhere": {func(s *shelf) string {
			s.meddle = func(w http.ResponseWriter, r *http.Request) bool {
				http.Redirect(w, r, strings.Replace(s.URL, "127.0.0.1", "localhost", 1)+"/files/clean.wasm", http.StatusFound)
				return true
			}
			return s.URL + "/clean.wasm"
		}, nil, flow.CodeDownload},
		"one bit of a file": {func(s *shelf) string {
			s.files["/files/clean.wasm"] = flipped(good)
			return s.URL + "/files/clean.wasm"
		}, pinned, flow.CodeDigest},
		"a file that is cut off": {func(s *shelf) string { s.meddle = cut(good); return s.URL + "/files/clean.wasm" }, nil, flow.CodeDownload},
		"a giant file": {func(s *shelf) string {
			s.meddle = func(w http.ResponseWriter, _ *http.Request) bool {
				w.Header().Set("Content-Length", strconv.Itoa(1<<40))
				return true
			}
			return s.URL + "/files/clean.wasm"
		}, nil, flow.CodeDownload},
		"an error": {func(s *shelf) string {
			s.meddle = func(w http.ResponseWriter, _ *http.Request) bool {
				w.WriteHeader(http.StatusInternalServerError)
				return true
			}
			return s.URL + "/x"
		}, nil, flow.CodeDownload},
		"no module": {func(s *shelf) string {
			s.files["/files/clean.wasm"] = []byte("<html>")
			return s.URL + "/files/clean.wasm"
		}, nil, flow.CodeNotWasm},
		"no signature": {func(s *shelf) string { s.files["/files/clean.wasm"] = good; return s.URL + "/files/clean.wasm" }, signed, flow.CodeSignature},
		"a wrong key": {func(s *shelf) string {
			s.files["/files/clean.wasm"], s.files["/files/clean.wasm.minisig"] = good, minisign.Sign(stranger, good)
			return s.URL + "/files/clean.wasm"
		}, signed, flow.CodeSignature},
		"one bit of what was signed": {func(s *shelf) string {
			s.files["/files/clean.wasm"], s.files["/files/clean.wasm.minisig"] = flipped(good), minisign.Sign(private, good)
			return s.URL + "/files/clean.wasm"
		}, signed, flow.CodeSignature},
		"another trusted comment": {func(s *shelf) string {
			text := minisign.SignWithComments(private, good, "version 1", "x")
			s.files["/files/clean.wasm"], s.files["/files/clean.wasm.minisig"] = good, bytes.Replace(text, []byte("version 1"), []byte("version 2"), 1)
			return s.URL + "/files/clean.wasm"
		}, signed, flow.CodeSignature},
		"an artifact without a signature": {func(s *shelf) string { s.push("1", s.blob("application/wasm", "", good)); return s.oci(":1") }, signed, flow.CodeSignature},
		"an artifact with the signature of another": {func(s *shelf) string {
			s.push("1", s.blob("application/wasm", "", good), s.blob("text/plain", "clean.wasm.minisig", minisign.Sign(private, starterModule)))
			return s.oci(":1")
		}, signed, flow.CodeSignature},
		"no name":         {func(s *shelf) string { s.files["/files/A B.wasm"] = good; return s.URL + "/files/A%20B.wasm" }, func(a *PluginAdding) { a.Name = "" }, flow.CodeInput},
		"another's place": {func(s *shelf) string { s.files["/files/clean.wasm"] = good; return s.URL + "/files/clean.wasm" }, func(a *PluginAdding) { a.Name = "hello" }, flow.CodeDigest},
	} {
		s, dir := newShelf(t), starter(t)
		source := c.make(s)
		before := tree(t, dir)
		if report, err := add(t, dir, source, c.edit); flow.CodeOf(err) != c.want {
			t.Errorf("%s: got %+v, %v, want code %s", name, report, err, c.want)
		}
		if fmt.Sprint(tree(t, dir)) != fmt.Sprint(before) {
			t.Errorf("%s: something was written", name)
		}
	}
}

func TestASignedModuleIsAddedWithItsSigner(t *testing.T) {
	t.Parallel()
	public, private, err := minisign.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s, dir := newShelf(t), starter(t)
	good := smaller(t)
	hashed := minisign.NewReader(bytes.NewReader(good))
	if _, err := (&bytes.Buffer{}).ReadFrom(hashed); err != nil {
		t.Fatal(err)
	}
	s.push("1", s.blob("application/wasm", "", good), s.blob("text/plain", "clean.wasm.minisig", hashed.Sign(private)))
	report, err := add(t, dir, s.oci(":1"), func(a *PluginAdding) { a.Keys = []string{public.String()} })
	if err != nil || report.Signer != public.String() {
		t.Fatalf("got %+v, %v", report, err)
	}
	// From now on the manifest asks for it, and the file beside the module shows it.
	path := filepath.Join(dir, ManifestName)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	signHello(t, dir, private)
	if err := os.WriteFile(path, append(text, []byte("\n[host]\nkeys = [\""+public.String()+"\"]\n")...), 0o600); err != nil {
		t.Fatal(err)
	}
	p, err := project.Load(t.Context(), path, project.Options{Pinned: true})
	if err != nil || p.Resolved["plugins/clean.wasm"].Signer != public.String() {
		t.Errorf("got %+v, %v", p, err)
	}
}

// signHello signs the starter's module in the older form.
func signHello(t *testing.T, dir string, key minisign.PrivateKey) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, "plugins", "hello.wasm.minisig"), minisign.Sign(key, starterModule), 0o600); err != nil {
		t.Fatal(err)
	}
}
