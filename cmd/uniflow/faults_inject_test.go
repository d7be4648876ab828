//go:build linux

package main

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/tool"
)

// fault is something that happens to a host. hit returns the processes of the life before, and false when there is no
// host that could be checked.
type fault struct {
	name string
	hit  func(*world) ([]proc, bool)
}

// faults lists the faults that can be made here, and the others with the reason.
func faults(prefix string) ([]fault, map[string]string) {
	all := []fault{
		{"kill", killed},
		{"terminate", terminated},
		{"stop", stopped},
		{"plugin killed", pluginKilled},
		{"second host", second},
		{"database damaged", databaseDamaged},
		{"log damaged", logDamaged},
		{"cache damaged", cacheDamaged},
		{"backup and restore", restored},
		{"module damaged", moduleDamaged},
		{"manifest damaged", manifestDamaged},
	}
	skipped := map[string]string{"clock step": "a step of the machine's clock would hit everybody on it"}
	if namedPoints {
		all = append(all, fault{"kill at alert", killedAtAlert})
	} else {
		skipped["kill at alert"] = "needs the tag faults"
		skipped["kill at backup"], skipped["kill at restore"] = "needs the tag faults", "needs the tag faults"
	}
	points := map[string]int{
		"migration": 2, "reload": 3, "due": 6, "slot": 6, "claim": 3, "step": 6, "spawn": 1, "result": 6, "commit": 30, "committed": 30,
	}
	for point, most := range points {
		if !namedPoints {
			skipped["kill at "+point] = "needs the tag faults"
			continue
		}
		all = append(all, fault{"kill at " + point, func(w *world) ([]proc, bool) { return killedAt(w, point, most) }})
	}
	if err := canMount(); err == nil {
		all = append(all, fault{"disk full", diskFull}, fault{"disk full, kill", diskFullKilled}, fault{"disk read-only", readOnly})
	} else {
		skipped["disk full"], skipped["disk read-only"] = err.Error(), err.Error()
	}
	drawn := all[:0]
	for _, f := range all {
		if strings.HasPrefix(f.name, prefix) {
			drawn = append(drawn, f)
		}
	}
	slices.SortFunc(drawn, func(a, b fault) int { return strings.Compare(a.name, b.name) })
	return drawn, skipped
}

// again starts the next host on the world.
func (w *world) again() ([]proc, bool) {
	before := w.processes()
	ok := w.mustServe()
	w.timed = ok
	return before, ok
}

func killed(w *world) ([]proc, bool) {
	if !w.mustServe() {
		return nil, false
	}
	w.live(0, 4*time.Second)
	w.host.kill()
	return w.again()
}

// killedAt has the program kill itself at a named point.
func killedAt(w *world, point string, most int) ([]proc, bool) {
	w.serve(fmt.Sprintf("UNIFLOW_FAULT=%s:%d", point, 1+w.rng.IntN(most)))
	w.live(faultTime, faultTime)
	// Some points are met by what somebody asks for alone, which chance may not have.
	for deadline := time.Now().Add(faultTime); time.Now().Before(deadline) && !w.host.exited(200*time.Millisecond); {
		w.askFor("long")
	}
	if !w.host.exited(0) {
		w.violation("the point %s was not met", point)
		w.host.kill()
	}
	return w.again()
}

// killedAtAlert has the program kill itself when a failure is recorded and nobody was told of it: the next one tells.
func killedAtAlert(w *world) ([]proc, bool) {
	w.serve("UNIFLOW_FAULT=alert:1")
	if link, err := w.connect(); err != nil {
		w.violation("no host answers: %v", err)
	} else {
		if _, err := link.StartRun(w.ctx, flow.RunRequest{Pipeline: "fails"}); err != nil {
			w.violation("no run can be asked for: %v", err)
		}
		_ = link.Close()
	}
	w.live(0, faultTime)
	if !w.host.exited(faultTime) {
		w.violation("the point alert was not met")
		w.host.kill()
	}
	before, ok := w.again()
	for deadline := time.Now().Add(faultTime); ok && w.messages() == 0; w.host.exited(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			w.violation("nobody is told of the failure: %s", w.host.stderr.String())
			break
		}
	}
	w.host.exited(settleTime) // for more of them
	w.host.ready, w.timed = time.Now(), false
	w.mu.Lock()
	defer w.mu.Unlock()
	for id, n := range w.told {
		if n > 2 {
			w.wrong = append(w.wrong, fmt.Sprintf("message %s was sent %d times", id, n))
		}
	}
	return before, ok
}

