package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/uniflow-dev/uniflow/host/tool"
)

func (a *app) backupCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "backup FILE",
		Short: "Copy the ledger to a file, also while a host serves",
		Long: `Write a copy of the ledger, as it is at one moment, to a new file: schedules, slots, runs, events, log lines. A host may
serve meanwhile. The file has its name once it is whole and checked.

Artifacts and the plugins of earlier versions are no part of it: they are files of the data folder, in artifacts and
plugins, named by their digests, and are copied as such.`,
		Example: "  uniflow backup /backups/uniflow-$(date +%F).db",
		Args:    args(1, 1),
		RunE: func(c *cobra.Command, args []string) error {
			if a.server != "" {
				return usage(c, "it is done where the ledger is, and not by way of a server: leave out --server and UNIFLOW_SERVER")
			}
			report, err := tool.Backup(c.Context(), a.target(), args[0])
			if err != nil {
				return err
			}
			return a.answer(report, func() { fmt.Fprintf(a.out, "%s: %d bytes\n", line(report.File), report.Bytes) })
		},
	}
}

func (a *app) restoreCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "restore FILE",
		Short: "Put a backup in the place of the ledger",
		Long: `Check a file that backup wrote and put a copy of it in the place of the ledger. No host may use the data folder. The
ledger that is there is kept beside it, under a name that ends with the time.

The next host goes on from the backup: runs that were live in it are taken up as after a crash, slots that have come due
since are those of a downtime.`,
		Example: "  uniflow restore /backups/uniflow-2027-01-31.db",
		Args:    args(1, 1),
		RunE: func(c *cobra.Command, args []string) error {
			if a.server != "" {
				return usage(c, "it is done where the ledger is, and not by way of a server: leave out --server and UNIFLOW_SERVER")
			}
			report, err := tool.Restore(c.Context(), a.target(), args[0])
			if err != nil {
				return err
			}
			return a.answer(report, func() {
				fmt.Fprintf(a.out, "restored %s\n", line(report.Ledger))
				if report.Kept != "" {
					fmt.Fprintf(a.out, "the ledger of before: %s\n", line(report.Kept))
				}
			})
		},
	}
}
