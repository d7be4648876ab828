package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/tool"
)

// completeTime bounds what a person waits for after pressing the key.
const completeTime = 2 * time.Second

// completed is how many runs are offered.
const completed = 20

// completes makes a command offer, for its first argument, the names that there are, each with a word about it. Where
// nobody can be asked, nothing is offered.
func (a *app) completes(c *cobra.Command, names func(context.Context, *tool.Link) ([]cobra.Completion, error)) *cobra.Command {
	c.ValidArgsFunction = func(c *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return a.names(c, names), cobra.ShellCompDirectiveNoFileComp
	}
	return c
}

func (a *app) names(c *cobra.Command, names func(context.Context, *tool.Link) ([]cobra.Completion, error)) []cobra.Completion {
	ctx, cancel := context.WithTimeout(c.Context(), completeTime)
	defer cancel()
	var all []cobra.Completion
	if a.prepare() == nil {
		_ = a.with(ctx, tool.Read, func(l *tool.Link) (err error) { // there is no place for an error
			all, err = names(ctx, l)
			return err
		})
	}
	return all
}

// completesFlag makes a flag of a command offer the names that there are.
func (a *app) completesFlag(c *cobra.Command, flag string, names func(context.Context, *tool.Link) ([]cobra.Completion, error)) {
	a.offers(c, flag, func(c *cobra.Command, _ []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		return a.names(c, names), cobra.ShellCompDirectiveNoFileComp
	})
}

// words makes a flag of a command offer the words that it takes.
func (a *app) words(c *cobra.Command, flag string, words ...string) {
	a.offers(c, flag, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp))
}

func (*app) offers(c *cobra.Command, flag string, f cobra.CompletionFunc) {
	if err := c.RegisterFlagCompletionFunc(flag, f); err != nil {
		panic(err) // the command has no such flag, or it was done twice
	}
}

func pipelineNames(ctx context.Context, l *tool.Link) (all []cobra.Completion, err error) {
	infos, err := l.Pipelines(ctx)
	for i := range infos {
		all = append(all, cobra.CompletionWithDesc(infos[i].ID, line(infos[i].About)))
	}
	return all, err
}

func scheduleNames(ctx context.Context, l *tool.Link) (all []cobra.Completion, err error) {
	infos, err := l.Schedules(ctx)
	for i := range infos {
		all = append(all, cobra.CompletionWithDesc(infos[i].Name, infos[i].Value+" "+infos[i].Timezone))
	}
	return all, err
}

func runNames(ctx context.Context, l *tool.Link) (all []cobra.Completion, err error) {
	runs, err := l.Runs(ctx, flow.RunQuery{Limit: completed})
	if len(runs) > 0 {
		all = append(all, cobra.CompletionWithDesc("@last", "the newest one"))
	}
	for i := range runs {
		r := &runs[i]
		all = append(all, cobra.CompletionWithDesc(string(r.ID), flow.ID(r.Tenant, r.Pipeline)+" "+stamp(r.QueuedAt)+" "+standing(r)))
	}
	return all, err
}

func alertNames(ctx context.Context, l *tool.Link) (all []cobra.Completion, err error) {
	infos, err := l.Alerts(ctx)
	for i := range infos {
		all = append(all, infos[i].Name)
	}
	return all, err
}
