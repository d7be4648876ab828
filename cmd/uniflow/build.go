package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/tool"
)

func (a *app) buildCommand() *cobra.Command {
	accept, tenant := false, false
	c := &cobra.Command{
		Use:   "build",
		Short: "Build the plugins, pin them, and approve what the manifest grants",
		Long: `Run the build commands of the manifest's plugins, pin every plugin file with what it imports and wants, and write what the
manifest grants beside it: for prebuilt files into uniflow.lock, which is committed and reviewed, for built ones into the
data folder. A host that serves loads nothing else, and grants nothing more. A prebuilt file that has changed is refused,
with what its new bytes import and want; --accept takes it.`,
		Args: args(0, 0),
		RunE: func(c *cobra.Command, _ []string) error {
			target := a.target()
			target.Tenant = tenant
			report, err := tool.BuildPlugins(c.Context(), target, accept)
			if err != nil {
				return err
			}
			return a.answer(report, func() { a.built(&report) })
		},
	}
	acceptFlag(c, &accept)
	tenantFlag(c, &tenant)
	return c
}

func acceptFlag(c *cobra.Command, accept *bool) {
	c.Flags().BoolVar(accept, "accept", false, "take prebuilt files that have changed")
}

// built writes which files were built and pinned, and what that changed.
func (a *app) built(report *flow.BuildReport) {
	a.capabilities(report.Changes)
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
