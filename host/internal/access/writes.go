package access

import (
	"cmp"
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/uniflow-dev/uniflow/host/flow"
)

func (s *scoped) SetEnabled(ctx context.Context, name string, enabled bool) (flow.ScheduleInfo, error) {
	verb := "schedule.disable"
	if enabled {
		verb = "schedule.enable"
	}
	name = s.own(name)
	return write(ctx, s, flow.RoleOperator, verb, name, func(c *change) (flow.ScheduleInfo, error) {
		before, err := s.host.Schedule(ctx, name)
		if err != nil {
			return flow.ScheduleInfo{}, err
		}
		info, err := s.host.SetEnabled(ctx, name, enabled)
		c.told(map[string]any{"enabled": before.Active()}, map[string]any{"enabled": enabled})
		return s.schedule(info), err
	})
}

// scheduleFacts are what the audit tells of a schedule.
func scheduleFacts(r *flow.ScheduleRecord) map[string]any {
	return map[string]any{"pipeline": flow.ID(r.Tenant, r.Pipeline), "at": r.At, "timezone": r.Timezone, "enabled": r.Active()}
}

func (s *scoped) AddSchedule(ctx context.Context, added flow.Schedule) (flow.ScheduleInfo, error) {
	added.Name, added.Pipeline = s.bare(added.Name), s.own(added.Pipeline)
	id := added.Name
	if tenant, _, ok := strings.Cut(added.Pipeline, "/"); ok {
		id = tenant + "/" + id
	}
	return write(ctx, s, flow.RoleAuthor, "schedule.add", id, func(c *change) (flow.ScheduleInfo, error) {
		var before any
		if old, err := s.host.Schedule(ctx, id); err == nil {
			before = scheduleFacts(&old)
		}
		info, err := s.host.AddSchedule(ctx, added)
		c.told(before, map[string]any{"pipeline": info.Pipeline, "at": info.Value, "timezone": info.Timezone, "enabled": info.Enabled})
		return s.schedule(info), err
	})
}

func (s *scoped) Unschedule(ctx context.Context, name string) error {
	name = s.own(name)
	_, err := write(ctx, s, flow.RoleAuthor, "schedule.remove", name, func(c *change) (struct{}, error) {
		old, err := s.host.Schedule(ctx, name)
		if err != nil {
			return struct{}{}, err
		}
		c.told(scheduleFacts(&old), nil)
		return struct{}{}, s.host.Unschedule(ctx, name)
	})
	return err
}

func (s *scoped) Clear(ctx context.Context) (flow.Cleared, error) {
	return write(ctx, s, flow.RoleAuthor, "schedule.clear", s.p.Tenant, func(c *change) (flow.Cleared, error) {
		cleared, err := s.host.ClearOf(ctx, s.p.Tenant)
		c.told(nil, map[string]any{"removed": some(cleared.Removed)})
		return cleared, err
	})
}

func (s *scoped) TestAlert(ctx context.Context, name string) (flow.AlertTest, error) {
	name = s.own(name)
	return write(ctx, s, flow.RoleOperator, "alert.test", name, func(c *change) (flow.AlertTest, error) {
		test, err := s.host.TestAlert(ctx, name)
		c.told(nil, map[string]any{"delivered": test.Delivered})
		return test, err
	})
}

// runFacts are what the audit tells of a run.
func runFacts(r *flow.RunRecord) map[string]any {
	facts := map[string]any{"run": r.ID, "pipeline": flow.ID(r.Tenant, r.Pipeline), "state": r.State}
	if r.Outcome != "" {
		facts["outcome"] = r.Outcome
	}
	return facts
}

func (s *scoped) StartRun(ctx context.Context, r flow.RunRequest) (flow.RunRecord, error) {
	r.Pipeline = s.own(r.Pipeline)
	return write(ctx, s, flow.RoleOperator, "run.start", r.Pipeline, func(c *change) (flow.RunRecord, error) {
		if r.ID.Valid() && s.p.Tenant != "" { // an id of the caller's choice must not meet that of another tenant's run
			if own, err := s.host.Run(ctx, s.own(string(r.ID))); err != nil || own.ID != r.ID {
				r.ID = r.ID.For(s.p.Tenant)
			}
		}
		record, err := s.host.StartRun(ctx, r)
		c.told(nil, runFacts(&record))
		return s.run(record, err)
	})
}

func (s *scoped) Rerun(ctx context.Context, r flow.RerunRequest) (flow.RunRecord, error) {
	r.Run = s.own(r.Run)
	return write(ctx, s, flow.RoleOperator, "run.rerun", r.Run, func(c *change) (flow.RunRecord, error) {
		record, err := s.host.Rerun(ctx, r)
		c.told(nil, runFacts(&record))
		return s.run(record, err)
	})
}

func (s *scoped) RerunAll(ctx context.Context, r flow.RerunAllRequest) (flow.MatchReport, error) {
	r.Pipeline, r.Schedule = s.own(r.Pipeline), s.bare(r.Schedule)
	return write(ctx, s, flow.RoleOperator, "run.rerun_matching", r.Pipeline, func(c *change) (flow.MatchReport, error) {
		c.looks = r.Confirm == nil
		report, err := s.host.RerunAll(ctx, r)
		c.told(nil, map[string]any{"runs": len(report.Runs)})
		return report, err
	})
}

