package project_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/project"
)

// tree writes files into a new folder, "NAME -> TARGET" being a symbolic link, and returns the path of its manifest.
func tree(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		link, target, isLink := strings.Cut(name, " -> ")
		path := filepath.Join(dir, filepath.FromSlash(link))
		err := os.MkdirAll(filepath.Dir(path), 0o700)
		if err == nil && isLink {
			err = os.Symlink(target, path)
		} else if err == nil {
			err = os.WriteFile(path, []byte(text), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "uniflow.toml")
}

const onePipeline = "version = 1\n[pipelines.p]\nwasm = \"echo.wasm\"\nschedule = \"every 1h\"\n"

func load(t testing.TB, path string) *project.Project {
	t.Helper()
	p, err := project.Load(t.Context(), path, project.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// Promise: a pattern declares a tenant for each folder that it matches, a table of its own wins over it, and what cannot
// name a tenant is left out and told.
func TestPatternsDeclareTenants(t *testing.T) {
	t.Parallel()
	echo := module(t)
	path := tree(t, map[string]string{
		"tenants/acme/uniflow.toml": onePipeline, "tenants/acme/echo.wasm": echo,
		"tenants/beta/uniflow.toml": onePipeline, "tenants/beta/echo.wasm": echo,
		"tenants/Gamma/uniflow.toml": onePipeline, "tenants/default/uniflow.toml": onePipeline, "tenants/.git/uniflow.toml": "",
		"tenants/empty/readme": "", "tenants/note.txt": "",
		"uniflow.toml": `version = 1
[host]
timezone = "Europe/Berlin"
[defaults]
overlap = "skip"
limits = { memory = "32MiB", output = "2MiB" }
[tenants.each]
manifest = "tenants/*/uniflow.toml"
secrets  = "dir:secrets/{tenant}"
defaults = { limits = { output = "3MiB" } }
ceiling  = { limits = { log = "10KiB" } }
[tenants.beta]
manifest  = "tenants/beta/uniflow.toml"
isolation = "inline"
`,
	})
	p := load(t, path)
	var names []string
	for _, tenant := range p.Tenants {
		names = append(names, tenant.Name+" by "+tenant.Table)
	}
	if want := []string{"acme by each", "beta by beta"}; !slices.Equal(names, want) {
		t.Fatalf("tenants %v, want %v", names, want)
	}
	var told []string
	for _, w := range p.Warnings {
		told = append(told, fmt.Sprintf("%d %s %s", w.Line, w.Code, w.Message))
	}
	if got := strings.Join(told, "\n"); len(told) != 2 || !strings.Contains(got, `"Gamma" is no name`) || !strings.Contains(got, `"default" is no name`) || !strings.HasPrefix(got, "8 UF1261") {
		t.Errorf("warnings:\n%s", got)
	}
	acme, beta := p.Tenant("acme"), p.Tenant("beta")
	if acme.Settings.Secrets != "dir:secrets/acme" || acme.Settings.Isolation != flow.IsolationWorker || acme.Settings.Quota.Running != 16 || acme.Settings.Manifest != "tenants/acme/uniflow.toml" {
		t.Errorf("settings %+v", acme.Settings)
	}
	a, b := acme.Project.Plans[0], beta.Project.Plans[0]
	if a.ID() != "acme/p" || b.ID() != "beta/p" || a.Digest == b.Digest || !a.Digest.Valid() {
		t.Errorf("versions %s %s and %s %s", a.ID(), a.Digest, b.ID(), b.Digest)
	}
	want := flow.Limits{Memory: 32 * flow.MiB, Output: 3 * flow.MiB, Log: 10 * flow.KiB, Artifacts: 64 * flow.MiB}
	if s := a.Steps[0]; s.Limits != want || s.SetBy["log"] != "[tenants.each.ceiling]" || a.Overlap != flow.OverlapSkip || a.Schedules[0].Timezone != "Europe/Berlin" {
		t.Errorf("limits %+v set by %v, overlap %s, zone %s", s.Limits, s.SetBy, a.Overlap, a.Schedules[0].Timezone)
	}
	for plugin, plan := range map[flow.Isolation]flow.Plan{flow.IsolationWorker: a, "": b} {
		if got := plan.Plugins["echo.wasm"].Isolation; got != plugin {
			t.Errorf("%s runs %q, want %q", plan.ID(), got, plugin)
		}
	}
	if got := acme.Project.Place([]string{"pipelines", "p", "schedule"}); got != "tenants/acme/uniflow.toml:4:1" {
		t.Errorf("the schedule stands at %s", got)
	}
	if len(p.AllPlans()) != 2 || p.Of("acme") != acme.Project || p.Of("default") != p || p.Of("other") != nil || len(p.Manifests()) != 3 {
		t.Errorf("plans %d, manifests %v", len(p.AllPlans()), p.Manifests())
	}
}

// Promise: what an operator gets wrong about tenants fails the whole manifest, each mistake at its table: nobody's files or
// secrets can come into reach of another tenant.
func TestFoldersOfTenantsLieApart(t *testing.T) {
	t.Parallel()
	files := map[string]string{"a/uniflow.toml": "", "a/b/uniflow.toml": "", "secrets/acme/uniflow.toml": "", "data/x/uniflow.toml": "", "c/uniflow.toml": "", "link -> c": ""}
	for name, c := range map[string]struct{ tables, want string }{
		"shared":           {"[tenants.one]\nmanifest = 'a/uniflow.toml'\n[tenants.two]\nmanifest = 'a/other.toml'\n", `5: tenant "two": its folder is that of tenant "one"`},
		"nested":           {"[tenants.one]\nmanifest = 'a/b/uniflow.toml'\n[tenants.two]\nmanifest = 'a/uniflow.toml'\n", `3: tenant "one": its folder lies in that of tenant "two"`},
		"the operator's":   {"[tenants.one]\nmanifest = 'one.toml'\n", `3: tenant "one": its folder is the operator's, or around it`},
		"around it":        {"[tenants.one]\nmanifest = '/uniflow.toml'\n", `3: tenant "one": its folder is the operator's, or around it`},
		"in the data":      {"[tenants.one]\nmanifest = 'data/x/uniflow.toml'\n", `3: tenant "one": its folder and the data folder of the host overlap`},
		"host's secrets":   {"[host]\nsecrets = 'file:a/keys/x'\n[tenants.one]\nmanifest = 'a/uniflow.toml'\n", `5: tenant "one": secrets of the host lie in its folder`},
		"another's":        {"[tenants.one]\nmanifest = 'c/uniflow.toml'\nsecrets = 'dir:a/{tenant}'\n[tenants.two]\nmanifest = 'a/uniflow.toml'\n", `6: tenant "two": secrets of tenant "one" lie in its folder`},
		"two stars":        {"[tenants.one]\nmanifest = '*/*/uniflow.toml'\n", `3: a pattern has exactly one *`},
		"a star in a file": {"[tenants.one]\nmanifest = 'a/*.toml'\n", `3: the * stands in the name of the file, so that all tenants would share one folder`},
		"two patterns":     {"[tenants.one]\nmanifest = '*/uniflow.toml'\n[tenants.two]\nmanifest = '*/other.toml'\n", `5: two patterns declare the tenant "c": this one and that of [tenants.one]`},
		"default":          {"[tenants.default]\nmanifest = 'a/uniflow.toml'\n", `2: "default" is no name for a tenant`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			all := map[string]string{"uniflow.toml": "version = 1\n" + c.tables, "c/other.toml": ""}
			maps.Copy(all, files)
			_, err := project.Load(t.Context(), tree(t, all), project.Options{})
			problems, _ := errors.AsType[flow.Problems](err)
			var told []string
			for _, p := range problems.Errors() {
				told = append(told, fmt.Sprintf("%d: %s", p.Line, p.Message))
			}
			if !slices.Contains(told, c.want) {
				t.Errorf("got %v, %v, want %s", told, err, c.want)
			}
		})
	}
}

// Promise: whatever the manifest of a tenant is, it is refused for that tenant alone, at a place that says nothing of other
// folders; nothing outside of the tenant's folder is read.
func TestHostileTenantIsRefusedAlone(t *testing.T) {
	t.Parallel()
	echo := module(t)
	cases := map[string]struct {
		files map[string]string
		want  flow.Code
	}{
		"missing":   {nil, flow.CodeFileUnreadable},
		"nofile":    {map[string]string{"echo.wasm": echo}, flow.CodeFileUnreadable},
		"large":     {map[string]string{"uniflow.toml": onePipeline + strings.Repeat("#", 256<<10)}, flow.CodeFileSize},
		"nested":    {map[string]string{"uniflow.toml": "version = 1\nx = " + strings.Repeat("[", 200<<10)}, flow.CodeTooDeep},
		"notoml":    {map[string]string{"uniflow.toml": "{}"}, flow.CodeSyntax},
		"asfolder":  {map[string]string{"uniflow.toml/x": ""}, flow.CodeFileKind},
		"tenants":   {map[string]string{"uniflow.toml": onePipeline + "[tenants.x]\nmanifest = '/etc/x'\n[host]\n", "echo.wasm": echo}, flow.CodeTenantKey},
		"linkout":   {map[string]string{"uniflow.toml -> ../good/uniflow.toml": "", "echo.wasm": echo}, flow.CodeFileUnreadable},
		"modlink":   {map[string]string{"uniflow.toml": onePipeline, "echo.wasm -> ../good/echo.wasm": ""}, flow.CodePluginFile},
		"mountlink": {map[string]string{"uniflow.toml": onePipeline + "[pipelines.p.grant]\nmount = { '/d' = 'd' }\n", "echo.wasm": echo, "d -> ../good": ""}, flow.CodeGrant},
		"loop":      {map[string]string{"uniflow.toml -> uniflow.toml": ""}, flow.CodeFileUnreadable},
		"lock":      {map[string]string{"uniflow.toml": onePipeline, "echo.wasm": echo, "uniflow.lock": "root:x:0:0"}, flow.CodeLock},
		"calendar":  {map[string]string{"uniflow.toml": onePipeline + "not_on = ['x.ics']\n", "echo.wasm": echo, "x.ics -> ../good/x.ics": ""}, flow.CodeNotOn},
		"build":     {map[string]string{"uniflow.toml": "version = 1\n[plugins.m]\nwasm = 'm.wasm'\nbuild = ['cp', '../good/echo.wasm', 'm.wasm']\n[pipelines.p]\nplugin = 'm'\n"}, flow.CodePluginMissing},
	}
	// Whoever opens a pipe waits until somebody writes into it.
	cases["script"] = struct {
		files map[string]string
		want  flow.Code
	}{map[string]string{"uniflow.toml": "version = 1\n[plugins.e]\nwasm = 'echo.wasm'\n[plugins.s]\nscript = 's.py'\nengine = 'e'\n[pipelines.p]\nplugin = 's'\n", "echo.wasm": echo}, flow.CodePluginFile}
	files := map[string]string{"t/good/uniflow.toml": onePipeline, "t/good/echo.wasm": echo, "t/good/x.ics": "", "t/out -> /etc": ""}
	var operator strings.Builder
	operator.WriteString("version = 1\n[tenants.good]\nmanifest = 't/good/uniflow.toml'\n[tenants.out]\nmanifest = 't/out/uniflow.toml'\n[tenants.pipe]\nmanifest = 't/pipe/uniflow.toml'\n")
	for name, c := range cases {
		fmt.Fprintf(&operator, "[tenants.%s]\nmanifest = 't/%s/uniflow.toml'\nceiling = { mount = ['.'] }\n", name, name)
		for file, text := range c.files {
			files["t/"+name+"/"+file] = text
		}
	}
	cases["out"], cases["pipe"] = struct {
		files map[string]string
		want  flow.Code
	}{nil, flow.CodeTenant}, struct {
		files map[string]string
		want  flow.Code
	}{nil, flow.CodeFileKind}
	files["uniflow.toml"], files["t/pipe/x"] = operator.String(), ""
	path := tree(t, files)
	for _, pipe := range []string{"t/pipe/uniflow.toml", "t/script/s.py"} {
		if err := odd(filepath.Join(filepath.Dir(path), filepath.FromSlash(pipe))); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := project.Load(t.Context(), filepath.Join(filepath.Dir(path), "t", "good", "uniflow.toml"), project.Options{Build: true, Data: t.TempDir()}); err != nil {
		t.Fatal(err)
	}
	for _, o := range []project.Options{{}, {Build: true}} {
		p, err := project.Load(t.Context(), path, o)
		if err != nil {
			t.Fatal(err)
		}
		for name, c := range cases {
			refused := p.Tenant(name).Refused
			if len(refused) == 0 || !slices.ContainsFunc(refused, func(p flow.Problem) bool { return p.Code == c.want || o.Build && p.Code == flow.CodeNotLocked }) {
				t.Errorf("%s: got %v, want %s", name, refused, c.want)
			}
			for _, p := range refused {
				if text := p.String(); strings.Contains(text, filepath.Dir(path)) || !strings.HasPrefix(p.File, "t/"+name+"/") {
					t.Errorf("%s: a problem tells of the host's folders: %s", name, text)
				}
			}
		}
		if good := p.Tenant("good"); good.Project == nil || len(p.AllPlans()) != 1 {
			t.Errorf("the good one: %+v", good.Refused)
		}
	}
	if _, err := os.Stat(filepath.Join(filepath.Dir(path), "t", "build", "m.wasm")); err == nil {
		t.Error("a build command of a tenant was run")
	}
}

// Promise: a tenant whose folder is a symbolic link to that of another, to the operator's, around the data or to secrets is
// refused alone: it may have made the link, and holds up nobody.
func TestALinkToTheFolderOfAnotherIsTheFaultOfWhoHasIt(t *testing.T) {
	t.Parallel()
	echo := module(t)
	path := tree(t, map[string]string{
		"t/good/app/uniflow.toml": onePipeline, "t/good/app/echo.wasm": echo, "t/good/app/in/x": "", "data/x": "", "secrets/good/TOKEN": "x",
		"t/a/app -> ../good/app": "", "t/b/app -> ../..": "", "t/c/app -> ../../data": "", "t/d/app -> ../../secrets": "", "t/e/app -> ../good": "", "t/f/app -> ../good/app/in": "",
		"t/good/app/in/uniflow.toml": "", "t/good/uniflow.toml": "", "secrets/uniflow.toml": "", "data/uniflow.toml": "",
		"uniflow.toml": "version = 1\n[tenants.each]\nmanifest = 't/*/app/uniflow.toml'\nsecrets = 'dir:secrets/{tenant}'\n",
	})
	p := load(t, path)
	if good := p.Tenant("good"); good.Project == nil {
		t.Errorf("the good one: %v", good.Refused)
	}
	for _, name := range []string{"a", "b", "c", "d", "e", "f"} {
		tenant := p.Tenant(name)
		if tenant == nil || tenant.Project != nil || len(tenant.Refused) != 1 || tenant.Refused[0].Code != flow.CodeTenant || strings.Contains(tenant.Refused[0].String(), "good") {
			t.Errorf("%s: %+v", name, tenant)
		}
	}
}

// Promise: what a host reads of the folder of one tenant is bounded, whatever the manifest names; nothing that lies there
// has the host wait, and neither does a lock that holds much against much.
func TestATenantCannotKeepTheHostReading(t *testing.T) {
	t.Parallel()
	var many, days, lines, approved strings.Builder
	for i := range 70 {
		fmt.Fprintf(&many, "[pipelines.p.steps.s%d]\nwasm = '%sbig.wasm'\n", i, strings.Repeat("./", i))
	}
	for i := range 1000 {
		fmt.Fprintf(&days, "'%sx.ics',", strings.Repeat("./", i%60)+strings.Repeat("a/../", i/60))
	}
	for i := range 5000 {
		fmt.Fprintf(&lines, "'http://a%d.b/',", i)
	}
	for i := range 50_000 {
		fmt.Fprintf(&approved, ",\"http GET http://z%d.b/\"", i)
	}
	event := "BEGIN:VEVENT\nUID:1\nDTSTART;VALUE=DATE:20260101\nEND:VEVENT\n"
	path := tree(t, map[string]string{
		"t/big/uniflow.toml": "version = 1\n[pipelines.p]\n" + many.String(), "t/big/big.wasm": "",
		"t/days/uniflow.toml": onePipeline + "not_on = [" + days.String() + "]\n", "t/days/echo.wasm": module(t), "t/days/a/x": "",
		"t/days/x.ics":        "BEGIN:VCALENDAR\n" + strings.Repeat(event, 6000) + "END:VCALENDAR\n",
		"t/pipe/uniflow.toml": "version = 1\n[plugins.e]\nwasm = 'echo.wasm'\n[plugins.s]\nscript = 'pipe'\nengine = 'e'\n[pipelines.p]\nplugin = 's'\n",
		"t/lock/uniflow.toml": onePipeline + "[pipelines.p.grant]\nhttp = [" + lines.String() + "]\n", "t/lock/echo.wasm": module(t),
		"t/lock/uniflow.lock": `{"version":1,"files":{},"grants":{"pipelines.p":["http GET http://z.b/"` + approved.String() + `]}}`,
		"uniflow.toml":        "version = 1\n[tenants.each]\nmanifest = 't/*/uniflow.toml'\nceiling = { http = ['GET https://*.b.example/*'] }\n",
	})
	dir := filepath.Dir(path)
	if err := os.Truncate(filepath.Join(dir, "t", "big", "big.wasm"), 64<<20); err != nil {
		t.Fatal(err)
	}
	if err := odd(filepath.Join(dir, "t", "pipe", "pipe")); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	done := make(chan *project.Project, 1)
	go func() {
		p, err := project.Load(ctx, path, project.Options{Pinned: true})
		if err != nil {
			t.Error(err)
		}
		done <- p
	}()
	select {
	case p := <-done:
		for name, want := range map[string]flow.Code{"big": flow.CodeTenantSize, "days": flow.CodeTenantSize, "pipe": flow.CodePluginFile, "lock": flow.CodeNotApproved} {
			if refused := p.Tenant(name).Refused; !slices.ContainsFunc(refused, func(p flow.Problem) bool { return p.Code == want }) {
				t.Errorf("%s: %.2000v", name, refused)
			}
		}
	case <-ctx.Done():
		t.Error("it reads for more than a minute")
	}
}

// BenchmarkLoadTenants loads 100 tenants with 10 pipelines each, all with a module of its own.
func BenchmarkLoadTenants(b *testing.B) {
	echo, err := os.ReadFile(filepath.Join("..", "..", "..", "plugins", "echo", "echo.wasm"))
	if err != nil {
		b.Fatal(err)
	}
	files := map[string]string{"uniflow.toml": "version = 1\n[tenants.all]\nmanifest = 't/*/uniflow.toml'\n"}
	for i := range 100 {
		var text strings.Builder
		text.WriteString("version = 1\n")
		for j := range 10 {
			fmt.Fprintf(&text, "[pipelines.p%d]\nwasm = 'm%d.wasm'\nschedule = 'every 1h'\n", j, j)
			files[fmt.Sprintf("t/t%d/m%d.wasm", i, j)] = string(echo)
		}
		files[fmt.Sprintf("t/t%d/uniflow.toml", i)] = text.String()
	}
	path := tree(b, files)
	for b.Loop() {
		if p := load(b, path); len(p.AllPlans()) != 1000 {
			b.Fatal(len(p.AllPlans()))
		}
	}
}

// Promise: a link in the tenant's folder gives no more to mount than the ceiling allows, and is not followed again later.
func TestMountsOfATenantAreRealPaths(t *testing.T) {
	t.Parallel()
	own := onePipeline + "[pipelines.p.grant]\nmount = { '/d' = 'data/%s' }\n"
	p := load(t, tree(t, map[string]string{
		"a/uniflow.toml": fmt.Sprintf(own, "x"), "a/echo.wasm": module(t), "a/data/x -> ../private": "", "a/private/f": "",
		"b/uniflow.toml": fmt.Sprintf(own, "y"), "b/echo.wasm": module(t), "b/data/y -> z": "", "b/data/z/f": "",
		"uniflow.toml": "version = 1\n[tenants.a]\nmanifest = 'a/uniflow.toml'\nceiling = { mount = ['data'] }\n[tenants.b]\nmanifest = 'b/uniflow.toml'\nceiling = { mount = ['data'] }\n",
	}))
	if refused := p.Tenant("a").Refused; len(refused) != 1 || refused[0].Code != flow.CodeCeiling || !strings.Contains(refused[0].Message, `leads to "private"`) || refused[0].Line != 6 {
		t.Errorf("a: %v", refused)
	}
	b := p.Tenant("b")
	if b.Project == nil {
		t.Fatal(b.Refused)
	}
	if got, want := b.Project.Plans[0].Plugins["echo.wasm"].Grant.Mount["/d"], filepath.Join(b.Dir, "data", "z"); got != want {
		t.Errorf("b mounts %s, want %s", got, want)
	}
}
