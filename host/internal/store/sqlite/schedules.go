package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/failpoint"
)

// SaveSlots records the endings of slots that have no run, and moves the schedule's watermark forward; a zero watermark
// leaves it. A record that overlaps one that exists is left out: an ending is never changed from here.
func (s *Store) SaveSlots(ctx context.Context, tenant, schedule string, watermark time.Time, records []flow.SlotRecord) error {
	return s.do(ctx, func(w *writer) error { return w.saveSlots(tenant, schedule, watermark, records) })
}

func (w *writer) saveSlots(tenant, schedule string, watermark time.Time, records []flow.SlotRecord) error {
	for i := range records {
		r := records[i]
		r.Tenant, r.Schedule = tenant, schedule
		if err := w.saveSlot(&r); err != nil {
			return err
		}
	}
	if watermark.IsZero() {
		return nil
	}
	_, err := w.exec("UPDATE schedules SET watermark = max(watermark, ?) WHERE tenant = ? AND name = ?", nanos(watermark), tenant, schedule)
	return err
}

// endSlot records the ending of the slot that a run was made for; a run of another kind has none.
func (w *writer) endSlot(r *flow.Run, ending flow.SlotRecord) error {
	if !isSlot(r) {
		return nil
	}
	return w.saveSlot(slotOf(r, ending))
}

// slotOf fills in whose slot a run is for.
func slotOf(r *flow.Run, ending flow.SlotRecord) *flow.SlotRecord {
	ending.Tenant, ending.Schedule, ending.Pipeline = r.Tenant, r.Trigger.Schedule, r.Pipeline
	ending.From, ending.To, ending.Count = r.Trigger.ScheduledAt, r.Trigger.ScheduledAt, 1
	return &ending
}

// overlaps reports whether a recorded ending covers an instant from first to last. Records of a schedule do not overlap
// one another, so the last one that begins by then decides.
func (w *writer) overlaps(tenant, schedule string, first, last int64) (bool, error) {
	var to int64
	found, err := w.one("SELECT to_at FROM slots WHERE tenant = ? AND schedule = ? AND from_at <= ? ORDER BY from_at DESC LIMIT 1",
		[]any{tenant, schedule, last}, &to)
	return found && to >= first, err
}

// saveSlot records an ending unless there is one.
func (w *writer) saveSlot(r *flow.SlotRecord) error {
	known, err := w.overlaps(r.Tenant, r.Schedule, nanos(r.From), nanos(r.To))
	if err != nil || known {
		return err
	}
	return w.insertSlot(r)
}

// insertSlot records an ending where there is none, and an event where no run tells of it.
func (w *writer) insertSlot(r *flow.SlotRecord) error {
	if _, err := w.exec("INSERT INTO slots (tenant, schedule, from_at, to_at, pipeline, count, ending, reason, run) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
		r.Tenant, r.Schedule, nanos(r.From), nanos(r.To), r.Pipeline, r.Count, r.Ending, r.Reason, r.Run); err != nil {
		return err
	}
	if r.Ending == flow.SlotRun {
		return nil
	}
	r.From, r.To = r.From.UTC(), r.To.UTC()
	detail, err := encode(r)
	if err != nil {
		return err
	}
	return w.recordDetail(flow.Event{
		At: time.Now(), Kind: flow.SlotEnded, Tenant: r.Tenant, Pipeline: r.Pipeline, Schedule: r.Schedule,
		Ending: flow.Ending{Reason: r.Reason, Message: r.Message},
	}, detail)
}

// Slots returns the endings of a schedule's slots, newest first. Since leaves out records that end before it,
// and Until those that begin after it. The limit defaults to 50 and is at most 1,000; an empty tenant is the default
// tenant.
func (s *Store) Slots(ctx context.Context, q flow.SlotQuery) ([]flow.SlotRecord, error) {
	text, args := slotsQuery(q)
	return collect(ctx, reader{s.readers}, func(row scanner) (r flow.SlotRecord, err error) {
		var from, to instant
		err = row.Scan(&r.Tenant, &r.Schedule, &from, &to, &r.Pipeline, &r.Count, &r.Ending, &r.Reason, &r.Run)
		r.From, r.To = from.time(), to.time()
		return r, err
	}, text, args...)
}

func slotsQuery(q flow.SlotQuery) (string, []any) {
	if q.Tenant == "" {
		q.Tenant = flow.DefaultTenant
	}
	var f filter
	f.where("tenant = ?", true, q.Tenant)
	f.where("schedule = ?", true, q.Schedule)
	f.where("to_at >= ?", !q.Since.IsZero(), nanos(q.Since))
	f.where("from_at <= ?", !q.Until.IsZero(), nanos(q.Until))
	return "SELECT tenant, schedule, from_at, to_at, pipeline, count, ending, reason, run FROM slots" + f.text.String() + " ORDER BY from_at DESC LIMIT ?",
		append(f.args, limited(q.Limit, 50, 1000))
}

