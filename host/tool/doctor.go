package tool

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/uniflow-dev/uniflow/host"
	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/calendar"
	"github.com/uniflow-dev/uniflow/host/internal/process"
	"github.com/uniflow-dev/uniflow/host/internal/project"
)

// Statuses of flow.DoctorCheck.
const (
	statusOK      = "ok"
	statusWarning = "warning"
	statusError   = "error"
)

// doctor collects checks.
type doctor struct{ report flow.DoctorReport }

func (d *doctor) add(name, status, detail, help string) {
	d.report.Checks = append(d.report.Checks, flow.DoctorCheck{Name: name, Status: status, Detail: detail, Help: help})
	d.report.OK = d.report.OK && status != statusError
}

// Doctor looks at what a host needs and can use on this machine. Without a manifest it looks at the machine alone.
func Doctor(ctx context.Context, t Target) flow.DoctorReport {
	d := &doctor{flow.DoctorReport{OK: true, Checks: []flow.DoctorCheck{}}}
	p := d.manifest(ctx, t)
	data, _ := DataOf(t)
	d.dataFolder(data)
	serving := d.serving(ctx, t, data)
	if p != nil && !serving {
		d.listen(ctx, p.Listen())
	}
	d.zones()
	d.machine()
	d.toolchain(ctx, p)
	return d.report
}

// manifest checks the manifest and the plugins that it names; nil if there is none or it has mistakes.
func (d *doctor) manifest(ctx context.Context, t Target) *project.Project {
	if _, err := os.Stat(t.manifest()); errors.Is(err, fs.ErrNotExist) {
		d.add("manifest", statusWarning, t.manifest()+" does not exist", "uniflow init demo, or name one with --file")
		return nil
	}
	p, err := project.Load(ctx, t.manifest(), project.Options{Pinned: true})
	if problems, ok := errors.AsType[flow.Problems](err); ok {
		errs := problems.Errors()
		d.add("manifest", statusError, fmt.Sprintf("%s: %d problems, the first: %s", t.manifest(), len(errs), errs[0].Message), cmp.Or(errs[0].Help, "uniflow check"))
		return nil
	}
	if err != nil {
		d.add("manifest", statusError, err.Error(), "uniflow check")
		return nil
	}
	d.add("manifest", statusOK, t.manifest()+": "+counted(len(p.Plans), "pipeline"), "")
	d.add("plugins", statusOK, counted(len(p.Resolved), "plugin file")+", there and pinned", "")
	d.secrets("secrets", p)
	for i := range p.Tenants {
		if t := &p.Tenants[i]; t.Project != nil {
			d.secrets("secrets of "+t.Name, t.Project)
		}
	}
	d.tenants(p)
	return p
}

// tenants tells which tenants are refused.
func (d *doctor) tenants(p *project.Project) {
	refused := p.Refused()
	for _, name := range slices.Sorted(maps.Keys(refused)) {
		errs := refused[name].Errors()
		d.add("tenants", statusError, fmt.Sprintf("%s is refused: %d problems, the first: %s", name, len(errs), errs[0].Message), "uniflow check")
	}
	if len(p.Tenants) > 0 && len(refused) == 0 {
		d.add("tenants", statusOK, counted(len(p.Tenants), "tenant"), "")
	}
}

// secrets tells which secrets of plugins cannot be read here and now.
func (d *doctor) secrets(check string, p *project.Project) {
	sum := 0
	for _, plugin := range p.Manifest().Plugins {
		sum += len(plugin.Secrets)
	}
	if sum == 0 {
		return
	}
	missing := 0
	for _, w := range p.Warnings {
		if w.Code == flow.CodeSecretUnset {
			missing++
			d.add(check, statusWarning, w.Message, w.Help)
		}
	}
	if missing == 0 {
		d.add(check, statusOK, counted(sum, "secret")+" of plugins, all there", "")
	}
}

// wantedFree is the free disk space below which a host should not be started.
const wantedFree = 256 * flow.MiB

// dataFolder checks that the data folder, or the folder that it would be made in, can be written and has room.
func (d *doctor) dataFolder(data string) {
	dir := data
	for {
		if _, err := os.Stat(dir); err == nil || dir == filepath.Dir(dir) {
			break
		}
		dir = filepath.Dir(dir)
	}
	f, err := os.CreateTemp(dir, ".uniflow-doctor-*")
	if err != nil {
		d.add("data folder", statusError, data+" cannot be written: "+err.Error(), "check its permissions, or set `data` under [host]")
		return
	}
	_ = f.Close()
	_ = os.Remove(f.Name())
	d.add("data folder", statusOK, data+" can be written", "")
	switch free, err := freeSpace(dir); {
	case err != nil:
		d.add("disk", statusWarning, "free space is not known: "+err.Error(), "")
	case free < wantedFree:
		d.add("disk", statusWarning, fmt.Sprintf("%d MiB free, at least %s wanted", free/flow.MiB, wantedFree), "free some space: a full disk stops runs")
	default:
		d.add("disk", statusOK, fmt.Sprintf("%d MiB free", free/flow.MiB), "")
	}
}

