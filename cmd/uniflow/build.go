package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/tool"
)

func (a *app) buildCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "build",
		Short: "Build the plugins and pin their digests",
		Long: `Run the build commands of the manifest's plugins, and pin the digest of every plugin file: of prebuilt ones in
uniflow.lock, which is committed, of built ones in the data folder. A host that serves loads nothing else.`,
		Args: args(0, 0),
		RunE: func(c *cobra.Command, _ []string) error {
			report, err := tool.BuildPlugins(c.Context(), a.target())
			if err != nil {
				return err
			}
			return a.answer(report, func() { a.built(&report) })
		},
	}
}

// built writes which files were built and pinned.
func (a *app) built(report *flow.BuildReport) {
	rows := [][]string{{"PLUGIN", "FILE", "DIGEST", "PINNED IN", ""}}
	for _, p := range report.Plugins {
		note := ""
		if p.Changed {
			note = "changed"
		}
		rows = append(rows, []string{p.Name, p.Path, p.Digest.Short(), p.Lock, note})
	}
	a.table(a.out, rows)
	if len(report.Plugins) == 0 {
		fmt.Fprintln(a.talk, "the manifest names no plugin files")
	}
}
