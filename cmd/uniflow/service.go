package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/uniflow-dev/uniflow/host/tool"
)

func (a *app) serviceCommand() *cobra.Command {
	c := a.group(&cobra.Command{Use: "service", Short: "Make the files by which a machine or a cluster runs a host"})
	c.AddCommand(a.serviceRender())
	return c
}

func (a *app) serviceRender() *cobra.Command {
	var s tool.Service
	var out string
	var force bool
	c := &cobra.Command{
		Use:   "render " + strings.Join(tool.ServiceKinds(), "|"),
		Short: "Make the files of a service",
		Long: `Make the files of a service: a unit of systemd, an image for containers, a file for Docker Compose, a chart for Helm, or
a CronJob of Kubernetes that runs one pipeline. They are a beginning that holds: edit them, and keep them with the project.

One file goes to standard output; several, which a chart and an image have, need --out.`,
		Example: `  uniflow service render systemd --credential age-identity
  uniflow service render docker --out .
  uniflow service render helm --out chart --image registry.example.com/flows:1
  uniflow service render cronjob --pipeline hello --cron "0 6 * * *"`,
		Args: args(1, 1), ValidArgs: tool.ServiceKinds(),
		RunE: func(c *cobra.Command, args []string) error {
			if force && out == "" {
				return usage(c, "--force replaces files, and without --out none is written")
			}
			return a.renderService(c, args[0], s, out, force)
		},
	}
	flags := c.Flags()
	flags.StringVar(&out, "out", "", "write the files into this `FOLDER`")
	flags.BoolVar(&force, "force", false, "replace files that are there")
	flags.StringVar(&s.Binary, "binary", "", "`PATH` of the program (systemd; default: /usr/local/bin/uniflow)")
	flags.StringVar(&s.Folder, "folder", "", "`PATH` of the project (systemd; default: /etc/uniflow)")
	flags.StringVar(&s.Image, "image", "", "`NAME:TAG` of the image (containers; default: uniflow, of this version)")
	flags.StringVar(&s.Pipeline, "pipeline", "", "`NAME` of what is run (cronjob; default: hello)")
	flags.StringVar(&s.Cron, "cron", "", "`FIELDS` that say when (cronjob; default: 0 6 * * *)")
	flags.StringVar(&s.Timezone, "timezone", "", "`ZONE` of --cron (cronjob; default: Etc/UTC)")
	flags.StringArrayVar(&s.Credentials, "credential", nil, "`NAME` of a credential or secret that the service is given (systemd, compose); may stand several times")
	return c
}

func (a *app) renderService(c *cobra.Command, kind string, s tool.Service, out string, force bool) error {
	files, err := tool.RenderService(kind, s)
	if err != nil {
		return err
	}
	if out == "" {
		if len(files) > 1 && !a.json {
			return usage(c, "%s has %d files: say where they are to be written, with --out FOLDER", kind, len(files))
		}
		return a.answer(files, func() { fmt.Fprint(a.out, files[0].Text) })
	}
	if err := tool.WriteService(out, files, force); err != nil {
		return err
	}
	for i := range files {
		files[i].Text = ""
	}
	return a.answer(files, func() {
		for _, f := range files {
			a.say("wrote %s", line(f.Path))
		}
	})
}
