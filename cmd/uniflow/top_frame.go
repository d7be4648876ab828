package main

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// frame is a host as lines of text. All that others have named is made safe.
func (a *app) frame(r *flow.TopReport) []string {
	queued := 0
	for i := range r.Tenants {
		queued += r.Tenants[i].Usage.Queued
	}
	state := "serving"
	if !r.Host.Serving {
		state = "not serving"
	}
	text := []string{
		a.onOut(bold, "uniflow "+line(r.Host.Version)) + fmt.Sprintf("  %s for %s  %d running, %d queued  %s, %s  %s",
			state, took(r.At.Sub(r.Host.StartedAt)), r.Running, queued, count(r.Host.Pipelines, "pipeline"), count(r.Host.Schedules, "schedule"), stamp(r.At)),
	}
	for _, rows := range [][][]string{tenantRows(r), liveRows(r), nextRows(r), failedRows(r), incidentRows(r)} {
		if len(rows) > 1 {
			text = append(append(text, ""), a.section(rows)...)
		}
	}
	return text
}

// section is a table as lines.
func (a *app) section(rows [][]string) []string {
	var b bytes.Buffer
	a.table(&b, rows)
	text := strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n")
	text[0] = a.onOut(bold, text[0])
	return text
}

// tenantRows has the busiest tenants first.
func tenantRows(r *flow.TopReport) [][]string {
	rows := [][]string{{"TENANT", "RUNNING", "QUEUED", "RUNS/H", "FUEL/DAY", "EGRESS/DAY", "MEMORY", "ARTIFACTS", "STATE", ""}}
	all := slices.Clone(r.Tenants)
	slices.SortStableFunc(all, func(a, b flow.TenantInfo) int {
		return cmp.Or(cmp.Compare(b.Usage.Running+b.Usage.Queued, a.Usage.Running+a.Usage.Queued), cmp.Compare(b.Usage.RunsPerHour, a.Usage.RunsPerHour))
	})
	for i := range all[:min(len(all), topTenants)] {
		t := &all[i]
		u, q := &t.Usage, flow.Quota{}
		if t.Quota != nil {
			q = *t.Quota
		}
		note := ""
		if len(t.Refused) > 0 {
			note = "manifest refused"
		}
		rows = append(rows, []string{
			t.Name, share(u.Running, q.Running, strconv.Itoa), share(u.Queued, q.Queued, strconv.Itoa), share(u.RunsPerHour, q.RunsPerHour, strconv.Itoa),
			share(u.FuelPerDay, q.FuelPerDay, short), share(u.Egress, q.EgressPerDay, bytesOf), share(u.Memory, q.Memory, bytesOf),
			share(u.Artifacts, q.Artifacts, bytesOf), share(u.State, q.State, bytesOf), note,
		})
	}
	if more := len(all) - topTenants; more > 0 {
		rows = append(rows, []string{fmt.Sprintf("and %d more", more)})
	}
	return rows
}

// share is what is used of a quota; alone where there is no bound.
func share[T int | int64 | flow.Size](used, limit T, text func(T) string) string {
	if limit == 0 {
		return text(used)
	}
	return text(used) + "/" + text(limit)
}

// short writes a large number in a few digits.
func short(n int64) string {
	return scaled(float64(n), 1000, []string{"", "k", "M", "G", "T", "P", "E"})
}

func bytesOf(n flow.Size) string {
	return scaled(float64(n), 1024, []string{"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"})
}

func scaled(n, step float64, units []string) string {
	i := 0
	for n >= step && i < len(units)-1 {
		n /= step
		i++
	}
	digits := 0
	if i > 0 && n < 10 {
		digits = 1
	}
	return strconv.FormatFloat(n, 'f', digits, 64) + units[i]
}

func liveRows(r *flow.TopReport) [][]string {
	rows := [][]string{{"LIVE", "PIPELINE", "STEP", "ATTEMPT", "FOR", "LATE"}}
	for _, l := range r.Live {
		attempt, late := "", ""
		if l.Attempt > 0 {
			attempt = strconv.Itoa(l.Attempt)
		}
		if l.Late > 0 {
			late = took(l.Late.Std())
		}
		rows = append(rows, []string{string(l.Run), l.Pipeline, l.Step, attempt, took(l.Took.Std()), late})
	}
	if more := r.Running - len(r.Live); more > 0 && len(r.Live) > 0 {
		rows = append(rows, []string{fmt.Sprintf("and %d more", more)})
	}
	return rows
}

func nextRows(r *flow.TopReport) [][]string {
	rows := [][]string{{"NEXT", "PIPELINE", "AT", "IN"}}
	for _, s := range r.Next {
		rows = append(rows, []string{s.Schedule, s.Pipeline, stamp(s.At), took(max(0, s.At.Sub(r.At)).Round(time.Second))})
	}
	return rows
}

func failedRows(r *flow.TopReport) [][]string {
	rows := [][]string{{"FAILED", "PIPELINE", "ENDED", "REASON", "MESSAGE"}}
	for i := range r.Failed {
		f := &r.Failed[i]
		ended := ""
		if f.EndedAt != nil {
			ended = stamp(*f.EndedAt)
		}
		rows = append(rows, []string{string(f.ID), flow.ID(f.Tenant, f.Pipeline), ended, string(f.Reason), f.Message})
	}
	return rows
}

func incidentRows(r *flow.TopReport) [][]string {
	rows := [][]string{{"INCIDENT", "OF", "SINCE", "WHAT"}}
	for i := range r.Incidents[:min(len(r.Incidents), topListed)] {
		n := &r.Incidents[i]
		of := "host"
		if name := cmp.Or(n.Schedule, n.Pipeline); name != "" {
			of = flow.ID(n.Tenant, name)
		}
		rows = append(rows, []string{string(n.Condition), of, stamp(n.Since), n.Detail})
	}
	for _, n := range r.Alerts {
		rows = append(rows, []string{"alert", n.Name, "", fmt.Sprintf("%s on the way, %d given up: %s", count(n.Pending, "message"), n.GivenUp, n.Error)})
	}
	if more := len(r.Incidents) - topListed; more > 0 {
		rows = append(rows, []string{fmt.Sprintf("and %d more", more)})
	}
	return rows
}
