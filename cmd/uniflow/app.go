package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/tool"
)

// app is one invocation: its streams and the flags that all verbs share.
type app struct {
	in       io.Reader
	out      *output // data
	talk     *output // everything else
	file     string
	server   string
	color    string
	json     bool
	quiet    bool
	painting bool
}

// run executes one command line and returns its exit code. It has no other effect on the process.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	a := &app{in: stdin, out: newOutput(stdout), talk: newOutput(stderr)}
	root := a.root()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(a.out)
	root.SetErr(a.talk)
	err := root.ExecuteContext(ctx)
	if failed := a.out.failure(); err == nil && failed != nil {
		err = fmt.Errorf("write to standard output: %w", failed)
	}
	return a.finish(ctx, err)
}

const rootLong = `Uniflow runs scheduled pipelines of sandboxed plugins.

A manifest, uniflow.toml, lists plugins, pipelines and schedules. The first steps:

  uniflow init demo && cd demo
  uniflow check
  uniflow run hello --set name=Ada
  uniflow serve

Exit codes: 0 done, 1 a run failed, 2 usage or manifest, 3 a plugin cannot be loaded, 4 denied, 5 no host answers,
6 conflict, 7 changes to review, 8 internal or I/O, 130 interrupted.`

// root builds the command tree.
func (a *app) root() *cobra.Command {
	root := a.group(&cobra.Command{Use: "uniflow", Short: "Run scheduled pipelines of sandboxed plugins", Long: rootLong})
	root.SilenceErrors, root.SilenceUsage = true, true
	root.PersistentPreRunE = func(*cobra.Command, []string) error { return a.prepare() }
	root.SetFlagErrorFunc(flagError)
	flags := root.PersistentFlags()
	flags.StringVarP(&a.file, "file", "f", tool.ManifestName, "manifest `PATH`")
	flags.StringVar(&a.server, "server", "", "`URL` of a host; its token is read from UNIFLOW_TOKEN, the authorities of its certificate from the file UNIFLOW_CA (default: UNIFLOW_SERVER, or the host of the manifest's data folder)")
	flags.BoolVar(&a.json, "json", false, "answer as JSON; its schemas: uniflow schema --list")
	flags.BoolVarP(&a.quiet, "quiet", "q", false, "no talk, only data and errors")
	flags.StringVar(&a.color, "color", "auto", "auto, always or never")
	root.AddCommand(
		a.initCommand(), a.checkCommand(), a.planCommand(), a.applyCommand(), a.deploymentsCommand(), a.simulateCommand(), a.buildCommand(), a.completes(a.runCommand(), pipelineNames), a.serveCommand(),
		a.scheduleCommand(), a.runsCommand(), a.pipelineCommand(), a.pluginCommand(), a.healthCommand(), a.topCommand(), a.alertsCommand(),
		a.tokenCommand(), a.auditCommand(), a.backupCommand(), a.restoreCommand(), a.serviceCommand(), a.explainCommand(), a.schemaCommand(), a.doctorCommand(), a.versionCommand(),
	)
	a.words(root, "color", "auto", "always", "never")
	root.SetHelpCommand(helpCommand(root))
	root.InitDefaultCompletionCmd()
	if c, _, err := root.Find([]string{"completion"}); err == nil {
		a.group(c)
	}
	return root
}

// prepare settles what the shared flags mean.
func (a *app) prepare() error {
	a.server = cmp.Or(a.server, os.Getenv("UNIFLOW_SERVER"))
	switch a.color {
	case "always":
		a.painting = true
	case "never":
		a.painting = false
	case "auto":
		a.painting = a.talk.terminal && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	default:
		return &flow.Error{Code: flow.CodeUsage, Message: fmt.Sprintf("--color %q is not one of auto, always, never", a.color), Hint: "uniflow --color never"}
	}
	return nil
}

func (a *app) target() tool.Target {
	return tool.Target{Manifest: a.file, Server: a.server, Token: os.Getenv("UNIFLOW_TOKEN"), CA: os.Getenv("UNIFLOW_CA")}
}

