package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/tool"
)

// capabilities writes what has changed about plugins: their bytes, what they import and want, and what they are granted.
func (a *app) capabilities(changes []flow.PluginChange) {
	for _, c := range changes {
		for _, words := range c.Words() {
			fmt.Fprintln(a.out, line(words))
		}
	}
}

func (a *app) pluginAdd() *cobra.Command {
	var o tool.PluginAdding
	digest := ""
	c := &cobra.Command{
		Use:   "add SOURCE [NAME]",
		Short: "Take a module from elsewhere, and pin it without any grant",
		Long: `Take a module from a path, from https:// or from a registry, oci://HOST/REPOSITORY:TAG or @DIGEST; check its digest and
its signature; show what it imports and wants, without running it; write it to plugins/NAME.wasm, name it in the manifest,
and pin it in uniflow.lock with where it came from. A tag is resolved once: the lock holds the digest. Nothing is granted,
and nothing is written of what is refused. A NAME that the manifest has is updated; other bytes need --accept.

With keys under [host], or with --key, the module needs a minisign signature: SOURCE.minisig, or a layer of that name.
Registries are asked without credentials, unless DOCKER_CONFIG names the folder of a config.json.`,
		Example: `  uniflow plugin add ../clean/clean.wasm
  uniflow plugin add https://example.com/clean.wasm --key "$(tail -n 1 minisign.pub)"
  uniflow plugin add oci://registry.example.com/acme/clean:1.2.0 clean`,
		Args: args(1, 2),
		RunE: func(c *cobra.Command, args []string) error {
			o.Target, o.Source, o.Digest = a.target(), args[0], flow.Digest(digest)
			if len(args) > 1 {
				o.Name = args[1]
			}
			if dir := os.Getenv("DOCKER_CONFIG"); dir != "" {
				o.Credentials = filepath.Join(dir, "config.json")
			}
			report, err := tool.AddPlugin(c.Context(), o)
			if err != nil {
				return err
			}
			return a.answer(report, func() { a.pluginAdded(&report) })
		},
	}
	flags := c.Flags()
	flags.StringArrayVar(&o.Keys, "key", nil, "minisign public `KEY` of who must have signed the module; may stand several times")
	flags.StringVar(&digest, "digest", "", "`DIGEST` that the module must have, as sha256:…")
	flags.BoolVar(&o.PlainHTTP, "plain-http", false, "allow HTTP without TLS to other machines than this one")
	flags.BoolVar(&o.Accept, "accept", false, "take other bytes in the place of a plugin that is there")
	return c
}

// pluginAdded writes what was added, what it may do now, and what it would like to.
func (a *app) pluginAdded(p *flow.PluginAdded) {
	a.capabilities([]flow.PluginChange{p.Change})
	from := ""
	if p.From != "" {
		from = ", from " + p.From
	}
	fmt.Fprintln(a.out, line(fmt.Sprintf("pinned %s in uniflow.lock%s; nothing is granted that was not before", p.Path, from)))
	for _, n := range p.Needs {
		if n.Manifest != "" {
			fmt.Fprintf(a.out, "%s\n", line(fmt.Sprintf("it uses %s (%s): %s", n.What, n.How, n.Manifest)))
		}
	}
	if !p.Declared {
		a.say("the manifest could not be extended by itself; add this to it:\n%s", strings.TrimSuffix(lines(p.Manifest), "\n"))
	}
	a.say("next: grant what it needs in the manifest, then uniflow build")
}
