//go:build unix

// The plugin of the tests: it does what with.behaviour says. Started without a host it plays a program that is no
// plugin, or another kind of one, as its environment says.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/uniflow-dev/uniflow/host/internal/plugintest/guest"
	"github.com/uniflow-dev/uniflow/sdk/abi"
	"github.com/uniflow-dev/uniflow/sdk/process"
)

// hang never returns. It is no empty select: a program whose goroutines are all blocked in Go would be ended by the
// runtime, which knows that nothing can wake them.
func hang() error {
	for {
		time.Sleep(time.Hour)
	}
}

func main() {
	switch os.Getenv("PLAY") {
	case "garbage":
		fmt.Println("hello, I am no plugin")
		hang()
	case "long":
		fmt.Println(strings.Repeat("x", 1<<20))
		hang()
	case "exit":
		fmt.Fprintln(os.Stderr, "cannot find my configuration")
		os.Exit(3)
	case "silent":
		fmt.Fprintln(os.Stderr, "waiting for Godot")
		hang()
	case "version":
		fmt.Println("1|7|unix|/nowhere|grpc|")
		hang()
	case "netrpc":
		fmt.Println("1|1|unix|/nowhere|netrpc|")
		hang()
	case "deaf": // shakes hands, accepts, and never says a word
		l, err := net.Listen("unix", filepath.Join(os.Getenv("PLUGIN_UNIX_SOCKET_DIR"), "s"))
		if err != nil {
			panic(err)
		}
		fmt.Printf("1|1|unix|%s|grpc|\n", l.Addr())
		hang()
	case "raw":
		serveRaw()
		return
	case "child": // of a plugin: holds a pipe open until it is killed
		signal.Ignore(syscall.SIGTERM, syscall.SIGHUP)
		fmt.Println("born")
		hang()
	}
	process.Serve(process.Plugin{
		Descriptor: abi.Descriptor{Name: "subject", Version: "1.2.3"},
		Functions:  map[string]process.Func{"run": run, "other": run},
	})
}

func run(ctx context.Context, c *process.Call) error {
	var with guest.With
	if err := c.DecodeWith(&with); err != nil {
		return err
	}
	if behave := behaviours[with.Behaviour]; behave != nil {
		return behave(ctx, c, with)
	}
	err := guest.Behave(c.RunContext, adapter{ctx, c})
	if end, ok := errors.AsType[*guest.End](err); ok {
		return &process.Ending{Kind: end.Kind, Code: end.Code, Err: errors.New(end.Message), After: end.After}
	}
	return err
}

// adapter connects the behaviours of the suite to the kit.
type adapter struct {
	ctx context.Context
	c   *process.Call
}

func (a adapter) Output(name string, value json.RawMessage) error { return a.c.Output(name, value) }

func (a adapter) Progress(permille int, message string) bool {
	return a.c.Progress(float64(permille)/1000, message)
}

func (a adapter) Call(op string, request, body []byte) ([]byte, error) {
	return a.c.CallBytes(a.ctx, op, request, body)
}

func (a adapter) Log(level abi.Level, message string) {
	switch level {
	case abi.LevelDebug:
		a.c.Debug("%s", message)
	case abi.LevelWarn:
		a.c.Warn("%s", message)
	case abi.LevelError:
		a.c.Error("%s", message)
	default:
		a.c.Info("%s", message)
	}
}

// kept lives as long as the process: it tells whether two attempts shared one.
var kept int

