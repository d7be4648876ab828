package host

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/calendar"
	"github.com/uniflow-dev/uniflow/host/internal/plan"
)

// ScheduleDaily adds a schedule that fires every day at an hour and minute of the host's zone. The context is laid
// over the pipeline's own, and may be nil.
func (h *Host) ScheduleDaily(ctx context.Context, name, pipeline string, hour, minute int, runContext map[string]any) error {
	return h.scheduleText(ctx, name, pipeline, fmt.Sprintf("daily %02d:%02d", hour, minute), runContext)
}

// ScheduleHourly adds a schedule that fires at a minute of every hour.
func (h *Host) ScheduleHourly(ctx context.Context, name, pipeline string, minute int, runContext map[string]any) error {
	return h.scheduleText(ctx, name, pipeline, fmt.Sprintf("hourly :%02d", minute), runContext)
}

// ScheduleInterval adds a schedule that fires at every multiple of an interval since the Unix epoch.
func (h *Host) ScheduleInterval(ctx context.Context, name, pipeline string, interval time.Duration, runContext map[string]any) error {
	return h.scheduleText(ctx, name, pipeline, "every "+flow.Duration(interval).String(), runContext)
}

func (h *Host) scheduleText(ctx context.Context, name, pipeline, at string, runContext map[string]any) error {
	values := map[string]json.RawMessage{}
	for k, v := range runContext {
		raw, err := json.Marshal(v)
		if err != nil {
			return &flow.Error{Code: flow.CodeRequest, Op: "add schedule " + name, Message: fmt.Sprintf("context key %q is not JSON", k), Err: err}
		}
		values[k] = raw
	}
	_, err := h.AddSchedule(ctx, flow.Schedule{Name: name, Pipeline: pipeline, At: at, Context: values})
	return err
}

// AddSchedule adds a schedule of any kind, which the ledger keeps. A name that is taken by another pipeline or by the
// manifest is refused; the same name and pipeline again replaces the schedule.
func (h *Host) AddSchedule(ctx context.Context, s flow.Schedule) (flow.ScheduleInfo, error) {
	h.bounding.Lock() // or many who ask at one time would each find room
	defer h.bounding.Unlock()
	h.view.RLock()
	defer h.view.RUnlock()
	op := "add schedule " + s.Name
	e, err := h.known(s.Pipeline)
	if err != nil {
		return flow.ScheduleInfo{}, err
	}
	if !validName(s.Name) {
		return flow.ScheduleInfo{}, &flow.Error{Code: flow.CodeRequest, Op: op, Message: fmt.Sprintf("%q is not a name", s.Name), Hint: "a name has lower case letters, digits, _ and -, begins with a letter, and is at most 64 long"}
	}
	if err := checkSlotRules(&s, op); err != nil {
		return flow.ScheduleInfo{}, err
	}
	if _, err := checkContext(&e.plan, s.Context, op); err != nil {
		return flow.ScheduleInfo{}, err
	}
	records, err := h.store.Schedules(ctx)
	if err != nil {
		return flow.ScheduleInfo{}, fmt.Errorf("%s: %w", op, err)
	}
	for _, r := range h.withUnsynced(records) {
		if r.Name == s.Name && (r.Origin == flow.OriginManifest || r.Pipeline != e.plan.Pipeline) && r.Tenant == e.plan.Tenant {
			return flow.ScheduleInfo{}, &flow.Error{Code: flow.CodeExists, Op: op, Message: fmt.Sprintf("pipeline %q has a schedule of that name", flow.ID(r.Tenant, r.Pipeline)), Hint: "choose another name"}
		}
	}
	if err := h.scheduleFits(h.withUnsynced(records), e.plan.Tenant, s.Name, op); err != nil {
		return flow.ScheduleInfo{}, err
	}
	return h.putSchedule(ctx, e.plan.Tenant, h.frozen(&e.plan, s), flow.OriginAPI)
}

// checkSlotRules refuses what a manifest could not say either.
func checkSlotRules(s *flow.Schedule, op string) error {
	refuse := func(what string, found any, hint string) error {
		return &flow.Error{Code: flow.CodeRequest, Op: op, Message: fmt.Sprintf("%s cannot be %v", what, found), Hint: hint}
	}
	switch c := &s.Catchup; {
	case !slices.Contains([]flow.Overlap{"", flow.OverlapWait, flow.OverlapWaitAll, flow.OverlapSkip, flow.OverlapReplace}, s.Overlap):
		return refuse("overlap", strconv.Quote(string(s.Overlap)), "known: wait, wait_all, skip, replace")
	case !slices.Contains([]string{"", "none", "latest", "all"}, c.Runs):
		return refuse("catchup.runs", strconv.Quote(c.Runs), "known: none, latest, all")
	case c.Within < 0:
		return refuse("catchup.within", c.Within, "leave it out for 24h")
	case c.Max < 0 || c.Max > mostCatchup:
		return refuse("catchup.max", c.Max, fmt.Sprintf("it lies between 1 and %d", mostCatchup))
	}
	return nil
}

