package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/tool"
)

func (a *app) pluginCommand() *cobra.Command {
	c := a.group(&cobra.Command{Use: "plugin", Short: "Write, build, test and look at plugins"})
	c.AddCommand(a.pluginNew(), a.pluginBuild(), a.pluginCases(), a.pluginDev(), a.pluginRun(), a.pluginInspect(), a.pluginPack(), a.pluginAdd())
	return c
}

func (a *app) pluginInspect() *cobra.Command {
	return &cobra.Command{
		Use: "inspect FILE", Short: "Show what a plugin's bytes say about themselves, without running them", Args: args(1, 1),
		RunE: func(_ *cobra.Command, args []string) error {
			info, err := tool.InspectPlugin(args[0])
			if info.Digest == "" {
				return err
			}
			if told := a.answer(info, func() { a.inspected(&info) }); told != nil {
				return told
			}
			return err
		},
	}
}

// inspected writes what a plugin says.
func (a *app) inspected(p *flow.PluginInfo) {
	fact := func(name, text string) {
		if text != "" {
			fmt.Fprintf(a.out, "%-10s %s\n", name, line(text))
		}
	}
	fact("file", p.Path)
	fact("kind", string(p.Kind))
	fact("digest", string(p.Digest))
	fact("size", bytesText(int64(p.Size)))
	fact("profile", p.Profile)
	fact("functions", strings.Join(p.Functions, ", "))
	if p.MemoryMin > 0 || p.MemoryMax > 0 {
		text := "starts with " + p.MemoryMin.String()
		if p.MemoryMax > 0 {
			text += ", at most " + p.MemoryMax.String()
		}
		fact("memory", text)
	}
	fact("made by", strings.Join(p.Producers, ", "))
	for _, i := range p.Imports {
		note := ""
		if !i.Known {
			note = a.onOut(bad, "  not offered by the host")
		}
		fmt.Fprintf(a.out, "%-10s %s%s\n", "import", line(i.Module+"."+i.Name+" "+i.Type), note)
	}
	for _, e := range p.Exports {
		fact("export", e)
	}
	if p.Descriptor != nil {
		fact("says", string(p.Descriptor))
	}
	for _, n := range p.Needs {
		text := n.What + " (" + n.How + ")"
		if n.Manifest != "" {
			text += ": " + n.Manifest
		}
		if n.Note != "" {
			text += "; " + n.Note
		}
		fact("uses", text)
	}
}

// pluginOptions are the flags of plugin run.
type pluginOptions struct {
	context, with, item, function string
	clock                         string
	set, mounts, grants, secrets  []string
	args                          []string
	seed                          uint64
	timeout                       time.Duration
}

func (a *app) pluginRun() *cobra.Command {
	var o pluginOptions
	c := &cobra.Command{
		Use:   "run FILE [-- ARG...]",
		Short: "Call a plugin once, in its sandbox, and record nothing",
		Long: `Call a plugin once, in the sandbox that it would have in a run, and record nothing. Outputs go to standard output; log
lines, state, events and how it ended to standard error. The plugin reaches what --grant and --secret give it, and
nothing else.`,
		Example: `  uniflow plugin run clean.wasm --with '{"rows": [1, 2]}'
  uniflow plugin run fetch.wasm --grant 'http=GET https://example.com/*' --grant state --secret TOKEN
  uniflow plugin run clean.wasm --set year=2013 --grant mount=/data=./data --fake-clock 2026-01-01T06:00:00Z --seed 1`,
		Args: args(1, 1000),
		RunE: func(c *cobra.Command, args []string) error {
			if o.timeout <= 0 {
				return usage(c, "--timeout %s is not more than nothing", o.timeout)
			}
			call, err := a.pluginCall(args[0], &o)
			if err != nil {
				return err
			}
			call.Args = slices.Concat(o.args, args[1:])
			report, err := tool.RunPlugin(c.Context(), call)
			if err != nil {
				return err
			}
			err = a.answer(report, func() { a.pluginRan(&report) })
			if err == nil && report.Outcome != flow.Succeeded && report.Outcome != flow.Skipped {
				err = ended{exitRun}
			}
			return err
		},
	}
	flags := c.Flags()
	flags.StringVar(&o.context, "context", "", "a JSON object for the context, or a `FILE` that holds one, or - for standard input")
	flags.StringVar(&o.with, "with", "", "the step's inputs: a JSON object, or a `FILE` that holds one")
	flags.StringVar(&o.item, "item", "", "the element of a fan-out, as `JSON`")
	flags.StringVar(&o.function, "function", "", "`NAME` of the function to call (default: the plugin's own)")
	flags.StringArrayVar(&o.set, "set", nil, "`NAME=VALUE` for the context; may stand several times")
	flags.StringArrayVar(&o.grants, "grant", nil, "http=URL, mount=GUEST=HOST, env=NAME=VALUE, state, event, clock or random: a `GRANT`; may stand several times")
	flags.StringArrayVar(&o.mounts, "grant-mount", nil, "`GUEST=HOST`: lets the plugin read a folder or file; may stand several times")
	flags.StringArrayVar(&o.secrets, "secret", nil, "`NAME` of an environment variable that the plugin may read as a secret; may stand several times")
	flags.StringArrayVar(&o.args, "args", nil, "an `ARGUMENT` of a command; may stand several times")
	flags.StringVar(&o.clock, "fake-clock", "", "`TIME` at which the run is scheduled, which the plugin sees as its clock (default: now)")
	flags.Uint64Var(&o.seed, "seed", 0, "`NUMBER` that the plugin's randomness comes from (default: the time)")
	flags.DurationVar(&o.timeout, "timeout", 30*time.Second, "how long the call may take")
	return c
}

