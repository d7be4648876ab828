package secret

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"filippo.io/age"
	"filippo.io/age/armor"

	"github.com/uniflow-dev/uniflow/host/flow"
)

const ageCanary = "cAnary-of-the-age-file"

// sealed encrypts a text for recipients.
func sealed(t *testing.T, armored bool, text string, recipients ...age.Recipient) string {
	t.Helper()
	var out bytes.Buffer
	var to io.WriteCloser = nopCloser{&out}
	if armored {
		to = armor.NewWriter(&out)
	}
	w, err := age.Encrypt(to, recipients...)
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.WriteString(w, text)
	if err = errors.Join(err, w.Close(), to.Close()); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }

func newIdentity(t *testing.T) *age.X25519Identity {
	t.Helper()
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// Promise: an age file is read with the identity that is named in the source, in the environment, or among the credentials
// of the service, in this order; both its forms and both kinds of identities serve.
func TestAgeFileIsReadWithTheIdentityOfTheHost(t *testing.T) {
	dir, creds := t.TempDir(), t.TempDir()
	classic := newIdentity(t)
	hybrid, err := age.GenerateHybridIdentity()
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "classic.key"), "# created: today\n# public key: "+classic.Recipient().String()+"\n"+classic.String()+"\n")
	write(t, filepath.Join(creds, "age-identity"), hybrid.String()+"\n")
	write(t, filepath.Join(dir, "classic.age"), sealed(t, false, "# all\nTOKEN = "+ageCanary+"\n", classic.Recipient()))
	write(t, filepath.Join(dir, "hybrid.age"), sealed(t, true, "TOKEN=old\nTOKEN="+ageCanary+"\n", hybrid.Recipient()))
	write(t, filepath.Join(creds, "plain.env"), "TOKEN="+ageCanary)
	t.Setenv("CREDENTIALS_DIRECTORY", creds)
	reads := func(text string) {
		t.Helper()
		s, err := Open(text, dir)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := s.Read("TOKEN"); got != ageCanary || err != nil {
			t.Errorf("%s: got %q, %v", text, got, err)
		}
	}
	reads("age:hybrid.age")
	reads("age:classic.age?identity=classic.key")
	reads("age:hybrid.age?identity=$CREDENTIALS_DIRECTORY/age-identity")
	reads("file:$CREDENTIALS_DIRECTORY/plain.env")
	t.Setenv("UNIFLOW_AGE_IDENTITY", filepath.Join(dir, "classic.key"))
	reads("age:classic.age")
}

// Promise: whatever is wrong with an age file or an identity is told without a byte of either, and costs nothing: not the
// work that a passphrase asks for, nor that of a hundred readers.
func TestAgeFileThatCannotBeReadTellsNothing(t *testing.T) {
	t.Setenv("UNIFLOW_AGE_IDENTITY", "")
	t.Setenv("CREDENTIALS_DIRECTORY", "")
	dir := t.TempDir()
	id, other := newIdentity(t), newIdentity(t)
	good := sealed(t, false, "TOKEN="+ageCanary+"\n", id.Recipient())
	pass, err := age.NewScryptRecipient(ageCanary)
	if err != nil {
		t.Fatal(err)
	}
	pass.SetWorkFactor(1)
	behind := strings.Replace(sealed(t, false, "TOKEN=x", pass), " 1\n", " 30\n", 1) // would take a gigabyte of memory
	many := make([]age.Recipient, 100)
	for i := range many {
		many[i] = other.Recipient()
	}
	files := map[string]string{
		"id": id.String(), "other": other.String(), "mangled": id.String()[:40] + ageCanary, "crowd": strings.Repeat(id.String()+"\n", mostTried+1),
		"good": good, "plain": "TOKEN=" + ageCanary + "\n", "cut": good[:len(good)-3], "armorless": armor.Header + "\n" + ageCanary, "pass": behind,
		"many": sealed(t, false, "TOKEN=x", many...), "huge": good + strings.Repeat("x", maxAge),
		"long": sealed(t, false, strings.Repeat("# none\n", maxFile/6), id.Recipient()),
	}
	for name, content := range files {
		write(t, filepath.Join(dir, name), content)
	}
	for _, c := range []struct{ source, want string }{
		{"good", "there is no identity to decrypt good with"},
		{"good?identity=nowhere", "nowhere cannot be opened"},
		{"good?identity=other", "good is not encrypted for the identity of the host"},
		{"good?identity=mangled", "mangled is no file of age identities"},
		{"good?identity=plain", "plain is no file of age identities"},
		{"good?identity=crowd", "crowd has more than 32 identities"},
		{"nowhere?identity=id", "nowhere cannot be opened"},
		{"plain?identity=id", "plain is no age file, or is damaged"},
		{"armorless?identity=id", "armorless is no age file, or is damaged"},
		{"cut?identity=id", "cut is damaged"},
		{"pass?identity=id", "pass is encrypted with a passphrase"},
		{"many?identity=id", "many is encrypted for more than 32 readers"},
		{"huge?identity=id", "huge cannot be read, or has more than 2097152 bytes"},
		{"long?identity=id", "what long holds has more than 1048576 bytes"},
		{"good?identity=id", "good has no line MISSING=…"},
	} {
		s, err := Open("age:"+c.source, dir)
		if err != nil {
			t.Fatal(err)
		}
		value, err := s.Read("MISSING")
		said := fmt.Sprintf("%v %+v", err, err)
		if value != "" || flow.CodeOf(err) != flow.CodeSecret || !strings.Contains(said, c.want) || strings.Contains(said, ageCanary) || strings.Contains(said, id.String()[20:30]) {
			t.Errorf("%s: got %q, %v", c.source, value, err)
		}
	}
}

