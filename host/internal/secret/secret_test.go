package secret

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// Promise: a secret is read where the operator says, at the moment at which it is needed, and nowhere else.
func TestSecretsAreReadFromEverySource(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("UF_TEST_TOKEN", "from env")
	write(t, filepath.Join(dir, "secrets", "TOKEN"), "from dir\n")
	write(t, filepath.Join(dir, "all.env"), "# comment\nTOKEN=old\nOTHER = two words \r\nTOKEN=from file=x\n")
	for text, want := range map[string]string{
		"env:UF_TEST_": "from env", "dir:secrets": "from dir", "file:all.env": "from file=x",
		"dir:" + filepath.Join(dir, "secrets"): "from dir", "file:" + filepath.Join(dir, "all.env"): "from file=x",
	} {
		s, err := Open(text, dir)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := s.Read("TOKEN"); got != want || err != nil {
			t.Errorf("%s: got %q, %v", text, got, err)
		}
	}
	s, err := Open("file:all.env", dir)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := s.Read("OTHER"); got != "two words" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	write(t, filepath.Join(dir, "all.env"), "TOKEN=new\n")
	if got, err := s.Read("TOKEN"); got != "new" || err != nil {
		t.Errorf("after a change: got %q, %v", got, err)
	}
}

func TestWhatIsNoSecretIsRefusedWithItsPlace(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "secrets", "EMPTY"), "\n")
	write(t, filepath.Join(dir, "secrets", "LONG"), strings.Repeat("long", maxSecret))
	write(t, filepath.Join(dir, "outside"), "outside")
	write(t, filepath.Join(dir, "all.env"), "OTHER=1\n#TOKEN=2\n")
	if err := errors.Join(os.Symlink("../outside", filepath.Join(dir, "secrets", "LINK")), os.Mkdir(filepath.Join(dir, "secrets", "FOLDER"), 0o700)); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ source, name, want string }{
		{"", "TOKEN", "names no source of secrets"},
		{"env:UF_NOTHING_", "TOKEN", "no variable UF_NOTHING_TOKEN"},
		{"dir:secrets", "TOKEN", "there is no such file in"},
		{"dir:secrets", "EMPTY", "it is empty"},
		{"dir:secrets", "LONG", "more than 65536 bytes"},
		{"dir:secrets", "LINK", "cannot be opened"},
		{"dir:secrets", "FOLDER", "is no file"},
		{"dir:secrets", "../outside", "no name of a secret"},
		{"dir:nowhere", "TOKEN", "cannot be opened"},
		{"file:all.env", "TOKEN", "has no line TOKEN=…"},
		{"file:nowhere", "TOKEN", "cannot be opened"},
		{"file:secrets", "TOKEN", "is no file"},
		{"file:$CREDENTIALS_DIRECTORY/all", "TOKEN", "$CREDENTIALS_DIRECTORY/all cannot be opened"},
	} {
		s, err := Open(c.source, dir)
		if err != nil {
			t.Fatal(err)
		}
		got, err := s.Read(c.name)
		if got != "" || flow.CodeOf(err) != flow.CodeSecret || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "longlong") {
			t.Errorf("%s %s: got %.20q, %v", c.source, c.name, got, err)
		}
	}
	if _, err := Open("vault:x", dir); flow.CodeOf(err) != flow.CodeUnsupported {
		t.Errorf("vault: got %v", err)
	}
}

func TestRedactedTextHoldsNothingOfASecret(t *testing.T) {
	t.Parallel()
	const url = "slack://hook:T01ABC-B02DEF-sEcReT9@webhook?title=a%20longer%20title"
	for _, text := range []string{
		`Post "https://hooks.slack.com/services/T01ABC/B02DEF/sEcReT9": no such host`,
		"invalid token T01ABC-B02DEF-sEcReT9",
		"bad hook:T01ABC-B02DEF-sEcReT9@webhook?title=a%20longer%20title",
		"title a longer title is refused for sEcReT9",
		"line one sEcReT9\nline two\x1b[31m",
	} {
		got := Redact(text, url)
		for _, part := range []string{"T01ABC", "B02DEF", "sEcReT9", "longer", "hooks.slack.com", "\n"} {
			if strings.Contains(got, part) {
				t.Errorf("%q is left of %q: %q", part, text, got)
			}
		}
	}
	if got := Redact("HTTP 401: invalid_auth", url); got != "HTTP 401: invalid_auth" {
		t.Errorf("got %q", got)
	}
	if got := Redact(strings.Repeat("é", 1000)); len([]rune(got)) != maxText+1 {
		t.Errorf("%d characters are left", len([]rune(got)))
	}
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(content), 0o600)); err != nil {
		t.Fatal(err)
	}
}