// mostCatchup bounds catchup.max, as in a manifest.
const mostCatchup = 10_000

// validName holds the rule of names in a manifest.
func validName(name string) bool {
	if name == "" || len(name) > 64 || name[0] < 'a' || name[0] > 'z' {
		return false
	}
	return strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789_-") == ""
}

// frozen fills in what a schedule leaves to its pipeline and host.
func (h *Host) frozen(p *flow.Plan, s flow.Schedule) flow.PlanSchedule {
	f := flow.PlanSchedule{
		Name: s.Name, Pipeline: p.Pipeline, At: s.At, Timezone: s.Timezone, Context: s.Context, Enabled: s.Enabled == nil || *s.Enabled, Overlap: s.Overlap, Catchup: s.Catchup,
		SlotRules: p.Slots, From: s.From, To: s.To,
	}
	if s.OnResume != "" {
		f.OnResume = s.OnResume
	}
	if f.OnResume == flow.ResumeNone {
		f.OnResume = ""
	}
	if s.NotOn != nil {
		f.NotOn = s.NotOn
	}
	if s.Jitter != 0 {
		f.Jitter = s.Jitter
	}
	if f.Timezone == "" && len(p.Schedules) > 0 {
		f.Timezone = p.Schedules[0].Timezone
	}
	if own := h.projectOf(p.Tenant); f.Timezone == "" && own != nil {
		f.Timezone = own.Timezone()
	}
	if f.Timezone == "" {
		f.Timezone = "UTC"
	}
	if f.Overlap == "" {
		f.Overlap = p.Overlap
	}
	if f.Catchup.Runs == "" {
		f.Catchup.Runs = "latest"
	}
	if f.Catchup.Within == 0 {
		f.Catchup.Within = flow.Duration(24 * time.Hour)
	}
	return f
}

// putSchedule records a schedule and arms it.
func (h *Host) putSchedule(ctx context.Context, tenant string, s flow.PlanSchedule, origin flow.Origin) (flow.ScheduleInfo, error) {
	if h.config.ReadOnly {
		return flow.ScheduleInfo{}, errReadOnly("add schedule " + s.Name)
	}
	if err := h.freeze(tenant, &s); err != nil {
		return flow.ScheduleInfo{}, fmt.Errorf("schedule %q: %w", s.Name, err)
	}
	now := time.Now().UTC()
	if err := h.store.PutSchedule(ctx, flow.ScheduleRecord{Tenant: tenant, PlanSchedule: s, Origin: origin, Since: now, Watermark: now}); err != nil {
		return flow.ScheduleInfo{}, fmt.Errorf("record schedule %q: %w", s.Name, err)
	}
	return h.rearm(ctx, tenant, s.Name)
}

// freeze brings a new schedule into its canonical form, or says what is wrong with it.
func (h *Host) freeze(tenant string, s *flow.PlanSchedule) error {
	for _, item := range s.NotOn {
		if plan.IsCalendar(item) {
			return &flow.Error{Code: flow.CodeNotOn, Message: fmt.Sprintf("the calendar file %q is not read here", item), Hint: "write its days, or name the file in not_on of a manifest"}
		}
	}
	switch s.OnResume {
	case "", flow.ResumeLatest, flow.ResumeAll:
	default:
		return &flow.Error{Code: flow.CodeRequest, Message: fmt.Sprintf("on_resume cannot be %q", s.OnResume), Hint: "write none, latest or all"}
	}
	cal, err := calendar.Freeze(tenant, s)
	if err != nil {
		return err
	}
	if fault := cal.Often(h.leastInterval(tenant)); fault != nil {
		return fault
	}
	return nil
}

// rearm gives the clock what the ledger holds of a schedule.
func (h *Host) rearm(ctx context.Context, tenant, name string) (flow.ScheduleInfo, error) {
	record, err := h.schedule(ctx, flow.ID(tenant, name))
	if err != nil {
		return flow.ScheduleInfo{}, err
	}
	if err := h.clock.Set(record); err != nil {
		return flow.ScheduleInfo{}, err
	}
	return h.scheduleInfo(ctx, record)
}

