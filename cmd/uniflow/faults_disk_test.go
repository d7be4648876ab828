//go:build linux

package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
)

const diskSize = "96m" // a data folder with its copies of plugins, and some room

// canMount reports whether a disk of our own can be had.
func canMount() error {
	dir, err := os.MkdirTemp("", "uf-*")
	if err != nil {
		return err
	}
	defer os.Remove(dir)
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=64k"); err != nil {
		return fmt.Errorf("a disk of its own needs the right to mount: %w", err)
	}
	return syscall.Unmount(dir, 0)
}

// ownDisk puts the data folder on a small disk.
func (w *world) ownDisk() bool {
	data := w.path("data")
	err := os.Mkdir(data, 0o700)
	if err == nil {
		err = syscall.Mount("tmpfs", data, "tmpfs", 0, "size="+diskSize)
	}
	if err != nil {
		w.violation("a small disk: %v", err)
		return false
	}
	w.bound = data
	return w.mustServe()
}

// fill takes all space that is left, at once for the host: what it gives free meanwhile, to record endings, would else be
// taken from it.
func (w *world) fill() {
	_ = w.host.cmd.Process.Signal(syscall.SIGSTOP)
	defer func() { _ = w.host.cmd.Process.Signal(syscall.SIGCONT) }()
	f, err := os.Create(w.path("data/filler"))
	if err != nil {
		w.violation("%v", err)
		return
	}
	defer f.Close()
	for size := 1 << 20; size > 0; size /= 2 {
		for block := make([]byte, size); err == nil; {
			_, err = f.Write(block)
		}
		err = nil
	}
}

func (w *world) free() {
	if err := os.Remove(w.path("data/filler")); err != nil {
		w.violation("%v", err)
	}
}

// diskFull fills the disk under a live host: what is live still gets its ending, and all goes on when there is space.
func diskFull(w *world) ([]proc, bool) {
	if !w.ownDisk() {
		return nil, false
	}
	w.live(time.Second, 3*time.Second)
	live := w.running()
	w.fill()
	w.live(0, time.Second)
	w.endings(live)
	w.free()
	w.host.ready = time.Now().Add(faultTime) // it looks for space now and then
	w.host.exited(faultTime)
	return nil, true
}

// running lists live runs.
func (w *world) running() (ids []flow.RunID) {
	link, err := w.connect()
	if err != nil {
		w.violation("%v", err)
		return nil
	}
	defer link.Close()
	runs, err := link.Runs(w.ctx, flow.RunQuery{State: flow.StateRunning, Limit: 1000})
	if err != nil {
		w.violation("%v", err)
	}
	for i := range runs {
		ids = append(ids, runs[i].ID)
	}
	return ids
}

// endings waits until runs have ended.
func (w *world) endings(ids []flow.RunID) {
	var open []flow.RunID
	for deadline := time.Now().Add(faultTime); time.Now().Before(deadline) && !w.host.exited(100*time.Millisecond); {
		open = slices.DeleteFunc(w.running(), func(id flow.RunID) bool { return !slices.Contains(ids, id) })
		if len(open) == 0 {
			return
		}
	}
	w.violation("the disk is full and the runs %v got no ending: %s", open, w.host.stderr.String())
}

// diskFullKilled kills a host on a full disk. The next one may refuse; with space again, it may not.
func diskFullKilled(w *world) ([]proc, bool) {
	if !w.ownDisk() {
		return nil, false
	}
	w.live(time.Second, 3*time.Second)
	w.fill()
	w.live(0, 2*time.Second)
	w.host.kill()
	if w.serve() {
		w.live(0, time.Second)
		w.host.kill()
	} else if text := w.host.stderr.String(); !strings.Contains(text, "error[UF") {
		w.violation("on a full disk: %s", text)
	}
	w.free()
	return w.again()
}

// readOnly takes the right to write from the disk between two lives.
func readOnly(w *world) ([]proc, bool) {
	if !w.ownDisk() {
		return nil, false
	}
	w.live(0, 2*time.Second)
	w.host.kill()
	remount := func(flags uintptr) {
		if err := syscall.Mount("", w.path("data"), "", syscall.MS_REMOUNT|flags, "size="+diskSize); err != nil {
			w.violation("remount: %v", err)
		}
	}
	for deadline := time.Now().Add(faultTime); len(w.processes()) > 0 && time.Now().Before(deadline); {
		w.host.exited(0)
		<-time.After(10 * time.Millisecond)
	}
	remount(syscall.MS_RDONLY)
	w.refuses(exitInternal, "error[UF")
	remount(0)
	return w.again()
}
