package process

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"github.com/hashicorp/go-plugin/runner"
	"google.golang.org/grpc"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/sdk/abi"
	"github.com/uniflow-dev/uniflow/sdk/process"
	"github.com/uniflow-dev/uniflow/sdk/process/proto"
)

// killTimeout bounds the wait for a killed process to be gone. It is longer only for one that hangs in the kernel.
const killTimeout = 5 * time.Second

// proc is a process, of a plugin or a worker, and the connection to it.
type proc struct {
	runtime  *Runtime
	pool     *pool
	plugin   flow.PlanPlugin // that it was started for
	tenant   string          // the one it serves; empty until its first attempt
	scratch  string
	child    *child
	lines    *lines
	spoken   handshake
	config   *plugin.ClientConfig // go-plugin adds the certificates of both sides
	client   *plugin.Client
	conn     *grpc.ClientConn
	services *services
	warmed   bool      // it is idle and waits for an attempt that is due soon; under runtime.mu
	until    time.Time // when it ends if it is still idle; zero while it is not; under runtime.mu

	program    proto.PluginClient // of a plugin
	descriptor abi.Descriptor
	worker     *worker // nil for a plugin
}

// handshake is what both sides must agree on before they can speak.
type handshake struct {
	plugin.HandshakeConfig

	name string // of the service that go-plugin hands over
	most int    // bytes of one message
}

// pluginHandshake is that of process plugins.
func pluginHandshake() handshake {
	return handshake{plugin.HandshakeConfig{
		ProtocolVersion: process.ProtocolVersion, MagicCookieKey: process.CookieKey, MagicCookieValue: process.CookieValue,
	}, process.PluginName, process.MaxWireMessage}
}

// startPlugin starts a process of a plugin and waits until it has described itself. The error is the one that Load
// promises.
func (r *Runtime) startPlugin(ctx context.Context, m *module, program string) (*proc, error) {
	w := &proc{runtime: r, pool: &m.pool, plugin: m.plugin, spoken: pluginHandshake()}
	env := make([]string, 0, len(m.plugin.Grant.Env))
	for name, value := range m.plugin.Grant.Env {
		env = append(env, name+"="+value)
	}
	err := r.launch(ctx, w, &child{program: program, name: program, env: env}, w.describe)
	return w, err
}

// describe asks a plugin what it is.
func (w *proc) describe(ctx context.Context) error {
	w.program = proto.NewPluginClient(w.conn)
	answer, err := w.program.Describe(ctx, &proto.DescribeRequest{})
	if err != nil {
		return err
	}
	w.descriptor, err = abi.DecodeDescriptor(answer.GetDescriptorJson())
	return err
}

// launch starts the process and waits until it has answered the first question. It ends soon after the process does.
// After an error the process is gone.
func (r *Runtime) launch(ctx context.Context, w *proc, c *child, first func(context.Context) error) error {
	scratch, err := r.scratchFolder()
	if err != nil {
		return loadError(w.plugin, flow.CodeProcessHost, "see that the disk is not full; or choose a data folder with a shorter path, or set TMPDIR to one", "make a folder for the process", err)
	}
	w.scratch, w.lines, w.services = scratch, &lines{}, &services{most: w.spoken.most, worker: w.worker != nil}
	c.dir, c.env = scratch, append(c.env, "TMPDIR="+scratch)
	w.child = c.prepare(r.cgroups.group(), w.lines)
	w.config = w.clientConfig(r.start)
	w.client = plugin.NewClient(w.config)
	if !r.watch(w) {
		w.child.abandon()
		w.cleanUp()
		return loadError(w.plugin, flow.CodeStopping, "", "the host is stopping", nil)
	}
	limited, cancel := context.WithTimeout(ctx, r.start)
	defer cancel()
	stop := context.AfterFunc(limited, w.child.kill)
	defer stop()
	if err = w.connect(); err == nil {
		err = first(limited)
	}
	if err == nil {
		r.log.Debug("plugin process started", slog.String("plugin", w.plugin.Name), slog.Int("pid", w.child.pid()))
		return nil
	}
	timedOut := limited.Err() != nil
	w.child.abandon()
	w.end()
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("load plugin %q: %w", w.plugin.Name, context.Cause(ctx))
	case r.stopping():
		return loadError(w.plugin, flow.CodeStopping, "", "the host is stopping", nil)
	case w.worker != nil:
		return w.workerStartError(err, timedOut)
	}
	return w.startError(err, timedOut, r.start)
}

// watch cleans up after the process, whenever and for whatever reason it ends. It does nothing and reports false when
// the runtime is closed.
func (r *Runtime) watch(w *proc) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return false
	}
	r.alive[w] = struct{}{}
	r.watchers.Go(func() {
		<-w.child.gone
		w.pool.forget(w)
		w.cleanUp()
		if w.child.pid() != 0 {
			r.log.Debug("plugin process ended", slog.String("plugin", w.plugin.Name), slog.Int("pid", w.child.pid()), slog.String("outcome", w.child.ending()))
		}
	})
	return true
}

// cleanUp ends all that the host holds for a process that is gone.
func (w *proc) cleanUp() {
	w.services.stop()
	w.client.Kill() // of go-plugin's goroutines
	w.services.serving.Wait()
	w.lines.close()
	if w.worker != nil && w.worker.root != nil {
		_ = w.worker.root.Close()
	}
	_ = os.RemoveAll(w.scratch)
}

