package host

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/project"
	"github.com/uniflow-dev/uniflow/host/internal/supply"
)

// Reload is Apply for somebody who cannot be answered, such as the sender of a signal: what is wrong is logged, every
// problem of it, and leaves everything as it was.
func (h *Host) Reload(ctx context.Context, r flow.ApplyRequest) {
	log := h.log.With(slog.String("cause", r.Cause))
	if r.Tenant != "" {
		log = log.With(slog.String("tenant", r.Tenant))
	}
	report, err := h.Apply(ctx, r)
	problems, ok := errors.AsType[flow.Problems](err)
	switch {
	case ok:
		for i := range problems {
			log.Error("manifest refused, what ran goes on", slog.String("problem", problems[i].String()))
		}
	case err != nil && ctx.Err() == nil:
		log.Error("manifest not applied, what ran goes on", slog.Any("err", err))
	case err == nil && !report.Applied:
		log.Info("nothing to apply")
	}
}

const (
	// watchEvery is the time between looks at the files. What has changed is applied once it has not changed for so long.
	watchEvery = time.Second
	// tenantEvery is the least time between two applies of what one tenant has changed: each is kept.
	tenantEvery = 10 * time.Second
)

// Watch applies the manifest when it changes, or a lock does, until ctx ends; of what changes of a tenant alone, only that,
// and no more often than each 10 seconds. One that was refused is tried again once it has changed again.
func (h *Host) Watch(ctx context.Context) {
	ticker := time.NewTicker(watchEvery)
	defer ticker.Stop()
	applied := prints{} // nobody knows what has changed since the host has read its files: the first look applies
	last := map[string]time.Time{}
	before := h.prints()
	for {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
		now := h.prints()
		for _, tenant := range now.changed(applied) {
			if now[tenant] != before[tenant] || tenant != "" && time.Since(last[tenant]) < tenantEvery {
				continue
			}
			h.Reload(ctx, flow.ApplyRequest{Tenant: tenant, Cause: "watch"})
			applied[tenant], last[tenant] = now[tenant], time.Now()
			if tenant == "" { // with all that it names
				applied = maps.Clone(now)
			}
		}
		before = now
	}
}

// prints tell files apart by their sizes and times, by tenant; the operator's are those of the empty name.
type prints map[string]string

// changed returns the tenants of which something differs; the empty name alone is all of them.
func (p prints) changed(o prints) []string {
	if p[""] != o[""] || len(p) != len(o) {
		return []string{""}
	}
	var names []string
	for name, seen := range p {
		if o[name] != seen {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// prints looks at the files of the manifest that runs, and at those that its patterns match by now.
func (h *Host) prints() prints {
	p := h.current()
	all := prints{}
	if p == nil {
		return all
	}
	all[""] = printOf(p.Path, filepath.Join(p.Dir, supply.LockName), filepath.Join(h.data, supply.BuildLockName)) + matched(p)
	for i := range p.Tenants {
		t := &p.Tenants[i]
		all[t.Name] = printOf(t.Path, filepath.Join(filepath.Dir(t.Path), supply.LockName))
	}
	return all
}

// matched are the names of files that the patterns of tenants match.
func matched(p *project.Project) string {
	var names []string
	for _, t := range p.Manifest().Tenants {
		if strings.Contains(t.Manifest, "*") {
			found, _ := filepath.Glob(filepath.Join(p.Dir, filepath.FromSlash(t.Manifest))) // a bad pattern was refused
			names = append(names, found...)
		}
	}
	slices.Sort(names)
	return strings.Join(names, "\n")
}

func printOf(paths ...string) string {
	var text strings.Builder
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			text.WriteString("none\n")
			continue
		}
		fmt.Fprintf(&text, "%d %d\n", info.Size(), info.ModTime().UnixNano())
	}
	return text.String()
}