func (s *scoped) CancelAll(ctx context.Context, r flow.CancelAllRequest) (flow.MatchReport, error) {
	r.Pipeline = s.own(r.Pipeline)
	return write(ctx, s, flow.RoleOperator, "run.cancel_matching", r.Pipeline, func(c *change) (flow.MatchReport, error) {
		c.looks = r.Confirm == nil
		report, err := s.host.CancelAll(ctx, r)
		c.told(nil, map[string]any{"runs": len(report.Runs)})
		return report, err
	})
}

func (s *scoped) Backfill(ctx context.Context, r flow.BackfillRequest) (flow.BackfillReport, error) {
	r.Name = s.own(r.Name)
	return write(ctx, s, flow.RoleOperator, "run.backfill", r.Name, func(c *change) (flow.BackfillReport, error) {
		c.looks = r.DryRun
		report, err := s.host.Backfill(ctx, r)
		c.told(nil, map[string]any{"runs": len(report.Slots), "from": report.From, "to": report.To})
		return report, err
	})
}

func (s *scoped) Cancel(ctx context.Context, id flow.RunID) (flow.RunRecord, error) {
	name := s.own(string(id))
	return write(ctx, s, flow.RoleOperator, "run.cancel", name, func(c *change) (flow.RunRecord, error) {
		record, err := s.host.Cancel(ctx, flow.RunID(name))
		c.told(nil, runFacts(&record))
		return s.run(record, err)
	})
}

func (s *scoped) SetState(ctx context.Context, id string, changes flow.StateChange) (map[string]json.RawMessage, error) {
	id = s.own(id)
	return write(ctx, s, flow.RoleAuthor, "state.set", id, func(c *change) (map[string]json.RawMessage, error) {
		c.told(nil, map[string]any{"set": some(slices.Sorted(maps.Keys(changes.Set))), "deleted": some(changes.Delete)})
		return s.host.SetState(ctx, id, changes)
	})
}

func (s *scoped) SaveVersion(ctx context.Context, id string, metadata map[string]string) (flow.VersionRecord, error) {
	id = s.own(id)
	return write(ctx, s, flow.RoleAuthor, "pipeline.save", id, func(c *change) (flow.VersionRecord, error) {
		v, err := s.host.SaveVersion(ctx, id, metadata)
		c.told(nil, map[string]any{"version": v.Digest, "metadata": some(slices.Sorted(maps.Keys(metadata)))})
		return v, err
	})
}

func (s *scoped) Rollback(ctx context.Context, r flow.RollbackRequest) (flow.PipelineInfo, error) {
	r.Pipeline = s.own(r.Pipeline)
	return write(ctx, s, flow.RoleAuthor, "pipeline.rollback", r.Pipeline, func(c *change) (flow.PipelineInfo, error) {
		old, err := s.host.Pipeline(ctx, r.Pipeline)
		if err != nil {
			return flow.PipelineInfo{}, err
		}
		r.By = s.p.Name
		info, err := s.host.Rollback(ctx, r)
		c.told(map[string]any{"version": old.Version}, map[string]any{"version": info.Version})
		return s.pipeline(info, err)
	})
}

func (s *scoped) Apply(ctx context.Context, r flow.ApplyRequest) (flow.ApplyReport, error) {
	return write(ctx, s, flow.RoleAuthor, "apply", cmp.Or(s.p.Tenant, r.Tenant), func(c *change) (flow.ApplyReport, error) {
		tenant, ok := s.tenantOf(r.Tenant)
		if !ok {
			return flow.ApplyReport{}, s.noTenant(r.Tenant)
		}
		r.Tenant, r.By, c.looks = tenant, s.p.Name, r.DryRun
		report, err := s.host.Apply(ctx, r)
		err = s.ofOwn(err)
		s.hideReport(&report)
		c.looks = c.looks || err == nil && !report.Applied && len(report.Refused) == 0
		c.told(nil, map[string]any{"deployment": report.Deployment.Seq, "digest": report.Deployment.Digest, "changes": len(report.Changes), "refused": slices.Sorted(maps.Keys(report.Refused))})
		return report, err
	})
}

// ofOwn keeps from a tenant what is wrong with the manifest of the operator, which names others: only what is about the
// request or the host's own standing is told.
func (s *scoped) ofOwn(err error) error {
	told := []flow.Code{flow.CodeReviewed, flow.CodeStopping, flow.CodeReadOnly, flow.CodeUnsupported}
	if err == nil || s.p.Tenant == "" || slices.Contains(told, flow.CodeOf(err)) {
		return err
	}
	return &flow.Error{Code: flow.CodeReviewed, Op: "apply", Message: "the operator's manifest cannot be applied as it is, or has no place for the tenant any more", Hint: "ask the operator"}
}

// hideReport leaves of a report what is the tenant's.
func (s *scoped) hideReport(r *flow.ApplyReport) {
	if s.p.Tenant == "" {
		return
	}
	s.hideDeployment(&r.Deployment)
	r.Changes = slices.DeleteFunc(r.Changes, func(c flow.PlanChange) bool { return !s.owns(c.Pipeline) })
	for i := range r.Changes {
		for n, what := range r.Changes[i].What {
			r.Changes[i].What[n] = s.hide(what)
		}
	}
	r.Problems = nil // warnings are about the manifests of all
	refused := map[string]flow.Problems{}
	for tenant, list := range r.Refused {
		if tenant == s.p.Tenant {
			refused[tenant] = s.hideProblems(list)
		}
	}
	r.Refused = refused
}