func (w *world) messages() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.told)
}

func terminated(w *world) ([]proc, bool) {
	if !w.mustServe() {
		return nil, false
	}
	w.live(0, 3*time.Second)
	_ = w.host.cmd.Process.Signal(syscall.SIGTERM)
	if !w.host.exited(faultTime) {
		w.violation("the host does not end within %s after SIGTERM: %s", faultTime, w.host.stderr.String())
		w.host.kill()
	}
	return w.again()
}

func stopped(w *world) ([]proc, bool) {
	if !w.mustServe() {
		return nil, false
	}
	w.live(0, 2*time.Second)
	_ = w.host.cmd.Process.Signal(syscall.SIGSTOP)
	w.host.exited(time.Duration(500+w.rng.IntN(5000)) * time.Millisecond)
	_ = w.host.cmd.Process.Signal(syscall.SIGCONT)
	w.host.ready = time.Now()
	return nil, true
}

func pluginKilled(w *world) ([]proc, bool) {
	if !w.mustServe() {
		return nil, false
	}
	w.live(500*time.Millisecond, 3*time.Second)
	for _, p := range w.processes() {
		_ = syscall.Kill(p.pid, syscall.SIGKILL)
	}
	w.host.ready = time.Now()
	return nil, true
}

func second(w *world) ([]proc, bool) {
	if !w.mustServe() {
		return nil, false
	}
	w.live(0, 2*time.Second)
	w.refuses(exitConflict, fmt.Sprintf("pid %d", w.host.cmd.Process.Pid))
	w.host.ready = time.Now()
	return nil, true
}

// refuses starts a host that must end by itself, with a code and words.
func (w *world) refuses(code int, words string) {
	h := w.launch()
	if !h.exited(startTime) {
		w.violation("a host starts where it must refuse (%s)", words)
		h.kill()
		return
	}
	if got := h.cmd.ProcessState.ExitCode(); got != code || !strings.Contains(h.stderr.String(), words) {
		w.violation("exit code %d, want %d and %q: %s", got, code, words, h.stderr.String())
	}
}