const scheduleColumns = "tenant, body, origin, override, override_at, since, watermark, paused_at, resumed_at"

func scanSchedule(row scanner) (r flow.ScheduleRecord, err error) {
	var body string
	var override sql.NullBool
	var overrideAt, since, watermark, paused, resumed instant
	if err := row.Scan(&r.Tenant, &body, &r.Origin, &override, &overrideAt, &since, &watermark, &paused, &resumed); err != nil {
		return r, err
	}
	if override.Valid {
		r.Override = &override.Bool
	}
	r.OverrideAt = overrideAt.pointer()
	r.Since, r.Watermark, r.PausedAt, r.ResumedAt = since.time(), watermark.time(), paused.time(), resumed.time()
	return r, decode(body, &r.PlanSchedule)
}

// Schedules returns all schedules by tenant and name.
func (s *Store) Schedules(ctx context.Context) ([]flow.ScheduleRecord, error) {
	return collect(ctx, reader{s.readers}, scanSchedule, "SELECT "+scheduleColumns+" FROM schedules ORDER BY tenant, name")
}

// PutSchedule adds or replaces a schedule. A record without an override leaves the one that is kept. Since and
// Watermark of what is kept stay while its slots do (text, zone and bounds); a changed schedule starts at the record's
// Since. When it was disabled and enabled is kept here, whatever the record says. An event is recorded only when
// something has changed.
func (s *Store) PutSchedule(ctx context.Context, r flow.ScheduleRecord) error {
	return s.do(ctx, func(w *writer) error {
		old, err := w.schedule(ctx, r.Tenant, r.Name)
		if err != nil {
			return err
		}
		_, err = w.replaceSchedule(r, old)
		return err
	})
}

// PutSchedules is PutSchedule for many, all or none.
func (s *Store) PutSchedules(ctx context.Context, records []flow.ScheduleRecord) error {
	return s.do(ctx, func(w *writer) error {
		_, err := w.replaceSchedules(ctx, records)
		return err
	})
}

// fewSchedules are looked up one by one.
const fewSchedules = 32

// replaceSchedules puts schedules in the place of those of their names, and returns them as they are kept.
func (w *writer) replaceSchedules(ctx context.Context, records []flow.ScheduleRecord) ([]flow.ScheduleRecord, error) {
	find := func(r *flow.ScheduleRecord) (*flow.ScheduleRecord, error) { return w.schedule(ctx, r.Tenant, r.Name) }
	if len(records) > fewSchedules {
		known, err := collect(ctx, w, scanSchedule, "SELECT "+scheduleColumns+" FROM schedules")
		if err != nil {
			return nil, err
		}
		old := make(map[[2]string]*flow.ScheduleRecord, len(known))
		for i := range known {
			old[[2]string{known[i].Tenant, known[i].Name}] = &known[i]
		}
		find = func(r *flow.ScheduleRecord) (*flow.ScheduleRecord, error) {
			return old[[2]string{r.Tenant, r.Name}], nil
		}
	}
	kept := make([]flow.ScheduleRecord, len(records))
	for i := range records {
		old, err := find(&records[i])
		if err != nil {
			return nil, err
		}
		if kept[i], err = w.replaceSchedule(records[i], old); err != nil {
			return nil, err
		}
		failpoint.Here(failpoint.Reload)
	}
	w.filled = w.filled || len(records) >= muchBehind
	return kept, nil
}

// replaceSchedule puts a schedule in the place of an old one, or of none, and returns it as it is kept.
func (w *writer) replaceSchedule(r flow.ScheduleRecord, old *flow.ScheduleRecord) (flow.ScheduleRecord, error) {
	if r.Watermark.Before(r.Since) {
		r.Watermark = r.Since
	}
	if old != nil {
		if r.Override == nil {
			r.Override = old.Override
		}
		if r.OverrideAt == nil {
			r.OverrideAt = old.OverrideAt
		}
		if old.At == r.At && old.Timezone == r.Timezone && old.From == r.From && old.To == r.To {
			r.Since, r.Watermark = old.Since, old.Watermark
		}
	}
	err := w.putSchedule(&r, old)
	return r, err
}

func (w *writer) schedule(ctx context.Context, tenant, name string) (*flow.ScheduleRecord, error) {
	found, err := collect(ctx, w, scanSchedule, "SELECT "+scheduleColumns+" FROM schedules WHERE tenant = ? AND name = ?", tenant, name)
	if err != nil || len(found) == 0 {
		return nil, err
	}
	return &found[0], nil
}