// end kills the process and waits until it is gone, for a bounded time; the rest is up to watch.
func (w *proc) end() {
	w.child.kill()
	wait(w.child.gone, killTimeout)
}

// wait reports whether c was closed within the time. A nil c never is.
func wait(c <-chan struct{}, limit time.Duration) bool {
	select {
	case <-c:
		return true
	default:
	}
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-c:
		return true
	case <-timer.C:
		return false
	}
}

// clientConfig is the client side of go-plugin. Its own kill and its reading of output are not used: it kills one process
// and not its children, waits two seconds for a deaf one, and loses the last words of a crash.
func (w *proc) clientConfig(start time.Duration) *plugin.ClientConfig {
	return &plugin.ClientConfig{
		HandshakeConfig:  w.spoken.HandshakeConfig,
		Plugins:          plugin.PluginSet{w.spoken.name: &connection{}},
		AllowedProtocols: []plugin.Protocol{plugin.ProtocolGRPC},
		RunnerFunc: func(_ hclog.Logger, cmd *exec.Cmd, _ string) (runner.Runner, error) {
			w.child.env = slices.Concat(w.child.env, cmd.Env)
			return w.child, nil
		},
		SkipHostEnv:      true,
		AutoMTLS:         true,
		StartTimeout:     start + time.Second, // ours comes first and kills
		Logger:           hclog.NewNullLogger(),
		SyncStdout:       w.lines.writer(),
		SyncStderr:       w.lines.writer(),
		UnixSocketConfig: &plugin.UnixSocketConfig{TempDir: w.scratch},
		GRPCDialOptions: []grpc.DialOption{
			grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(w.spoken.most), grpc.MaxCallSendMsgSize(w.spoken.most)),
			grpc.WithStreamInterceptor(ignoreBroker),
		},
	}
}

// ignoreBroker drops what the plugin says on the stream by which go-plugin announces listeners. The host never dials
// one, and each announcement would hold a goroutine for five seconds.
func ignoreBroker(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, streamer grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	stream, err := streamer(ctx, desc, cc, method, opts...)
	if err == nil && strings.HasPrefix(method, "/plugin.GRPCBroker/") {
		return deaf{stream}, nil
	}
	return stream, err
}

// deaf is a stream whose messages are received and dropped, until it ends.
type deaf struct{ grpc.ClientStream }

func (d deaf) RecvMsg(m any) error {
	for {
		if err := d.ClientStream.RecvMsg(m); err != nil {
			return err
		}
	}
}

// connection is what go-plugin hands over once it has dialled the process.
type connection struct {
	plugin.NetRPCUnsupportedPlugin

	broker *plugin.GRPCBroker
	conn   *grpc.ClientConn
}

func (c *connection) GRPCServer(*plugin.GRPCBroker, *grpc.Server) error {
	return errors.New("the host serves no plugin")
}

func (c *connection) GRPCClient(_ context.Context, broker *plugin.GRPCBroker, conn *grpc.ClientConn) (any, error) {
	return &connection{broker: broker, conn: conn}, nil
}

// connect starts the process and dials it.
func (w *proc) connect() error {
	client, err := w.client.Client()
	if err != nil {
		return err
	}
	raw, err := client.Dispense(w.spoken.name)
	if err != nil {
		return err
	}
	c, ok := raw.(*connection)
	if !ok {
		return fmt.Errorf("go-plugin handed over a %T", raw)
	}
	w.services.reachBy(c.broker, w.config.TLSConfig)
	w.conn = c.conn
	return nil
}

// startError says why a process did not become a plugin: by what it printed first, else by what go-plugin made of it.
func (w *proc) startError(err error, timedOut bool, limit time.Duration) error {
	p := w.plugin
	const sdk = "a process plugin calls process.Serve of the Uniflow kit, or speaks its protocol; nothing may be printed before"
	if w.child.pid() == 0 {
		return startFailure(p, cmp.Or(w.child.startErr, err))
	}
	first := w.child.firstLine()
	parts := strings.Split(strings.TrimSpace(first), "|")
	spoke := len(parts) >= 5 && parts[0] == strconv.Itoa(plugin.CoreProtocolVersion)
	switch {
	case spoke && parts[1] != strconv.Itoa(process.ProtocolVersion):
		return loadError(p, flow.CodeProcessVersion, "build the plugin with a kit of this version of Uniflow",
			fmt.Sprintf("the plugin speaks protocol version %.20q, this host speaks %d", parts[1], process.ProtocolVersion), nil)
	case spoke && parts[4] != string(plugin.ProtocolGRPC):
		return loadError(p, flow.CodeProcessHandshake, sdk, fmt.Sprintf("the plugin speaks %.20q, expected grpc", parts[4]), nil)
	case !spoke && first != "":
		return loadError(p, flow.CodeProcessHandshake, sdk, fmt.Sprintf("expected the handshake of a plugin on standard output, found %.200q", first), nil)
	case timedOut:
		return loadError(p, flow.CodeProcessStart, "see what the program waits for: it has no standard input and only the granted environment",
			fmt.Sprintf("the program did not answer as a plugin within %s%s", limit, w.lines.quoted()), nil)
	case !spoke:
		return loadError(p, flow.CodeProcessHandshake, sdk, fmt.Sprintf("the program %s before it answered as a plugin%s", w.child.ending(), w.lines.quoted()), nil)
	}
	return loadError(p, flow.CodeProcessHandshake, sdk, "the plugin shook hands but does not answer"+w.lines.quoted(), err)
}