// serving tells who holds the data folder.
func (d *doctor) serving(ctx context.Context, t Target, data string) bool {
	link, err := Connect(ctx, Target{Manifest: t.Manifest}, Serving)
	if err == nil {
		defer link.Close()
		info, err := link.Info(ctx)
		if err != nil {
			d.add("host", statusError, "a host listens in the data folder but does not answer: "+err.Error(), "restart it")
			return true
		}
		d.add("host", statusOK, fmt.Sprintf("version %s serves, process %d, %d live runs", info.Version, info.PID, info.LiveRuns), "")
		d.alarms(info)
		return true
	}
	if _, err := os.Stat(data); err != nil {
		d.add("host", statusOK, "none serves; nothing is recorded yet", "")
		return false
	}
	h, err := host.Open(ctx, host.Config{Data: data})
	if err != nil {
		d.add("host", statusError, err.Error(), hintOf(err))
		return true
	}
	_ = h.Close()
	d.add("host", statusOK, "none serves; the ledger can be opened", "")
	return false
}

// alarms tells how often the sweeper had to do the work of an alarm: a machine that sleeps or stalls is seen there.
func (d *doctor) alarms(info flow.HostInfo) {
	if info.Rearmed == 0 {
		d.add("alarms", statusOK, "every slot was taken by its alarm since the host started", "")
		return
	}
	d.add("alarms", statusWarning, fmt.Sprintf("the sweeper took slots that no alarm had taken %d times since %s", info.Rearmed, info.StartedAt.UTC().Format(time.RFC3339)),
		"look in the host's log for slots that were not taken; see that the machine does not sleep, stall, or set its clock")
}

func hintOf(err error) string {
	if e, ok := errors.AsType[*flow.Error](err); ok {
		return e.Hint
	}
	return ""
}

// listen checks that the API's address is free.
func (d *doctor) listen(ctx context.Context, address string) {
	if address == "none" {
		return
	}
	var config net.ListenConfig
	l, err := config.Listen(ctx, "tcp", address)
	if err != nil {
		d.add("address", statusError, address+" cannot be used: "+err.Error(), "choose another with `listen` under [host], or --listen")
		return
	}
	_ = l.Close()
	d.add("address", statusOK, address+" is free", "")
}

// zones checks that a zone with clock changes is known, which needs the embedded tz database.
func (d *doctor) zones() {
	if _, err := calendar.Parse("daily 02:30", "America/Los_Angeles"); err != nil {
		d.add("time zones", statusError, err.Error(), "install a complete build")
		return
	}
	zone, _ := time.Now().Zone()
	d.add("time zones", statusOK, "the tz database is built in; this machine is on "+zone, "")
}

// machine tells, as information, what the system offers for the confinement of process plugins and workers.
func (d *doctor) machine() {
	d.add("machine", statusOK, fmt.Sprintf("%s/%s, %d processors", runtime.GOOS, runtime.GOARCH, runtime.NumCPU()), "")
	for _, g := range process.Guards() {
		status := statusOK
		if !g.Holds {
			status = statusWarning
		}
		d.add("confinement: "+g.Name, status, g.About, "")
	}
}

// toolTime bounds the wait for a program to tell its version.
const toolTime = 5 * time.Second

// toolchain checks the compilers that templates of plugins use, and the programs that the manifest's build commands begin
// with. Only one that the manifest needs is missed.
func (d *doctor) toolchain(ctx context.Context, p *project.Project) {
	ctx, cancel := context.WithTimeout(ctx, toolTime)
	defer cancel()
	wanted := map[string]bool{}
	if p != nil {
		m := p.Manifest()
		for _, name := range slices.Sorted(maps.Keys(m.Plugins)) {
			program := commandOf(m.Plugins[name].Build)
			if program == "" {
				continue
			}
			wanted[program] = true
			if _, err := exec.LookPath(program); err != nil && !strings.ContainsRune(program, '/') {
				d.add("build of "+name, statusWarning, program+" is not found", cmp.Or(howToGet(program), "install it, or build the plugin elsewhere"))
			}
		}
	}
	for _, c := range compilers() {
		d.compiler(ctx, c, wanted[c.program])
	}
}

// compiler tells the version of a compiler, or how to get it.
func (d *doctor) compiler(ctx context.Context, c compiler, wanted bool) {
	out, err := exec.CommandContext(ctx, c.program, c.version...).Output()
	first, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	switch {
	case err == nil:
		d.add(c.program, statusOK, first, "")
	case !errors.Is(err, exec.ErrNotFound):
		d.add(c.program, statusOK, "does not work here: "+err.Error()+"; it is only needed for "+c.makes, c.get)
	case wanted: // and was missed already
	default:
		d.add(c.program, statusOK, "not found; it is only needed for "+c.makes, c.get)
	}
	if c.program == "cargo" && err == nil {
		d.rustTargets(ctx)
	}
}

// rustTargets tells whether Rust can build modules.
func (d *doctor) rustTargets(ctx context.Context) {
	out, err := exec.CommandContext(ctx, "rustc", "--print", "sysroot").Output()
	if err != nil {
		return
	}
	const target = "wasm32-unknown-unknown"
	if _, err := os.Stat(filepath.Join(strings.TrimSpace(string(out)), "lib", "rustlib", target)); err != nil {
		d.add("rust target", statusOK, target+" is not installed; it is only needed for plugins in Rust", "rustup target add "+target)
		return
	}
	d.add("rust target", statusOK, target+" is installed", "")
}

func counted(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}