// schedule finds a schedule by id.
func (h *Host) schedule(ctx context.Context, id string) (flow.ScheduleRecord, error) {
	records, err := h.store.Schedules(ctx)
	if err != nil {
		return flow.ScheduleRecord{}, fmt.Errorf("list schedules: %w", err)
	}
	var names []string
	a := readID(id)
	for _, r := range h.withUnsynced(records) {
		if a.is(r.Tenant, r.Name) {
			return r, nil
		}
		if a.hears(r.Tenant) {
			names = append(names, flow.ID(r.Tenant, r.Name))
		}
	}
	return flow.ScheduleRecord{}, notFound("schedule", id, names)
}

// Schedules lists all schedules by name.
func (h *Host) Schedules(ctx context.Context) ([]flow.ScheduleInfo, error) {
	return h.schedulesOf(ctx, "")
}

// schedulesOf lists the schedules of a tenant; empty stands for all.
func (h *Host) schedulesOf(ctx context.Context, tenant string) ([]flow.ScheduleInfo, error) {
	h.view.RLock()
	defer h.view.RUnlock()
	records, err := h.store.Schedules(ctx)
	if err != nil {
		return nil, fmt.Errorf("list schedules: %w", err)
	}
	infos := []flow.ScheduleInfo{}
	for _, r := range h.withUnsynced(records) {
		if tenant != "" && r.Tenant != tenant {
			continue
		}
		info, err := h.scheduleInfo(ctx, r)
		if err != nil {
			return nil, err
		}
		infos = append(infos, info)
	}
	slices.SortFunc(infos, func(a, b flow.ScheduleInfo) int { return strings.Compare(a.Name, b.Name) })
	return infos, nil
}

// withUnsynced adds the manifest's schedules that no host has served yet, so that a list is complete before the first
// start.
func (h *Host) withUnsynced(records []flow.ScheduleRecord) []flow.ScheduleRecord {
	known := make(map[[2]string]bool, len(records))
	for i := range records {
		known[[2]string{records[i].Tenant, records[i].Name}] = true
	}
	for _, e := range h.entries() {
		if e.origin != flow.OriginManifest {
			continue
		}
		for _, s := range e.plan.Schedules {
			if !known[[2]string{e.plan.Tenant, s.Name}] {
				now := time.Now().UTC()
				records = append(records, flow.ScheduleRecord{Tenant: e.plan.Tenant, PlanSchedule: s, Origin: flow.OriginManifest, Since: now, Watermark: now})
			}
		}
	}
	return records
}

func (h *Host) scheduleInfo(ctx context.Context, r flow.ScheduleRecord) (flow.ScheduleInfo, error) {
	info := flow.ScheduleInfo{
		Name: flow.ID(r.Tenant, r.Name), Pipeline: flow.ID(r.Tenant, r.Pipeline), Value: r.At, Timezone: r.Timezone,
		Enabled: r.Active(), Drift: r.Active() != r.Enabled, Origin: r.Origin, Overlap: r.Overlap, Context: r.Context,
		SlotRules: r.SlotRules, From: r.From, To: r.To,
	}
	if _, err := h.slotContext(&r); err != nil {
		info.Broken = err.Error()
	}
	if cal, err := calendar.Of(r.Tenant, &r.PlanSchedule); err == nil {
		info.Type, info.Value, info.Words, info.Delay = string(cal.Kind()), cal.Text(), cal.String(), flow.Duration(cal.Delay())
		if next := cal.FiresOf(r.Since, time.Now(), 1); info.Enabled && info.Broken == "" && len(next) > 0 {
			info.NextRun = &next[0]
		}
	}
	last, err := h.store.Runs(ctx, flow.RunQuery{Tenant: r.Tenant, Pipeline: r.Pipeline, Schedule: r.Name, Limit: 1})
	if err != nil {
		return info, fmt.Errorf("last run of schedule %q: %w", r.Name, err)
	}
	if len(last) > 0 {
		info.LastRun = &last[0]
	}
	return info, nil
}

// Next returns the next n fires of a schedule after an instant, whether it is enabled or not: when slots that get a run
// come due.
func (h *Host) Next(ctx context.Context, name string, after time.Time, n int) ([]time.Time, error) {
	h.view.RLock()
	defer h.view.RUnlock()
	_, r, cal, err := h.written(ctx, name)
	if err != nil {
		return nil, err
	}
	return cal.FiresOf(r.Since, after, n), nil
}

// Enable lets a schedule fire again. What becomes of slots that came due while it was disabled is up to its on_resume:
// unless that says otherwise, they are skipped.
func (h *Host) Enable(ctx context.Context, name string) error {
	_, err := h.SetEnabled(ctx, name, true)
	return err
}