// uniflow runs a command to its end; first, where points have names, one that is killed at its own.
func (w *world) uniflow(args ...string) {
	if namedPoints && w.rng.IntN(2) == 0 {
		c := exec.CommandContext(w.ctx, "uniflow", args...)
		c.Dir, c.Env = w.dir, append(os.Environ(), "UNIFLOW_FAULT="+args[0]+":1")
		if out, err := c.CombinedOutput(); err == nil || c.ProcessState.ExitCode() >= 0 {
			w.violation("the point %s was not met: %v\n%s", args[0], err, out)
		}
	}
	c := exec.CommandContext(w.ctx, "uniflow", args...)
	c.Dir = w.dir
	if out, err := c.CombinedOutput(); err != nil {
		w.violation("uniflow %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

func cacheDamaged(w *world) ([]proc, bool) {
	if !w.mustServe() {
		return nil, false
	}
	w.live(0, time.Second)
	w.host.kill()
	files := 0
	_ = filepath.WalkDir(w.path("data/cache"), func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			files++
			w.harm(path)
		}
		return nil
	})
	if files == 0 {
		w.violation("nothing is in the cache")
	}
	return w.again()
}

// harm changes bytes of a file, or cuts it.
func (w *world) harm(path string) {
	b, err := os.ReadFile(path)
	if err != nil || len(b) == 0 {
		return
	}
	at := w.rng.IntN(len(b))
	switch w.rng.IntN(3) {
	case 0:
		b[at] ^= 0xff
	case 1:
		b = b[:at]
	default:
		for i := at; i < min(at+4096, len(b)); i++ {
			b[i] = 0xa5
		}
		b[at] ^= 0x11
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		w.violation("damage %s: %v", path, err)
	}
}

// fileDamaged damages a file beside the manifest: the host that runs is not touched, the next one refuses.
func (w *world) fileDamaged(name string, code int) ([]proc, bool) {
	if !w.mustServe() {
		return nil, false
	}
	good, err := os.ReadFile(w.path(name))
	if err != nil {
		w.violation("read %s: %v", name, err)
	}
	w.live(0, time.Second)
	if name == tool.ManifestName {
		if err := os.WriteFile(w.path(name), good[:len(good)-8-w.rng.IntN(4)], 0o600); err != nil {
			w.violation("damage %s: %v", name, err)
		}
	} else {
		w.harm(w.path(name))
	}
	w.live(time.Second, 2*time.Second)
	w.host.kill()
	w.refuses(code, "error[UF")
	if err := os.WriteFile(w.path(name), good, 0o600); err != nil {
		w.violation("%v", err)
	}
	return w.again()
}

func moduleDamaged(w *world) ([]proc, bool) { return w.fileDamaged("guests/answer.wasm", exitPlugin) }

func manifestDamaged(w *world) ([]proc, bool) { return w.fileDamaged(tool.ManifestName, exitUsage) }

// logDamaged destroys what the database has not taken over yet. What was acknowledged is gone with it; all else holds.
func logDamaged(w *world) ([]proc, bool) {
	if !w.mustServe() {
		return nil, false
	}
	w.live(0, 3*time.Second)
	w.host.kill()
	w.mu.Lock()
	w.unsure = true
	w.mu.Unlock()
	w.harm(w.path("data/uniflow.db-wal"))
	return w.again()
}

// databaseDamaged takes a backup, destroys the database and restores the backup.
func databaseDamaged(w *world) ([]proc, bool) {
	if !w.mustServe() {
		return nil, false
	}
	w.live(time.Second, 2*time.Second)
	w.uniflow("backup", "backup.db")
	w.live(0, time.Second)
	if w.rng.IntN(2) == 0 {
		_ = w.host.cmd.Process.Signal(syscall.SIGTERM)
		w.host.exited(faultTime)
	}
	w.host.kill()
	w.destroy(w.path("data/uniflow.db"))
	if w.serve() { // the log may hold all of it
		return nil, true
	}
	if !bytes.Contains(w.host.stderr.Bytes(), []byte("error[UF5002]")) || !bytes.Contains(w.host.stderr.Bytes(), []byte("uniflow restore")) {
		w.violation("a destroyed database: %s", w.host.stderr.String())
	}
	w.mu.Lock()
	w.unsure = true // the backup is older
	w.mu.Unlock()
	w.uniflow("restore", "backup.db")
	return w.again()
}

// restored goes back to a backup, with a host between that must refuse to begin anew where a restore was cut off.
func restored(w *world) ([]proc, bool) {
	if !w.mustServe() {
		return nil, false
	}
	w.live(time.Second, 2*time.Second)
	w.uniflow("backup", "backup.db")
	w.live(0, 2*time.Second)
	w.host.kill()
	w.mu.Lock()
	w.unsure = true // the backup is older
	w.mu.Unlock()
	w.uniflow("restore", "backup.db")
	return w.again()
}

func (w *world) destroy(path string) {
	info, err := os.Stat(path)
	if err != nil {
		w.violation("%v", err)
		return
	}
	switch w.rng.IntN(5) {
	case 0:
		err = os.Remove(path)
	case 1:
		err = os.Truncate(path, 0)
	case 2:
		err = os.Truncate(path, info.Size()/2)
	case 3:
		err = overwrite(path, 0, 100)
	default:
		err = overwrite(path, 4096, info.Size()-4096)
	}
	if err != nil {
		w.violation("%v", err)
	}
}

func overwrite(path string, at, size int64) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.WriteAt(bytes.Repeat([]byte{0xa5}, int(max(size, 0))), at)
	return err
}
