package supply

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// buildTime bounds one build command.
const buildTime = 10 * time.Minute

// Build runs a plugin's build command in the folder: words, no shell; leading NAME=value words set the environment. It
// has the caller's environment and rights, so it is for a developer's own manifest only.
func (f *Folder) Build(ctx context.Context, plugin string, words []string) error {
	n := 0
	for n < len(words) && isSetting(words[n]) {
		n++
	}
	settings, argv := words[:n], words[n:]
	if len(argv) == 0 {
		return &flow.Error{Code: flow.CodeBuild, Op: fmt.Sprintf("build plugin %q", plugin), Message: "the build command is empty", Hint: `give it words, like build = ["make", "-C", "plugin"]`}
	}
	ctx, cancel := context.WithTimeout(ctx, buildTime)
	defer cancel()
	command := exec.CommandContext(ctx, argv[0], argv[1:]...)
	command.Dir = f.root.Name()
	command.Env = append(os.Environ(), settings...)
	command.WaitDelay = 5 * time.Second
	var output bytes.Buffer
	command.Stdout, command.Stderr = &output, &output
	if err := command.Run(); err != nil {
		return &flow.Error{
			Code: flow.CodeBuild, Op: fmt.Sprintf("build plugin %q", plugin),
			Message: fmt.Sprintf("`%s` failed\n%s", strings.Join(words, " "), tail(output.Bytes())), Hint: "run the command by hand in the manifest's folder", Err: err,
		}
	}
	return nil
}

// isSetting tells NAME=value from a program's name.
func isSetting(word string) bool {
	name, _, found := strings.Cut(word, "=")
	return found && name != "" && !strings.ContainsAny(name, `/\.- `)
}

// tail is the end of a command's output, where the reason stands.
func tail(output []byte) string {
	const keep = 4 << 10
	if len(output) > keep {
		output = append([]byte("… "), output[len(output)-keep:]...)
	}
	return strings.TrimSpace(string(output))
}