var behaviours = map[string]func(context.Context, *process.Call, guest.With) error{
	"identify": func(_ context.Context, c *process.Call, _ guest.With) error {
		kept++
		exe, _ := os.Readlink("/proc/self/exe")
		return errors.Join(c.Output("pid", os.Getpid()), c.Output("calls", kept), c.Output("exe", exe), c.Output("tmp", os.TempDir()))
	},
	"environment": func(_ context.Context, c *process.Call, _ guest.With) error {
		names := []string{}
		for _, pair := range os.Environ() {
			name, _, _ := strings.Cut(pair, "=")
			names = append(names, name)
		}
		slices.Sort(names)
		var core, files syscall.Rlimit
		err := errors.Join(syscall.Getrlimit(syscall.RLIMIT_CORE, &core), syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files))
		status, _ := os.ReadFile("/proc/self/status")
		_, privileges, _ := strings.Cut(string(status), "NoNewPrivs:\t")
		dir, _ := os.Getwd()
		return errors.Join(err, c.Output("names", names), c.Output("granted", os.Getenv("GRANTED")), c.Output("core", core.Max),
			c.Output("files", files.Max), c.Output("no_new_privs", strings.HasPrefix(privileges, "1")), c.Output("in_tmp", dir == os.TempDir()))
	},
	"print": func(_ context.Context, c *process.Call, w guest.With) error {
		fmt.Println("to stdout: " + w.Message)
		fmt.Fprintln(os.Stderr, "warn: to stderr: "+w.Message)
		fmt.Fprint(os.Stderr, `{"level":"error","msg":"structured","n":1}`) // without an end of line
		return nil
	},
	"crash": func(_ context.Context, _ *process.Call, w guest.With) error {
		fmt.Fprintln(os.Stderr, "last words")
		os.Exit(w.Size)
		return nil
	},
	"suicide": func(context.Context, *process.Call, guest.With) error {
		return syscall.Kill(os.Getpid(), syscall.SIGKILL)
	},
	"panic_elsewhere": func(ctx context.Context, _ *process.Call, w guest.With) error {
		go panic(w.Message)
		<-ctx.Done()
		return nil
	},
	"artifact_mib": func(_ context.Context, c *process.Call, w guest.With) error {
		return c.Artifact("file", "application/octet-stream", io.LimitReader(zeros{}, int64(w.Size)<<20))
	},
	"artifact_fails": func(_ context.Context, c *process.Call, _ guest.With) error {
		broken := io.MultiReader(strings.NewReader("half"), failing{})
		if err := c.Artifact("file", "", broken); err == nil {
			return errors.New("a file that cannot be read was stored")
		}
		return c.Artifact("second", "text/plain", strings.NewReader("whole"))
	},
	"tidy": func(ctx context.Context, c *process.Call, _ guest.With) error {
		c.Info("ready")
		<-ctx.Done()
		err := c.Call(context.Background(), abi.OpHostInfo, nil, nil)
		c.Info("tidied up, call: %v", errors.Is(err, abi.Cancelled))
		return nil
	},
	"ignore": func(_ context.Context, c *process.Call, _ guest.With) error {
		signal.Ignore(syscall.SIGTERM, syscall.SIGHUP, syscall.SIGINT)
		c.Info("ready")
		return hang()
	},
	"keep_id": func(_ context.Context, c *process.Call, _ guest.With) error {
		earlier = c
		return nil
	},
	"use_kept_id": func(ctx context.Context, c *process.Call, _ guest.With) error {
		err := earlier.Call(ctx, abi.OpHostInfo, nil, nil)
		return c.Output("denied", errors.Is(err, abi.Denied))
	},
	"slow_call": func(ctx context.Context, c *process.Call, _ guest.With) error {
		return c.Call(ctx, "slow", nil, nil)
	},
	// fork starts children that hold the other end of a named pipe: in the group, and one that left the session.
	"fork": func(_ context.Context, c *process.Call, w guest.With) error {
		pipe, err := os.OpenFile(w.Message, os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		for _, leave := range []bool{false, w.Size > 0} {
			cmd := exec.Command("/proc/self/exe")
			cmd.Env = []string{"PLAY=child"}
			cmd.Stdout = pipe
			cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: leave}
			if err := cmd.Start(); err != nil {
				return err
			}
		}
		_ = pipe.Close()
		c.Info("ready")
		return hang()
	},
	// hold opens a named pipe and never lets go.
	"hold": func(_ context.Context, c *process.Call, w guest.With) error {
		var err error
		if held, err = os.OpenFile(w.Message, os.O_WRONLY, 0); err != nil {
			return err
		}
		c.Info("ready")
		return hang()
	},
}

var (
	earlier *process.Call
	held    *os.File // or it would be closed as garbage
)

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errors.New("cannot be read") }
