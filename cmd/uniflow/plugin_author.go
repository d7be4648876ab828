package main

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/tool"
)

func (a *app) pluginNew() *cobra.Command {
	n := tool.NewPlugin{}
	c := &cobra.Command{
		Use:   "new NAME --lang LANGUAGE",
		Short: "Begin a plugin: source, manifest, a test that passes",
		Long: `Begin a plugin in a folder of its name: source in the language of --lang with the kit for it, a manifest with a
pipeline that uses it, a test case, and a README. Nothing is downloaded, and files that are there already are never
replaced.

Languages: ` + strings.Join(tool.Languages(), ", ") + `.`,
		Example: "  uniflow plugin new greet --lang go && cd greet && uniflow plugin build && uniflow plugin test",
		Args:    args(1, 1),
		RunE: func(c *cobra.Command, args []string) error {
			if n.Language == "" {
				return usage(c, "--lang is missing: one of %s", strings.Join(tool.Languages(), ", "))
			}
			n.Name = args[0]
			files, err := tool.StartPlugin(n)
			if err != nil {
				return err
			}
			return a.answer(files, func() {
				for _, f := range files {
					a.say("wrote %s", line(f))
				}
				if engine := tool.EngineOf(n.Language); engine != "" && n.Engine == "" {
					a.say("put %s, the engine, beside the manifest; next time, --engine FILE copies it", engine)
				}
				a.say("next: cd %s && uniflow plugin build && uniflow plugin test", line(filepath.Dir(files[0])))
			})
		},
	}
	flags := c.Flags()
	flags.StringVar(&n.Language, "lang", "", "`LANGUAGE` to write it in")
	flags.StringVar(&n.Dir, "dir", "", "`FOLDER` to write to (default: the name)")
	flags.StringVar(&n.Engine, "engine", "", "`FILE` of the engine for a script, which is copied (default: looked for beside the manifest)")
	a.words(c, "lang", tool.Languages()...)
	return c
}

// manifestIn is the target of a verb that takes a folder.
func (a *app) manifestIn(args []string) tool.Target {
	t := a.target()
	if len(args) > 0 {
		t.Manifest = filepath.Join(args[0], tool.ManifestName)
	}
	return t
}

func (a *app) pluginBuild() *cobra.Command {
	accept := false
	c := &cobra.Command{
		Use:   "build [DIR]",
		Short: "Build the plugins of a folder",
		Long: `Run the build commands of the plugins in DIR's manifest (default: the working directory), and pin what they make, as
uniflow build does. A compiler that is missing is named, with how to get it.`,
		Args: args(0, 1),
		RunE: func(c *cobra.Command, args []string) error {
			report, err := tool.BuildPlugins(c.Context(), a.manifestIn(args), accept)
			if err != nil {
				return err
			}
			return a.answer(report, func() { a.built(&report) })
		},
	}
	acceptFlag(c, &accept)
	return c
}

// casesOptions are the flags of plugin test.
type casesOptions struct {
	tool.PluginTesting
	junit string
}

func (a *app) pluginCases() *cobra.Command {
	var o casesOptions
	c := &cobra.Command{
		Use:   "test [DIR|FILE]",
		Short: "Run the test cases of plugins under the real engine",
		Long: `Run the cases in testdata/*.toml of DIR's plugins (default: the working directory), or of a plugin's FILE, under the
real engine: each is one call with a fixed clock and seed, fake replies to HTTP requests, and what is expected of it.
--update writes what came into the [expect] tables of cases that differ; comments within these tables are lost, all else
stays. Ends with 1 if a case fails.`,
		Example: "  uniflow plugin test\n  uniflow plugin test greet.wasm --only hello --update",
		Args:    args(0, 1),
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) > 0 {
				o.Path = args[0]
			}
			o.Manifest = a.file
			report, err := tool.TestPlugin(c.Context(), o.PluginTesting)
			if err != nil {
				return err
			}
			if o.junit != "" {
				if err := tool.WriteJUnit(o.junit, report); err != nil {
					return err
				}
			}
			err = a.answer(report, func() { a.tested(&report) })
			if err == nil && !report.OK {
				err = ended{exitRun}
			}
			return err
		},
	}
	flags := c.Flags()
	flags.StringVar(&o.Cases, "cases", "", "`FOLDER` of the cases (default: testdata beside the manifest or file)")
	flags.StringVar(&o.Only, "only", "", "run the cases with `TEXT` in their name")
	flags.BoolVar(&o.Update, "update", false, "write what came into the cases that differ")
	flags.StringVar(&o.junit, "junit", "", "`FILE` to write a report in JUnit's form to")
	return c
}

