package main

import (
	"github.com/spf13/cobra"

	"github.com/uniflow-dev/uniflow/host/tool"
)

func (a *app) initCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "init [DIR]",
		Short: "Begin a project that runs at once",
		Long: `Begin a project in DIR (default: the working directory): a manifest with one pipeline, the module that it runs, the
manifest's schema for editors, and the lock. Files that are there already are never replaced.`,
		Example: "  uniflow init demo && cd demo && uniflow run hello --set name=Ada",
		Args:    args(0, 1),
		RunE: func(_ *cobra.Command, args []string) error {
			dir := "."
			if len(args) > 0 {
				dir = args[0]
			}
			files, err := tool.Init(dir)
			if err != nil {
				return err
			}
			return a.answer(files, func() {
				for _, f := range files {
					a.say("wrote %s", line(f))
				}
				next := "uniflow check && uniflow run hello --set name=Ada"
				if dir != "." {
					next = "cd " + line(dir) + " && " + next
				}
				a.say("next: %s", next)
			})
		},
	}
}
