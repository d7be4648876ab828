package main

import (
	"fmt"
	"runtime"
	"strings"

	"github.com/spf13/cobra"

	"github.com/uniflow-dev/uniflow/host"
	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/tool"
)

func (a *app) explainCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "explain [CODE]",
		Short:   "Explain the code of an error",
		Example: "  uniflow explain UF5104\n  uniflow explain   # all codes",
		Args:    args(0, 1),
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
			var codes []cobra.Completion
			for _, e := range flow.Explanations() {
				codes = append(codes, cobra.CompletionWithDesc(string(e.Code), e.Title))
			}
			return codes, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				all := flow.Explanations()
				return a.answer(all, func() {
					rows := [][]string{{"CODE", "MEANING"}}
					for _, e := range all {
						rows = append(rows, []string{string(e.Code), e.Title})
					}
					a.table(a.out, rows)
				})
			}
			e, ok := flow.Explain(args[0])
			if !ok {
				return &flow.Error{Code: flow.CodeUsage, Message: fmt.Sprintf("there is no code %q", args[0]), Hint: "uniflow explain"}
			}
			return a.answer(e, func() {
				fmt.Fprintf(a.out, "%s: %s\n\n%s\n", a.onOut(bold, string(e.Code)), e.Title, strings.TrimSpace(e.Text))
			})
		},
	}
}

func (a *app) schemaCommand() *cobra.Command {
	var names bool
	c := &cobra.Command{
		Use:     "schema [NAME]",
		Short:   "Print the JSON Schema of the manifest, or of an answer",
		Example: "  uniflow schema > uniflow.schema.json\n  uniflow schema --list\n  uniflow schema runs",
		Args:    args(0, 1),
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
			return tool.Schemas(), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(_ *cobra.Command, args []string) error {
			if names {
				all := tool.Schemas()
				return a.answer(all, func() { fmt.Fprintln(a.out, strings.Join(all, "\n")) })
			}
			name := "manifest"
			if len(args) > 0 {
				name = args[0]
			}
			doc, err := tool.Schema(name)
			if err != nil {
				return err
			}
			fmt.Fprintf(a.out, "%s", doc)
			return nil
		},
	}
	c.Flags().BoolVar(&names, "list", false, "list the names of all schemas")
	return c
}

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  args(0, 0),
		RunE: func(*cobra.Command, []string) error {
			v := flow.VersionInfo{Version: host.Version, Go: runtime.Version(), System: runtime.GOOS + "/" + runtime.GOARCH, ABI: flow.RunContextABI}
			return a.answer(v, func() { fmt.Fprintf(a.out, "uniflow %s (%s, %s, %s)\n", v.Version, v.Go, v.System, v.ABI) })
		},
	}
}

func (a *app) doctorCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "doctor",
		Short: "Look at what a host needs on this machine",
		Long: `Look at what a host needs and can use: the data folder and its disk, who holds it, the API's address, time zones,
what the system offers for confinement, and the tools that build commands need. Ends with 1 if something is in the way.`,
		Args: args(0, 0),
		RunE: func(c *cobra.Command, _ []string) error {
			report := tool.Doctor(c.Context(), a.target())
			err := a.answer(report, func() {
				styles := map[string]string{"ok": good, "warning": alert, "error": bad}
				for _, check := range report.Checks {
					fmt.Fprintf(a.out, "%s  %s: %s\n", a.onOut(styles[check.Status], fmt.Sprintf("%-7s", check.Status)), line(check.Name), line(check.Detail))
					if check.Help != "" {
						fmt.Fprintf(a.out, "         = help: %s\n", line(check.Help))
					}
				}
			})
			if err == nil && !report.OK {
				err = ended{exitRun}
			}
			return err
		},
	}
}