// Disable keeps a schedule and lets it fire no more. A run that is live goes on; slots that are due and undecided are
// skipped.
func (h *Host) Disable(ctx context.Context, name string) error {
	_, err := h.SetEnabled(ctx, name, false)
	return err
}

// SetEnabled enables or disables a schedule, whatever its origin; it survives restarts.
func (h *Host) SetEnabled(ctx context.Context, name string, enabled bool) (flow.ScheduleInfo, error) {
	h.view.RLock()
	defer h.view.RUnlock()
	if h.config.ReadOnly {
		return flow.ScheduleInfo{}, errReadOnly("change schedule " + name)
	}
	if err := h.applySchedule(ctx, name); err != nil {
		return flow.ScheduleInfo{}, err
	}
	r, err := h.schedule(ctx, name)
	if err != nil {
		return flow.ScheduleInfo{}, err
	}
	override := &enabled
	if enabled == r.Enabled {
		override = nil
	}
	if err := h.store.SetOverride(ctx, r.Tenant, r.Name, override); err != nil {
		return flow.ScheduleInfo{}, fmt.Errorf("change schedule %q: %w", name, err)
	}
	return h.rearm(ctx, r.Tenant, r.Name)
}

// applySchedule records a schedule of the manifest that no host has served yet, so that it can be changed before.
func (h *Host) applySchedule(ctx context.Context, name string) error {
	records, err := h.store.Schedules(ctx)
	if err != nil {
		return fmt.Errorf("list schedules: %w", err)
	}
	known := len(records)
	for _, r := range h.withUnsynced(records)[known:] {
		if !readID(name).is(r.Tenant, r.Name) {
			continue
		}
		if err := h.store.PutSchedule(ctx, r); err != nil {
			return fmt.Errorf("record schedule %q: %w", name, err)
		}
	}
	return nil
}

// Unschedule removes a schedule that was added by hand or in code. One of the manifest is refused.
func (h *Host) Unschedule(ctx context.Context, name string) error {
	h.view.RLock()
	defer h.view.RUnlock()
	if h.config.ReadOnly {
		return errReadOnly("remove schedule " + name)
	}
	r, err := h.schedule(ctx, name)
	if err != nil {
		return err
	}
	if r.Origin == flow.OriginManifest {
		return &flow.Error{Code: flow.CodeWritten, Op: "unschedule " + name, Message: "it stands in the manifest" + h.place(&r), Hint: "remove it there, or `uniflow schedule disable " + name + "`"}
	}
	return h.remove(ctx, &r)
}

// place tells where the manifest has a schedule.
func (h *Host) place(r *flow.ScheduleRecord) string {
	own := h.projectOf(r.Tenant)
	if own == nil {
		return ""
	}
	path := []string{"schedules", r.Name}
	if r.Name == r.Pipeline {
		path = []string{"pipelines", r.Pipeline, "schedule"}
	}
	if at := own.Place(path); at != "" {
		return ", " + at
	}
	return ""
}

func (h *Host) remove(ctx context.Context, r *flow.ScheduleRecord) error {
	if err := h.store.DeleteSchedule(ctx, r.Tenant, r.Name); err != nil {
		return fmt.Errorf("remove schedule %q: %w", r.Name, err)
	}
	return h.clock.Remove(r.Tenant, r.Name)
}

// Clear removes all schedules that were added by hand or in code, and says which ones of the manifest stay.
func (h *Host) Clear(ctx context.Context) (flow.Cleared, error) { return h.clear(ctx, "") }

// clear is Clear for the schedules of a tenant; empty stands for all.
func (h *Host) clear(ctx context.Context, tenant string) (flow.Cleared, error) {
	h.view.RLock()
	defer h.view.RUnlock()
	cleared := flow.Cleared{Removed: []string{}, Kept: []string{}}
	if h.config.ReadOnly {
		return cleared, errReadOnly("clear the schedules")
	}
	records, err := h.store.Schedules(ctx)
	if err != nil {
		return cleared, fmt.Errorf("list schedules: %w", err)
	}
	for _, r := range h.withUnsynced(records) {
		if tenant != "" && r.Tenant != tenant {
			continue
		}
		id := flow.ID(r.Tenant, r.Name)
		if r.Origin == flow.OriginManifest {
			cleared.Kept = append(cleared.Kept, id)
			continue
		}
		if err := h.remove(ctx, &r); errors.Is(err, flow.ErrNotFound) {
			continue // somebody else has removed it meanwhile
		} else if err != nil {
			return cleared, err
		}
		cleared.Removed = append(cleared.Removed, id)
	}
	return cleared, nil
}