// putSchedule writes a record over what was there, old or nil.
func (w *writer) putSchedule(r, old *flow.ScheduleRecord) error {
	r.Since, r.Watermark = r.Since.UTC(), r.Watermark.UTC()
	switched(r, old, time.Now().UTC())
	detail, err := encode(r)
	if err != nil {
		return err
	}
	if old != nil {
		before, err := encode(old)
		if err != nil || before == detail {
			return err
		}
	}
	body, err := encode(r.PlanSchedule)
	if err != nil {
		return err
	}
	var override any
	if r.Override != nil {
		override = *r.Override
	}
	if _, err := w.exec(`INSERT INTO schedules (tenant, name, body, origin, override, override_at, since, watermark, paused_at, resumed_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT DO UPDATE SET body = excluded.body, origin = excluded.origin, override = excluded.override, override_at = excluded.override_at,
			since = excluded.since, watermark = excluded.watermark, paused_at = excluded.paused_at, resumed_at = excluded.resumed_at`,
		r.Tenant, r.Name, body, r.Origin, override, nanosOf(r.OverrideAt), nanos(r.Since), nanos(r.Watermark), nanos(r.PausedAt), nanos(r.ResumedAt)); err != nil {
		return err
	}
	told := *r
	told.Context = nil // as in all events
	if detail, err = encode(told); err != nil {
		return err
	}
	return w.recordDetail(flow.Event{At: time.Now(), Kind: flow.ScheduleSet, Tenant: r.Tenant, Pipeline: r.Pipeline, Schedule: r.Name}, detail)
}

// switched notes when a schedule is disabled or enabled.
func switched(r, old *flow.ScheduleRecord, now time.Time) {
	if old == nil {
		r.PausedAt, r.ResumedAt = time.Time{}, time.Time{}
		if !r.Active() {
			r.PausedAt = r.Since
		}
		return
	}
	r.PausedAt, r.ResumedAt = old.PausedAt, old.ResumedAt
	switch {
	case old.Active() && !r.Active():
		r.PausedAt = now
	case !old.Active() && r.Active():
		r.ResumedAt = now
	}
}

// SetOverride enables or disables a schedule by hand; nil takes that back. An unknown schedule is flow.ErrNotFound.
func (s *Store) SetOverride(ctx context.Context, tenant, name string, override *bool) error {
	return s.do(ctx, func(w *writer) error {
		old, err := w.schedule(ctx, tenant, name)
		if err != nil {
			return err
		}
		if old == nil {
			return fmt.Errorf("schedule %s: %w", flow.ID(tenant, name), flow.ErrNotFound)
		}
		r := *old
		r.Override = override
		if r.Active() != old.Active() {
			r.OverrideAt = new(time.Now().UTC())
		}
		return w.putSchedule(&r, old)
	})
}

// DeleteSchedule removes a schedule; its slots stay. An unknown one is flow.ErrNotFound.
func (s *Store) DeleteSchedule(ctx context.Context, tenant, name string) error {
	return s.do(ctx, func(w *writer) error { return w.deleteSchedule(ctx, tenant, name) })
}

func (w *writer) deleteSchedule(ctx context.Context, tenant, name string) error {
	old, err := w.schedule(ctx, tenant, name)
	if err != nil {
		return err
	}
	if old == nil {
		return fmt.Errorf("schedule %s: %w", flow.ID(tenant, name), flow.ErrNotFound)
	}
	if _, err := w.exec("DELETE FROM schedules WHERE tenant = ? AND name = ?", tenant, name); err != nil {
		return err
	}
	return w.record(flow.Event{At: time.Now(), Kind: flow.ScheduleGone, Tenant: tenant, Pipeline: old.Pipeline, Schedule: name})
}

// SaveVersion records a version of a pipeline with what the caller says about it. The same digest may be saved again.
func (s *Store) SaveVersion(ctx context.Context, v flow.VersionRecord) error {
	return s.do(ctx, func(w *writer) error {
		v.SavedAt = v.SavedAt.UTC()
		body, err := encode(v)
		if err != nil {
			return err
		}
		_, err = w.exec("INSERT INTO versions (tenant, pipeline, body) VALUES (?, ?, ?)", v.Tenant, v.Pipeline, body)
		return err
	})
}

// Versions returns the saved versions of a pipeline, newest first.
func (s *Store) Versions(ctx context.Context, tenant, pipeline string) ([]flow.VersionRecord, error) {
	return collect(ctx, reader{s.readers}, func(row scanner) (v flow.VersionRecord, err error) {
		var body string
		if err := row.Scan(&body); err != nil {
			return v, err
		}
		return v, decode(body, &v)
	}, "SELECT body FROM versions WHERE tenant = ? AND pipeline = ? ORDER BY seq DESC", tenant, pipeline)
}
