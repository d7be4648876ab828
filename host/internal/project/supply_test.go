package project_test

import (
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"aead.dev/minisign"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/project"
)

const granted = `version = 1
[plugins.clean]
wasm = "echo.wasm"
[plugins.clean.grant]
http = ["https://api.example.com/v1/*"]
[pipelines.p]
plugin = "clean"
`

func rewrite(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestGrantsBeyondTheApprovedOnesAreNotServed(t *testing.T) {
	t.Parallel()
	path := folder(t, map[string]string{"echo.wasm": module(t), "uniflow.toml": granted})
	lock := filepath.Join(filepath.Dir(path), "uniflow.lock")
	load := func(o project.Options) (*project.Project, error) { return project.Load(t.Context(), path, o) }
	p, err := load(project.Options{Build: true})
	if err != nil || len(p.Changes) != 1 || len(p.Changes[0].Grants.Added) != 1 {
		t.Fatalf("got %+v, %v", p, err)
	}
	if p, err := load(project.Options{Pinned: true}); err != nil || len(p.Plans[0].Plugins["clean"].Imports) == 0 {
		t.Fatalf("as approved: got %+v, %v", p, err)
	}
	before, err := os.ReadFile(lock)
	if err != nil {
		t.Fatal(err)
	}

	// Less is fine; more is named, each excess at its line.
	rewrite(t, path, strings.Replace(granted, "/v1/*", "/v1/x", 1))
	if _, err := load(project.Options{Pinned: true}); err != nil {
		t.Errorf("less than was approved: got %v", err)
	}
	wider := strings.Replace(granted, `["https://api.example.com/v1/*"]`, `["https://api.example.com/v1/*", "POST https://evil.example/*"]`+"\nstate = true", 1)
	rewrite(t, path, wider)
	_, err = load(project.Options{Pinned: true})
	problems, _ := errors.AsType[flow.Problems](err)
	if len(problems) != 2 || problems[0].Line != 5 || problems[1].Line != 6 || problems[0].Code != flow.CodeNotApproved || !strings.Contains(problems[0].Message, "POST https://evil.example/*") {
		t.Errorf("more than was approved: got %v", err)
	}
	if p, err := load(project.Options{}); err != nil || len(p.Warnings) != 2 {
		t.Errorf("only looked at: got %+v, %v", p, err)
	}
	if after, _ := os.ReadFile(lock); string(after) != string(before) {
		t.Errorf("who serves or looks wrote the lock:\n%s", after)
	}
	if _, err := load(project.Options{Build: true}); err != nil {
		t.Error(err)
	}
	if _, err := load(project.Options{Pinned: true}); err != nil {
		t.Errorf("approved since: got %v", err)
	}

	// A lock in which somebody changed the digest alone does not hide what the module has come to import.
	edited, err := os.ReadFile(lock)
	if err != nil {
		t.Fatal(err)
	}
	first := strings.Index(string(edited), "\"imports\": [") + len("\"imports\": [\n")
	_, rest, _ := strings.Cut(string(edited[first:]), "\n")
	rewrite(t, lock, string(edited[:first])+rest)
	for _, o := range []project.Options{{}, {Pinned: true}, {Build: true}} {
		if _, err := load(o); flow.CodeOf(err) != flow.CodeNotApproved {
			t.Errorf("an import that was not approved, %+v: got %v", o, err)
		}
	}
}

func TestLockOfTheOlderFormIsBuiltAnew(t *testing.T) {
	t.Parallel()
	path := folder(t, map[string]string{"echo.wasm": module(t), "uniflow.toml": granted, "uniflow.lock": flow.DigestOf([]byte(module(t))).Hex() + "  echo.wasm\n"})
	if _, err := project.Load(t.Context(), path, project.Options{Pinned: true}); flow.CodeOf(err) != flow.CodeLock {
		t.Errorf("served: got %v", err)
	}
	if _, err := project.Load(t.Context(), path, project.Options{Build: true}); err != nil {
		t.Fatal(err)
	}
	if _, err := project.Load(t.Context(), path, project.Options{Pinned: true}); err != nil {
		t.Errorf("built anew: got %v", err)
	}
}

func TestKeysOfTheManifestAskForSignatures(t *testing.T) {
	t.Parallel()
	public, private, err := minisign.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	other, otherPrivate, err := minisign.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signed := "version = 1\n[host]\nkeys = [\"" + public.String() + "\"]\n[pipelines.p]\nwasm = \"echo.wasm\"\n"
	path := folder(t, map[string]string{"echo.wasm": module(t), "uniflow.toml": signed})
	signature := filepath.Join(filepath.Dir(path), "echo.wasm.minisig")
	load := func(o project.Options) (*project.Project, error) { return project.Load(t.Context(), path, o) }
	for name, text := range map[string][]byte{"none": nil, "another key": minisign.Sign(otherPrivate, []byte(module(t))), "other bytes": minisign.Sign(private, []byte("x")), "no signature": []byte("x")} {
		if text != nil {
			rewrite(t, signature, string(text))
		}
		if _, err := load(project.Options{Build: true}); flow.CodeOf(err) != flow.CodeSignature {
			t.Errorf("%s: got %v", name, err)
		}
	}
	rewrite(t, signature, string(minisign.Sign(private, []byte(module(t)))))
	if _, err := load(project.Options{Build: true}); err != nil {
		t.Fatal(err)
	}
	p, err := load(project.Options{Pinned: true})
	if err != nil || p.Plans[0].Plugins["echo.wasm"].Signer != public.String() {
		t.Fatalf("got %+v, %v", p, err)
	}

	// Another trusted key may not take over what one has signed, unless that is accepted; the keys of options win.
	rewrite(t, signature, string(minisign.Sign(otherPrivate, []byte(module(t)))))
	both := []string{public.String(), other.String()}
	if _, err := load(project.Options{Pinned: true, Keys: both}); flow.CodeOf(err) != flow.CodeNotApproved {
		t.Errorf("another signer: got %v", err)
	}
	if _, err := load(project.Options{Build: true, Accept: true, Keys: both}); err != nil {
		t.Error(err)
	}
	if _, err := load(project.Options{Pinned: true, Keys: both}); err != nil {
		t.Errorf("another signer, accepted: got %v", err)
	}
	rewrite(t, path, strings.Replace(signed, public.String(), "RWno", 1))
	if _, err := load(project.Options{}); flow.CodeOf(err) != flow.CodeSignature || !strings.Contains(err.Error(), ":3:") {
		t.Errorf("a key that is none: got %v", err)
	}
}

// Promise: a tenant's lock stands beside its manifest and binds as the operator's does; keys of the tenant are the
// operator's to say; and what is refused of one tenant is no matter of the host or of another.
func TestATenantLoadsWhatItsLockAndItsKeysAllow(t *testing.T) {
	t.Parallel()
	public, private, err := minisign.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	echo := module(t)
	files := map[string]string{"uniflow.toml": "version = 1\n[tenants.keyed]\nmanifest = \"keyed/uniflow.toml\"\nkeys = [\"" + public.String() + "\"]\n[tenants.x]\nmanifest = \"*/uniflow.toml\"\n[tenants.x.ceiling]\nstate = true\n"}
	for _, name := range []string{"keyed", "good", "bit", "grown", "bare"} {
		files[name+"/uniflow.toml"], files[name+"/echo.wasm"] = onePipeline, echo
	}
	path := tree(t, files)
	at := func(name string) string { return filepath.Join(filepath.Dir(path), filepath.FromSlash(name)) }
	for _, name := range []string{"keyed", "good", "bit", "grown"} {
		if _, err := project.Load(t.Context(), at(name+"/uniflow.toml"), project.Options{Build: true}); err != nil {
			t.Fatal(err)
		}
	}
	one := []byte(echo)
	one[len(one)-1] ^= 1
	rewrite(t, at("bit/echo.wasm"), string(one))
	rewrite(t, at("grown/uniflow.toml"), onePipeline+"[pipelines.p.grant]\nstate = true\n")
	lock, err := os.ReadFile(at("grown/uniflow.lock"))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]flow.Code{"keyed": flow.CodeSignature, "good": "", "bit": flow.CodeDigest, "grown": flow.CodeNotApproved, "bare": flow.CodeNotLocked}
	check := func(o project.Options) {
		t.Helper()
		p, err := project.Load(t.Context(), path, o)
		if err != nil {
			t.Fatal(err)
		}
		for name, code := range want {
			tenant := p.Tenant(name)
			if got := flow.CodeOf(tenant.Refused); len(tenant.Refused) == 0 && code != "" || len(tenant.Refused) > 0 && got != code {
				t.Errorf("%s: got %v, want code %q", name, tenant.Refused, code)
			}
		}
	}
	check(project.Options{Pinned: true})
	check(project.Options{Build: true, Accept: true})
	if after, err := os.ReadFile(at("grown/uniflow.lock")); err != nil || string(after) != string(lock) {
		t.Errorf("the operator's build wrote the lock of a tenant: %v", err)
	}
	rewrite(t, at("keyed/echo.wasm.minisig"), string(minisign.Sign(private, []byte(echo))))
	want["keyed"] = ""
	check(project.Options{Pinned: true})
}
