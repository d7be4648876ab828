package main

import (
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/tool"
)

func (a *app) pluginCommand() *cobra.Command {
	c := a.group(&cobra.Command{Use: "plugin", Short: "Look at a plugin's file, or try it"})
	c.AddCommand(a.pluginInspect(), a.pluginRun())
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
}

// pluginOptions are the flags of plugin run.
type pluginOptions struct {
	context, with, function string
	set, mounts             []string
	timeout                 time.Duration
}

func (a *app) pluginRun() *cobra.Command {
	var o pluginOptions
	c := &cobra.Command{
		Use:   "run FILE [-- ARG...]",
		Short: "Call a plugin once, in its sandbox, and record nothing",
		Example: `  uniflow plugin run clean.wasm --with '{"rows": [1, 2]}'
  uniflow plugin run clean.wasm --set year=2013 --grant-mount /data=./data`,
		Args: args(1, 1000),
		RunE: func(c *cobra.Command, args []string) error {
			if o.timeout <= 0 {
				return usage(c, "--timeout %s is not more than nothing", o.timeout)
			}
			call, err := a.pluginCall(args[0], &o)
			if err != nil {
				return err
			}
			call.Args = args[1:]
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
	flags.StringVar(&o.function, "function", "", "`NAME` of the function to call (default: the plugin's own)")
	flags.StringArrayVar(&o.set, "set", nil, "`NAME=VALUE` for the context; may stand several times")
	flags.StringArrayVar(&o.mounts, "grant-mount", nil, "`GUEST=HOST`: lets the plugin read a folder or file; may stand several times")
	flags.DurationVar(&o.timeout, "timeout", 30*time.Second, "how long the call may take")
	return c
}

// pluginCall makes a call of flags.
func (a *app) pluginCall(file string, o *pluginOptions) (tool.PluginCall, error) {
	call := tool.PluginCall{Path: file, Function: o.function, Timeout: o.timeout, Grant: flow.Grant{Mount: map[string]string{}}}
	var err error
	if call.Context, err = a.contextOf(o.context, o.set, nil); err != nil {
		return call, err
	}
	if o.with != "" {
		if call.With, err = a.readObject("--with", o.with); err != nil {
			return call, err
		}
	}
	for _, pair := range o.mounts {
		guest, path, found := strings.Cut(pair, "=")
		if !found || !strings.HasPrefix(guest, "/") || path == "" {
			return call, &flow.Error{Code: flow.CodeInput, Op: "--grant-mount " + pair, Message: "expected a path of the guest, =, and a path of this machine", Hint: "--grant-mount /data=./data"}
		}
		if _, err := os.Stat(path); err != nil {
			return call, &flow.Error{Code: flow.CodeInput, Op: "--grant-mount " + pair, Message: "there is nothing at " + path, Hint: "--grant-mount " + guest + "=./data", Err: err}
		}
		call.Grant.Mount[guest] = path
	}
	return call, nil
}

// pluginRan writes how a call went: outputs to standard output, all else to talk.
func (a *app) pluginRan(r *flow.PluginRun) {
	for i := range r.Logs {
		a.say("%-5s %s", r.Logs[i].Level, line(r.Logs[i].Message))
	}
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