// pluginCall makes a call of flags.
func (a *app) pluginCall(file string, o *pluginOptions) (tool.PluginCall, error) {
	call := tool.PluginCall{Path: file, Function: o.function, Timeout: o.timeout, Seed: o.seed, Secrets: map[string]string{}}
	var err error
	if call.Context, err = a.contextOf(o.context, o.set, nil); err != nil {
		return call, err
	}
	if o.with != "" {
		if call.With, err = a.readObject("--with", o.with); err != nil {
			return call, err
		}
	}
	if o.item != "" {
		if call.Item = json.RawMessage(o.item); !json.Valid(call.Item) {
			return call, &flow.Error{Code: flow.CodeInput, Op: fmt.Sprintf("--item %.200s", o.item), Message: "expected JSON", Hint: `--item '"a text"'`}
		}
	}
	if o.clock != "" {
		if call.Clock, err = time.Parse(time.RFC3339Nano, o.clock); err != nil {
			return call, &flow.Error{Code: flow.CodeInput, Op: fmt.Sprintf("--fake-clock %.200s", o.clock), Message: "expected an instant", Hint: "--fake-clock 2026-01-01T06:00:00Z"}
		}
	}
	for _, name := range o.secrets {
		value, ok := os.LookupEnv(name)
		if !ok {
			return call, &flow.Error{Code: flow.CodeInput, Op: fmt.Sprintf("--secret %.200s", name), Message: "there is no such environment variable", Hint: "set it first; a value on the command line would be seen by others"}
		}
		call.Secrets[name] = value
	}
	call.Grant, err = grantOf(o.grants, o.mounts)
	return call, err
}

// grantOf makes a grant of the values of --grant and --grant-mount.
func grantOf(grants, mounts []string) (flow.Grant, error) {
	g := flow.Grant{Mount: map[string]string{}, Env: map[string]string{}}
	for _, text := range grants {
		kind, value, _ := strings.Cut(text, "=")
		fail := func(hint string) error {
			return &flow.Error{Code: flow.CodeInput, Op: fmt.Sprintf("--grant %.200s", text), Message: "expected a grant of the manifest", Hint: hint}
		}
		switch name, rest, found := strings.Cut(value, "="); {
		case kind == "http" && value != "":
			g.HTTP = append(g.HTTP, value)
		case kind == "mount":
			mounts = append(mounts, value)
		case kind == "env" && found && name != "":
			g.Env[name] = rest
		case kind == "env":
			return g, fail("--grant env=NAME=value")
		case !setFlag(&g, kind) || value != "":
			return g, fail("--grant 'http=GET https://host/path/*', mount=/data=./data, env=NAME=value, state, event, clock or random")
		}
	}
	for _, pair := range mounts {
		guest, path, found := strings.Cut(pair, "=")
		if !found || !strings.HasPrefix(guest, "/") || path == "" {
			return g, &flow.Error{Code: flow.CodeInput, Op: "--grant-mount " + pair, Message: "expected a path of the guest, =, and a path of this machine", Hint: "--grant-mount /data=./data"}
		}
		if _, err := os.Stat(path); err != nil {
			return g, &flow.Error{Code: flow.CodeInput, Op: "--grant-mount " + pair, Message: "there is nothing at " + path, Hint: "--grant-mount " + guest + "=./data", Err: err}
		}
		g.Mount[guest] = path
	}
	return g, nil
}

// setFlag sets a grant that is on or off, and reports whether there is one of that name.
func setFlag(g *flow.Grant, name string) bool {
	flag, ok := map[string]*bool{"state": &g.State, "event": &g.Event, "clock": &g.Clock, "random": &g.Random}[name]
	if ok {
		*flag = true
	}
	return ok
}

// pluginRan writes how a call went: outputs to standard output, all else to talk.
func (a *app) pluginRan(r *flow.PluginRun) {
	for i := range r.Logs {
		a.say("%-5s %s", r.Logs[i].Level, line(r.Logs[i].Message))
	}
	for _, key := range slices.Sorted(maps.Keys(r.State)) {
		a.say("state %s = %s", line(key), line(string(r.State[key])))
	}
	for _, e := range r.Events {
		a.say("event %s", line(string(e)))
	}
	a.refused(r.Refused, func(text string) { a.say("%s", text) })
	text := fmt.Sprintf("%s in %s", a.paint(outcomeStyle(r.Outcome), endingWords(r.Ending)), took(r.Duration.Std()))
	if r.Usage.Fuel > 0 {
		text += fmt.Sprintf(", fuel %d", r.Usage.Fuel)
	}
	if r.Usage.Memory > 0 {
		text += ", memory " + bytesText(int64(r.Usage.Memory))
	}
	if !a.quiet || r.Outcome == flow.Failed {
		fmt.Fprintln(a.talk, text)
		if r.Message != "" {
			fmt.Fprintf(a.talk, "  %s\n", lines(r.Message))
		}
	}
	if len(r.Outputs) > 0 {
		_ = a.writeJSON(r.Outputs) // outputs are JSON
	}
}

// refused tells what services refused, each once, with what would have given it.
func (a *app) refused(calls []flow.RefusedCall, say func(string)) {
	told := map[string]bool{}
	for _, c := range calls {
		text := fmt.Sprintf("refused: %s: %s", line(c.Op), line(c.Message))
		if told[text] {
			continue
		}
		told[text] = true
		say(text)
		if c.Hint != "" {
			say("   = help: " + line(c.Hint))
		}
	}
}
