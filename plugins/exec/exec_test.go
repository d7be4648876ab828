//go:build unix

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/hosttest"
)

// plugin is the program under test, built once.
var plugin string //nolint:gochecknoglobals // set before the first test

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "exec-plugin")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		plugin = filepath.Join(dir, "exec")
		if out, err := exec.Command("go", "build", "-o", plugin, ".").CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "build: %v\n%s", err, out)
			return 1
		}
		return m.Run()
	}())
}

func load(t *testing.T, c hosttest.Config) *hosttest.Module {
	t.Helper()
	c.Kind = flow.KindProcess
	m, err := hosttest.Load(t.Context(), plugin, c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close() })
	return m
}

type with = map[string]any

func TestEndings(t *testing.T) {
	t.Parallel()
	m := load(t, hosttest.Config{})
	for _, c := range []struct {
		name    string
		with    with
		verdict flow.Verdict
		code    string
		message string // a part of it
		outputs string
	}{
		{"text", with{"command": []string{"printf", "hello"}}, flow.VerdictOK, "", "", `{"stdout":"hello"}`},
		{"nothing", with{"command": []string{"true"}}, flow.VerdictOK, "", "", `{}`},
		{"members", with{"command": []string{"printf", `{"n":1,"m":[2.50]}`}}, flow.VerdictOK, "", "", `{"m":[2.50],"n":1}`},
		{"json as text", with{"command": []string{"printf", `{"n":1}`}, "stdout": "text"}, flow.VerdictOK, "", "", `{"stdout":"{\"n\":1}"}`},
		{"a result", with{"command": []string{"printf", `[1,2]`}, "stdout": "json"}, flow.VerdictOK, "", "", `{"result":[1,2]}`},
		{"no JSON", with{"command": []string{"printf", "{"}, "stdout": "json"}, flow.VerdictFailed, "stdout", "not JSON", `{}`},
		{"no shell reads arguments", with{"command": []string{"printf", "%s", "$HOME; `id` | cat > x"}}, flow.VerdictOK, "", "", "{\"stdout\":\"$HOME; `id` | cat > x\"}"},
		{"a shell where it is asked for", with{"shell": "printf a | tr a b"}, flow.VerdictOK, "", "", `{"stdout":"b"}`},
		{"stdin as text", with{"command": []string{"cat"}, "stdin": "grüße\n"}, flow.VerdictOK, "", "", `{"stdout":"grüße\n"}`},
		{"stdin as JSON", with{"command": []string{"cat"}, "stdin": with{"a": 1}}, flow.VerdictOK, "", "", `{"a":1}`},
		{"no stdin", with{"command": []string{"cat"}}, flow.VerdictOK, "", "", `{}`},
		{"variables", with{"shell": `printf "$A-$UNIFLOW_STEP-$UNIFLOW_ATTEMPT"`, "env": with{"A": "x y"}}, flow.VerdictOK, "", "", `{"stdout":"x y-test-1"}`},
		{"retry", with{"shell": "echo error: busy >&2; exit 75"}, flow.VerdictRetry, "", "busy", `{}`},
		{"wrong input", with{"shell": "exit 65"}, flow.VerdictPermanent, "", "exited with code 65", `{}`},
		{"wrong configuration", with{"shell": "exit 78"}, flow.VerdictPermanent, "", "exited with code 78", `{}`},
		{"skip", with{"shell": "echo kept; echo nothing new >&2; exit 99"}, flow.VerdictSkip, "", "nothing new", `{"stdout":"kept\n"}`},
		{"failure", with{"shell": "echo gone; exit 3"}, flow.VerdictFailed, "exit_3", "exited with code 3", `{}`},
		{"signal", with{"shell": "kill -9 $$"}, flow.VerdictFailed, "signal", "killed", `{}`},
		{"no such program", with{"command": []string{"no-such-program"}}, flow.VerdictPermanent, "not_found", "no program", `{}`},
		{"no such path", with{"command": []string{"/nonexistent/x"}}, flow.VerdictPermanent, "not_found", "/nonexistent/x", `{}`},
		{"not executable", with{"command": []string{"/etc/passwd"}}, flow.VerdictPermanent, "not_executable", "permission denied", `{}`},
		{"a relative path", with{"command": []string{"bin/x"}}, flow.VerdictPermanent, "invalid", "relative", `{}`},
		{"nothing to run", with{}, flow.VerdictPermanent, "invalid", "with.command is missing", `{}`},
		{"two ways", with{"command": []string{"a"}, "shell": "b"}, flow.VerdictPermanent, "invalid", "exclude", `{}`},
		{"a text for a command", with{"command": "rm -rf /"}, flow.VerdictPermanent, "invalid", "expected shape", `{}`},
		{"an unknown key", with{"comand": []string{"a"}}, flow.VerdictPermanent, "invalid", "comand", `{}`},
		{"a variable that is none", with{"command": []string{"true"}, "env": with{"A=B": "c"}}, flow.VerdictPermanent, "invalid", "no variable", `{}`},
		{"too much", with{"shell": "yes", "max_output": 1000}, flow.VerdictPermanent, "output_limit", "more than 1000 bytes", `{}`},
		{"over its time", with{"command": []string{"sleep", "600"}, "timeout": "50ms"}, flow.VerdictFailed, "timeout", "within 50ms", `{}`},
		{"deaf, and over its time", with{"shell": "trap '' TERM; while :; do sleep 0.01; done", "timeout": "50ms", "grace": "50ms"}, flow.VerdictFailed, "timeout", "within 50ms", `{}`},
		{"a file that was not written", with{"command": []string{"true"}, "artifacts": []string{"a"}}, flow.VerdictFailed, "artifact", `no file "a"`, `{}`},
		{"a file of another", with{"shell": "ln -s /etc/passwd a", "artifacts": []string{"a"}}, flow.VerdictFailed, "artifact", "no regular file", `{}`},
		{"a file elsewhere", with{"command": []string{"true"}, "artifacts": []string{"../a"}}, flow.VerdictPermanent, "invalid", "not the name of a file", `{}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			out, err := m.Call(t.Context(), hosttest.Input{Function: "run", With: c.with})
			if err != nil {
				t.Fatal(err)
			}
			if out.Verdict != c.verdict || out.Code != c.code || !strings.Contains(out.Message, c.message) {
				t.Errorf("verdict %v %q %q, want %v %q %q", out.Verdict, out.Code, out.Message, c.verdict, c.code, c.message)
			}
			if out.Outputs == nil {
				out.Outputs = map[string]json.RawMessage{}
			}
			if got, err := json.Marshal(out.Outputs); err != nil || strings.NewReplacer(`\u003e`, ">").Replace(string(got)) != c.outputs {
				t.Errorf("outputs %s, %v, want %s", got, err, c.outputs)
			}
		})
	}
}

func TestFolderIsItsOwnAndGone(t *testing.T) {
	t.Parallel()
	m := load(t, hosttest.Config{})
	var dirs []string
	for range 2 {
		out, err := m.Call(t.Context(), hosttest.Input{With: with{"shell": `ls -A; pwd; touch left; test "$HOME" = "$PWD" && test "$TMPDIR" = "$PWD"`, "stdin": "x"}})
		if err != nil || out.Verdict != flow.VerdictOK {
			t.Fatalf("%+v, %v", out, err)
		}
		var dir string
		_ = json.Unmarshal(out.Outputs["stdout"], &dir)
		dir = strings.TrimSpace(dir)
		if strings.Contains(dir, "\n") {
			t.Errorf("the folder is not empty: %q", dir)
		}
		if _, err := os.Stat(dir); !os.IsNotExist(err) {
			t.Errorf("%s is still there: %v", dir, err)
		}
		dirs = append(dirs, dir)
	}
	if dirs[0] == dirs[1] {
		t.Errorf("two attempts in %s", dirs[0])
	}
}

func TestEnvironmentIsGranted(t *testing.T) {
	t.Parallel()
	m := load(t, hosttest.Config{Grant: flow.Grant{Env: map[string]string{"GRANTED": "g", "PATH": "/usr/bin:/bin"}}, Secrets: map[string]string{"DB": "s3cret-word"}})
	out, err := m.Call(t.Context(), hosttest.Input{With: with{"command": []string{"env"}, "env": with{"OWN": "o"}, "secrets": with{"PGPASSWORD": "DB"}, "stdout": "text"}})
	if err != nil || out.Verdict != flow.VerdictOK {
		t.Fatalf("%+v, %v", out, err)
	}
	var text string
	_ = json.Unmarshal(out.Outputs["stdout"], &text)
	names := map[string]string{}
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		names[name] = value
	}
	for name, want := range map[string]string{"GRANTED": "g", "OWN": "o", "PATH": "/usr/bin:/bin"} {
		if names[name] != want {
			t.Errorf("%s=%q, want %q", name, names[name], want)
		}
	}
	if names["PGPASSWORD"] == "" {
		t.Error("the secret is not in the environment")
	}
	for _, name := range []string{"UNIFLOW_PLUGIN", "PLUGIN_CLIENT_CERT", "PLUGIN_UNIX_SOCKET_DIR", "USER"} {
		if _, there := names[name]; there {
			t.Errorf("%s is in the environment", name)
		}
	}
	out, err = m.Call(t.Context(), hosttest.Input{With: with{"command": []string{"env"}, "secrets": with{"A": "OTHER"}}})
	if err != nil || out.Verdict != flow.VerdictPermanent || out.Code != "denied" {
		t.Errorf("a secret that is not granted: %+v, %v", out, err)
	}
}

func TestArtifacts(t *testing.T) {
	t.Parallel()
	m := load(t, hosttest.Config{})
	content := strings.Repeat("0123456789", 300_000)
	out, err := m.Call(t.Context(), hosttest.Input{With: with{
		"shell": "tee copy.txt", "stdin": hosttest.Artifact{Content: []byte(content)}, "stdout": "artifact", "type": "text/plain", "artifacts": []string{"copy.txt"},
	}})
	if err != nil || out.Verdict != flow.VerdictOK {
		t.Fatalf("%+v, %v", out, err)
	}
	for _, name := range []string{"stdout", "copy.txt"} {
		if got, err := out.Artifact(name); err != nil || string(got) != content {
			t.Errorf("%s has %d bytes, %v, want %d", name, len(got), err, len(content))
		}
	}
	out, err = m.Call(t.Context(), hosttest.Input{With: with{"shell": `printf '\377\000'`}})
	if got, failed := out.Artifact("stdout"); err != nil || failed != nil || string(got) != "\xff\x00" {
		t.Errorf("bytes that are no text: %q, %v, %v", got, failed, err)
	}
}

func TestStderrBecomesLogLines(t *testing.T) {
	t.Parallel()
	m := load(t, hosttest.Config{})
	out, err := m.Call(t.Context(), hosttest.Input{With: with{
		"shell":  `echo plain >&2; echo 'warn: careful' >&2; echo '{"level":"error","msg":"bad","row":7}' >&2; echo printed`,
		"stdout": "log",
	}})
	if err != nil || out.Verdict != flow.VerdictOK || len(out.Outputs) > 0 {
		t.Fatalf("%+v, %v", out, err)
	}
	got := map[string]string{}
	for _, l := range out.Logs {
		got[l.Message] = l.Level.String()
	}
	for message, level := range map[string]string{"plain": "info", "careful": "warn", `bad {"row":7}`: "error", "printed": "info"} {
		if got[message] != level {
			t.Errorf("line %q has the level %q, want %q: %v", message, got[message], level, got)
		}
	}
}

// started returns the number that a command writes to a file.
func started(t *testing.T, file string) int {
	t.Helper()
	for range 3000 {
		if b, err := os.ReadFile(file); err == nil && strings.HasSuffix(string(b), "\n") {
			pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
			if err != nil {
				t.Fatal(err)
			}
			return pid
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("nothing wrote %s", file)
	return 0
}

// gone waits for the end of a process.
func gone(t *testing.T, pid int) {
	t.Helper()
	for range 3000 {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil && syscall.Kill(pid, 0) != nil || strings.Contains(string(stat), ") Z ") {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("process %d is still there", pid)
	_ = syscall.Kill(pid, syscall.SIGKILL)
}

// background is a command that leaves a process behind and goes on.
func background(t *testing.T, file, then string) with {
	t.Helper()
	return with{"shell": fmt.Sprintf(`sleep 600 & echo $! > %s.new; mv %s.new %s; %s`, file, file, file, then)}
}

func TestLeftProcessesEnd(t *testing.T) {
	t.Parallel()
	m := load(t, hosttest.Config{})
	t.Run("with the command", func(t *testing.T) {
		t.Parallel()
		file := filepath.Join(t.TempDir(), "pid")
		out, err := m.Call(t.Context(), hosttest.Input{With: background(t, file, "true")})
		if err != nil || out.Verdict != flow.VerdictOK {
			t.Fatalf("%+v, %v", out, err)
		}
		gone(t, started(t, file))
	})
	t.Run("when it is cancelled", func(t *testing.T) {
		t.Parallel()
		file := filepath.Join(t.TempDir(), "pid")
		ctx, cancel := context.WithCancel(t.Context())
		var pid int
		go func() {
			pid = started(t, file)
			cancel()
		}()
		if _, err := m.Call(ctx, hosttest.Input{With: background(t, file, "trap 'exit 0' TERM; wait"), Grace: 20 * time.Second}); err == nil {
			t.Error("a cancelled attempt ends well")
		}
		gone(t, pid)
	})
	t.Run("when the plugin is killed", func(t *testing.T) {
		t.Parallel()
		file := filepath.Join(t.TempDir(), "pid")
		ctx, cancel := context.WithCancel(t.Context())
		var pid int
		go func() {
			pid = started(t, file)
			cancel() // without a grace the host kills at once
		}()
		if _, err := m.Call(ctx, hosttest.Input{With: background(t, file, "wait")}); err == nil {
			t.Error("a cancelled attempt ends well")
		}
		gone(t, pid)
	})
}
