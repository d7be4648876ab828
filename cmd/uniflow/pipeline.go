package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/tool"
)

func (a *app) pipelineCommand() *cobra.Command {
	c := a.group(&cobra.Command{Use: "pipeline", Short: "Show pipelines, and keep their versions"})
	c.AddCommand(a.pipelineList())
	for _, ofOne := range []*cobra.Command{a.pipelineShow(), a.pipelineSave(), a.pipelineVersions(), a.pipelineRollback(), a.pipelineState()} {
		c.AddCommand(a.completes(ofOne, pipelineNames))
	}
	return c
}

func (a *app) pipelineList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the pipelines", Args: args(0, 0),
		RunE: func(c *cobra.Command, _ []string) error {
			return a.with(c.Context(), tool.Read, func(l *tool.Link) error {
				infos, err := l.Pipelines(c.Context())
				if err != nil {
					return err
				}
				return a.answer(list(infos), func() {
					rows := [][]string{{"PIPELINE", "PROJECT", "STEPS", "SCHEDULES", "VERSION", "LAST RUN", ""}}
					for i := range infos {
						p := &infos[i]
						when, how := lastRun(p.LastRun)
						rows = append(rows, []string{p.ID, p.Project, fmt.Sprint(len(p.Steps)), strings.Join(p.Schedules, " "), p.Version.Short(), when, how})
					}
					a.table(a.out, rows)
				})
			})
		},
	}
}

// lastRun says when a run began and how it ended.
func lastRun(r *flow.RunRecord) (when, how string) {
	if r == nil {
		return "never", ""
	}
	return stamp(r.QueuedAt), standing(r)
}

func (a *app) pipelineShow() *cobra.Command {
	return &cobra.Command{
		Use: "show NAME", Short: "Show a pipeline: steps, plugins, grants, parameters", Args: args(1, 1),
		RunE: func(c *cobra.Command, args []string) error {
			return a.with(c.Context(), tool.Read, func(l *tool.Link) error {
				info, err := l.Pipeline(c.Context(), args[0])
				if err != nil {
					return err
				}
				return a.answer(info, func() {
					a.plannedPipeline(info.Plan, nil)
					when, how := lastRun(info.LastRun)
					fmt.Fprintln(a.out, strings.TrimSpace("last run: "+when+" "+how))
				})
			})
		},
	}
}

func (a *app) pipelineSave() *cobra.Command {
	var meta, old []string
	c := &cobra.Command{
		Use: "save NAME", Short: "Record the pipeline's present version, with words of yours", Args: args(1, 1),
		Example: "  uniflow pipeline save weather --set ticket=OPS-12 --set by=ada",
		RunE: func(c *cobra.Command, args []string) error {
			metadata, err := metadata(c, "set", slices.Concat(old, meta))
			if err != nil {
				return err
			}
			return a.with(c.Context(), tool.Write, func(l *tool.Link) error {
				v, err := l.SaveVersion(c.Context(), args[0], metadata)
				if err != nil {
					return err
				}
				return a.answer(v, func() { fmt.Fprintf(a.out, "%s %s\n", line(flow.ID(v.Tenant, v.Pipeline)), v.Digest) })
			})
		},
	}
	c.Flags().StringArrayVar(&meta, "set", nil, "`NAME=VALUE` to keep with the version; may stand several times")
	c.Flags().StringArrayVar(&old, "meta", nil, "`NAME=VALUE`, as --set")
	_ = c.Flags().MarkHidden("meta") // its name of before
	return c
}

func (a *app) pipelineVersions() *cobra.Command {
	return &cobra.Command{
		Use: "versions NAME", Short: "List the versions that were applied or saved, newest first", Args: args(1, 1),
		RunE: func(c *cobra.Command, args []string) error {
			return a.with(c.Context(), tool.Read, func(l *tool.Link) error {
				versions, err := l.Versions(c.Context(), args[0])
				if err != nil {
					return err
				}
				return a.answer(list(versions), func() {
					rows := [][]string{{"", "AT", "VERSION", "LABEL", "DEPLOYMENT", "METADATA"}}
					for _, v := range versions {
						mark, deployment := "", "saved"
						if v.Present {
							mark = "*"
						}
						if v.Deployment > 0 {
							deployment = fmt.Sprint(v.Deployment)
						}
						rows = append(rows, []string{mark, stamp(v.SavedAt), v.Digest.Short(), line(v.Label), deployment, words(v.Metadata)})
					}
					a.table(a.out, rows)
					if len(versions) == 0 {
						a.say("none was applied or saved: uniflow serve, or uniflow pipeline save %s", line(args[0]))
					}
				})
			})
		},
	}
}

func (a *app) pipelineState() *cobra.Command {
	var change flow.StateChange
	var pairs []string
	c := &cobra.Command{
		Use: "state NAME", Short: "Show what a pipeline keeps from run to run, or change it", Args: args(1, 1),
		Example: "  uniflow pipeline state weather\n  uniflow pipeline state weather --set last=41 --delete cursor",
		RunE: func(c *cobra.Command, args []string) error {
			set, err := a.contextOf("", pairs, nil)
			if err != nil {
				return err
			}
			change.Set = set
			mode := tool.Read
			if len(change.Set)+len(change.Delete) > 0 {
				mode = tool.Write
			}
			return a.with(c.Context(), mode, func(l *tool.Link) error {
				kept, err := l.State(c.Context(), args[0])
				if mode == tool.Write && err == nil {
					kept, err = l.SetState(c.Context(), args[0], change)
				}
				if err != nil {
					return err
				}
				return a.answer(kept, func() { a.kept(args[0], kept) })
			})
		},
	}
	c.Flags().StringArrayVar(&pairs, "set", nil, "`KEY=VALUE` to keep; the value is JSON, or else text; may stand several times")
	c.Flags().StringArrayVar(&change.Delete, "delete", nil, "`KEY` to delete; may stand several times")
	return c
}

// kept shows the state of a pipeline.
func (a *app) kept(pipeline string, state map[string]json.RawMessage) {
	rows := [][]string{{"KEY", "VALUE"}}
	for _, key := range slices.Sorted(maps.Keys(state)) {
		rows = append(rows, []string{key, line(string(state[key]))})
	}
	if len(state) > 0 {
		a.table(a.out, rows)
	} else {
		a.say("%s keeps nothing", line(pipeline))
	}
}