// tested writes a report: cases that failed with what differs to standard output, as all of it is the answer.
func (a *app) tested(r *flow.PluginTests) {
	failed := 0
	width := 0
	for i := range r.Cases {
		width = max(width, len(r.Cases[i].Name))
	}
	for i := range r.Cases {
		c := &r.Cases[i]
		word, style := "ok", good
		switch {
		case c.Updated:
			word, style = "wrote", alert
		case !c.OK:
			word, style = "FAIL", bad
			failed++
		}
		facts := took(c.Duration.Std())
		if c.Usage.Fuel > 0 {
			facts += fmt.Sprintf(", fuel %d", c.Usage.Fuel)
		}
		fmt.Fprintf(a.out, "%s  %-*s  %s\n", a.onOut(style, fmt.Sprintf("%-5s", word)), width, line(c.Name), facts)
		if !c.OK {
			a.differs(c)
		}
	}
	if failed > 0 {
		fmt.Fprintf(a.out, "%d of %s failed\n", failed, count(len(r.Cases), "case"))
		a.say("if what came is right: uniflow plugin test --update")
	}
}

// differs writes what came otherwise, and what the plugin logged last.
func (a *app) differs(c *flow.PluginCase) {
	fmt.Fprintf(a.out, "  --> %s\n", line(c.File))
	for text := range strings.Lines(tool.DifferencesText(c)) {
		text = strings.TrimRight(text, "\n")
		style := ""
		switch trimmed := strings.TrimSpace(text); {
		case strings.HasPrefix(trimmed, "- "):
			style = bad
		case strings.HasPrefix(trimmed, "+ "):
			style = good
		}
		fmt.Fprintf(a.out, "  %s\n", a.onOut(style, lines(text)))
	}
	a.refused(c.Refused, func(text string) { fmt.Fprintf(a.out, "  %s\n", text) })
	for i := max(0, len(c.Logs)-lastLines); i < len(c.Logs); i++ {
		fmt.Fprintf(a.out, "  | %s\n", line(c.Logs[i].Level.String()+": "+c.Logs[i].Message))
	}
}

func (a *app) pluginDev() *cobra.Command {
	var o tool.PluginWatch
	c := &cobra.Command{
		Use:   "dev [DIR]",
		Short: "Build and test plugins whenever a file changes",
		Long: `Build the plugins of DIR's manifest (default: the working directory) and run their cases, and do so again whenever a
file there changes, until the command is interrupted.`,
		Args: args(0, 1),
		RunE: func(c *cobra.Command, args []string) error {
			o.Target = a.manifestIn(args)
			return tool.WatchPlugins(c.Context(), o, func(e flow.PluginEvent) { a.developed(&e) })
		},
	}
	c.Flags().IntVar(&o.Rounds, "rounds", 0, "end after so many rounds (default: go on until interrupted)")
	return c
}

// developed writes what a round came to.
func (a *app) developed(e *flow.PluginEvent) {
	_ = a.answer(e, func() { // what cannot be written is told at the end
		if e.Changed != "" {
			a.say("changed: %s", line(e.Changed))
		}
		if e.Built != nil && !a.quiet {
			a.built(e.Built)
		}
		if e.Tests != nil {
			a.tested(e.Tests)
		}
		if e.Problem != "" {
			fmt.Fprintf(a.talk, "%s\n", lines(e.Problem))
		}
		if e.Hint != "" {
			fmt.Fprintf(a.talk, "   = help: %s\n", lines(e.Hint))
		}
	})
}

func (a *app) pluginPack() *cobra.Command {
	var descriptor, out string
	c := &cobra.Command{
		Use:   "pack FILE",
		Short: "Embed a plugin's description in its module",
		Long: `Embed a JSON file that describes a plugin, its functions and the grants that it wants as the custom section
uniflow.plugin of its module; one that is there is replaced. Hosts read it without running the module.`,
		Example: "  uniflow plugin pack csv.wasm --descriptor uniflow.plugin.json -o csv.wasm",
		Args:    args(1, 1),
		RunE: func(c *cobra.Command, args []string) error {
			if out == "" {
				out = args[0]
			}
			info, err := tool.PackPlugin(args[0], descriptor, out)
			if err != nil {
				return err
			}
			return a.answer(info, func() { a.say("wrote %s, %s, %s", line(out), bytesText(int64(info.Size)), info.Digest.Short()) })
		},
	}
	c.Flags().StringVar(&descriptor, "descriptor", "uniflow.plugin.json", "the description, a JSON `FILE`")
	c.Flags().StringVarP(&out, "out", "o", "", "`FILE` to write (default: the module itself)")
	return c
}