// Promise: a new secret holds from its next use on, in every source but the environment, which a process cannot be given
// anew.
func TestSecretIsRotatedInEverySource(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	id, next := newIdentity(t), newIdentity(t)
	write(t, filepath.Join(dir, "key"), id.String())
	put := map[string]func(value string){
		"file:all.env": func(value string) { replace(t, filepath.Join(dir, "all.env"), "TOKEN="+value) },
		"age:all.age?identity=key": func(value string) {
			replace(t, filepath.Join(dir, "all.age"), sealed(t, false, "TOKEN="+value, id.Recipient()))
		},
		"age:two.age?identity=second": func(value string) { // with an identity that is new, too
			id := map[bool]*age.X25519Identity{true: id, false: next}[value == "value-0"]
			replace(t, filepath.Join(dir, "second"), id.String())
			replace(t, filepath.Join(dir, "two.age"), sealed(t, true, "TOKEN="+value, id.Recipient()))
		},
		// As Kubernetes does: files are links through ..data, which is swapped.
		"dir:mounted": func(value string) { mounted(t, filepath.Join(dir, "mounted"), value) },
	}
	for text, put := range put {
		s, err := Open(text, dir)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 3 { // values of one length: neither size nor a coarse clock tells them apart
			want := fmt.Sprintf("value-%d", i)
			put(want)
			if got, err := s.Read("TOKEN"); got != want || err != nil {
				t.Errorf("%s: got %q, want %q, %v", text, got, want, err)
			}
		}
	}
}

// replace writes a file as an editor of secrets should: beside, and renamed into place.
func replace(t *testing.T, path, content string) {
	t.Helper()
	write(t, path+".new", content)
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

func mounted(t *testing.T, dir, value string) {
	t.Helper()
	version := "..2026_" + value
	write(t, filepath.Join(dir, version, "TOKEN"), value)
	err := errors.Join(os.Symlink(version, filepath.Join(dir, "..data_tmp")), os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")))
	if linked := os.Symlink(filepath.Join("..data", "TOKEN"), filepath.Join(dir, "TOKEN")); !errors.Is(linked, os.ErrExist) {
		err = errors.Join(err, linked)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// Promise: a tenant has the secrets that its own table names, and none of the host's.
func TestTenantHasItsOwnSecretsAlone(t *testing.T) {
	t.Setenv("TOKEN", "of the host")
	dir := t.TempDir()
	write(t, filepath.Join(dir, "acme", "TOKEN"), "of acme")
	for text, want := range map[string]string{"dir:{tenant}": "of acme", "dir:other": "", "": ""} {
		s, err := OpenTenant(text, dir, "acme")
		if err != nil {
			t.Fatal(err)
		}
		got, err := s.Read("TOKEN")
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q: got %q, %v", text, got, err)
		}
		if text == "" && !strings.Contains(hint(err), "under [tenants.acme]") {
			t.Errorf("without a source: %v", err)
		}
	}
}

func BenchmarkAge(b *testing.B) {
	dir := b.TempDir()
	id, _ := age.GenerateX25519Identity()
	var out bytes.Buffer
	w, _ := age.Encrypt(&out, id.Recipient())
	_, _ = io.WriteString(w, strings.Repeat("NAME=value\n", 50)+"TOKEN=x\n")
	if err := errors.Join(w.Close(), os.WriteFile(filepath.Join(dir, "a"), out.Bytes(), 0o600), os.WriteFile(filepath.Join(dir, "id"), []byte(id.String()), 0o600)); err != nil {
		b.Fatal(err)
	}
	s, _ := Open("age:a?identity=id", dir)
	for b.Loop() {
		if _, err := s.Read("TOKEN"); err != nil {
			b.Fatal(err)
		}
	}
}

func hint(err error) string {
	if e, ok := errors.AsType[*flow.Error](err); ok {
		return e.Hint
	}
	return ""
}
