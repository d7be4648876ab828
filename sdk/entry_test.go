//go:build !wasip1

package uniflow

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/uniflow-dev/uniflow/sdk/abi"
)

// play runs a step as a plain program and settles it as the host would settle
// a command.
func play(t *testing.T, stdin string, step func(*Context) error) (*abi.Attempt, abi.Verdict, string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	host := newStdio(&stdout, &stderr)
	code := host.finish(handle(host, func() ([]byte, error) { return readAll(strings.NewReader(stdin)) }, step))
	settled := abi.NewAttempt(abi.Limits{})
	if err := settled.Stdout(stdout.Bytes(), abi.StdoutAuto); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(stderr.String()), "\n")
	return settled, settled.SettleExit(code, lines[len(lines)-1]), stderr.String()
}

const document = `{"abi":"uniflow.run/1","step":"s","attempt":1}`

func TestAPlainProgramFollowsTheCommandProfile(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		err  error
		want abi.Verdict
	}{
		"ok":        {nil, abi.Verdict{}},
		"failed":    {errors.New("broken\nin two"), abi.Verdict{Kind: abi.KindFailed, Code: "exit_1", Message: "broken in two"}},
		"skip":      {Skip("no news"), abi.Verdict{Kind: abi.KindSkip, Message: "no news"}},
		"retry":     {Retry(errors.New("busy"), time.Second), abi.Verdict{Kind: abi.KindRetry, Message: "busy"}},
		"permanent": {Permanent(errors.New("bad")), abi.Verdict{Kind: abi.KindPermanent, Message: "bad"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			settled, verdict, stderr := play(t, document, func(ctx *Context) error {
				ctx.Warn("one\ntwo")
				ctx.Progress(0.5, "half")
				if err := ctx.Output("a", 1); err != nil {
					t.Error(err)
				}
				return c.err
			})
			if verdict != c.want {
				t.Errorf("verdict %+v, want %+v", verdict, c.want)
			}
			kept := string(settled.Outputs()["a"]) == "1"
			if want := c.want.Kind == abi.KindOK || c.want.Kind == abi.KindSkip; kept != want {
				t.Errorf("outputs printed: %v, want %v", kept, want)
			}
			if !strings.HasPrefix(stderr, "warn: one\nwarn: two\ninfo: 50.0 % half\n") {
				t.Errorf("stderr %q", stderr)
			}
		})
	}
}

func TestWhatIsNoRunContextFailsForGood(t *testing.T) {
	t.Parallel()
	for name, stdin := range map[string]string{
		"empty": "", "text": "hello", "another version": `{"abi":"uniflow.run/9"}`,
		"too large": strings.Repeat(" ", abi.MaxContext+1),
	} {
		_, verdict, _ := play(t, stdin, func(*Context) error {
			t.Error("the step was called")
			return nil
		})
		if verdict.Kind != abi.KindPermanent || verdict.Message == "" {
			t.Errorf("%s: verdict %+v", name, verdict)
		}
	}
}