// connect finds the host that a verb is about.
func (a *app) connect(ctx context.Context, access tool.Access) (*tool.Link, error) {
	return tool.Connect(ctx, a.target(), access)
}

// with connects, calls do, and closes what was opened.
func (a *app) with(ctx context.Context, access tool.Access, do func(*tool.Link) error) error {
	link, err := a.connect(ctx, access)
	if err != nil {
		return err
	}
	err = do(link)
	if closing := link.Close(); err == nil {
		err = closing
	}
	return err
}

// group makes a command that only has verbs: alone it prints its help, with a verb that it has not it suggests one.
func (a *app) group(c *cobra.Command) *cobra.Command {
	c.SuggestionsMinimumDistance = 2
	c.Args = cobra.ArbitraryArgs
	c.RunE = func(c *cobra.Command, args []string) error {
		if len(args) == 0 {
			return c.Help()
		}
		hint := c.CommandPath() + " --help"
		if near := c.SuggestionsFor(args[0]); len(near) > 0 {
			hint = "did you mean: " + c.CommandPath() + " " + strings.Join(near, ", "+c.CommandPath()+" ")
		}
		return &flow.Error{Code: flow.CodeUsage, Message: fmt.Sprintf("%s has no verb %q", c.CommandPath(), args[0]), Hint: hint}
	}
	return c
}

// helpCommand shows the help of a command by its words; words that are none are a mistake like any other.
func helpCommand(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use: "help [VERB]...", Short: "Help about a verb",
		RunE: func(_ *cobra.Command, words []string) error {
			c, rest, err := root.Find(words)
			if err != nil {
				return err
			}
			if len(rest) > 0 {
				return usage(c, "%s has no verb %.80q", c.CommandPath(), rest[0])
			}
			return c.Help()
		},
		ValidArgsFunction: func(_ *cobra.Command, words []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
			var verbs []cobra.Completion
			if c, rest, err := root.Find(words); err == nil && len(rest) == 0 {
				for _, verb := range c.Commands() {
					if verb.IsAvailableCommand() {
						verbs = append(verbs, cobra.CompletionWithDesc(verb.Name(), verb.Short))
					}
				}
			}
			return verbs, cobra.ShellCompDirectiveNoFileComp
		},
	}
}

// usage is a mistake in the command line of a command.
func usage(c *cobra.Command, format string, args ...any) error {
	return &flow.Error{Code: flow.CodeUsage, Message: fmt.Sprintf(format, args...), Hint: c.CommandPath() + " --help"}
}

// flagError says what is wrong with a flag in the words of the flag.
func flagError(c *cobra.Command, err error) error {
	hit := invalidValue.FindStringSubmatch(err.Error())
	if len(hit) != 3 || c.Flag(hit[2]) == nil {
		return usage(c, "%.300v", err)
	}
	wanted := map[string]string{"int": "a whole number", "duration": "a length of time like 90s, 5m or 1h30m", "bool": "true or false"}
	what, ok := wanted[c.Flag(hit[2]).Value.Type()]
	if !ok {
		return usage(c, "%.300v", err)
	}
	return usage(c, "--%s %.80s is not %s", hit[2], hit[1], what)
}

// invalidValue is how the library says that a flag cannot have a value; what follows are words of the parser.
var invalidValue = regexp.MustCompile(`(?s)^invalid argument (".*") for "(?:-., )?--([a-z-]+)" flag: `)

// args checks the number of arguments; names are those of the usage line.
func args(low, high int) cobra.PositionalArgs {
	return func(c *cobra.Command, given []string) error {
		if slices.Contains(given, "") {
			return usage(c, "an argument is empty, expected: %s", c.UseLine())
		}
		if len(given) >= low && len(given) <= high {
			return nil
		}
		return usage(c, "%s given, expected: %s", count(len(given), "argument"), c.UseLine())
	}
}
