package access

import (
	"context"
	"encoding/json"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
)

func (s *scoped) Info(ctx context.Context) (flow.HostInfo, error) {
	return read(s, "tell about the host", func() (flow.HostInfo, error) {
		info, err := s.host.InfoOf(ctx, s.p.Tenant)
		if s.p.Tenant != "" {
			info.PID, info.Manifest, info.Data, info.Listen, info.Socket, info.Rearmed = 0, "", "", "", "", 0
		}
		return info, err
	})
}

func (s *scoped) Pipelines(ctx context.Context) ([]flow.PipelineInfo, error) {
	return read(s, "list pipelines", func() ([]flow.PipelineInfo, error) {
		infos, err := s.host.PipelinesOf(ctx, s.p.Tenant)
		for i := range infos {
			s.hideRun(infos[i].LastRun)
		}
		return infos, err
	})
}

func (s *scoped) Pipeline(ctx context.Context, id string) (flow.PipelineInfo, error) {
	return read(s, "show a pipeline", func() (flow.PipelineInfo, error) {
		return s.pipeline(s.host.Pipeline(ctx, s.own(id)))
	})
}

// pipeline is what the principal may see of one.
func (s *scoped) pipeline(info flow.PipelineInfo, err error) (flow.PipelineInfo, error) {
	s.hideRun(info.LastRun)
	info.Plan = s.hidePlan(info.Plan)
	return info, err
}

func (s *scoped) Versions(ctx context.Context, id string) ([]flow.VersionRecord, error) {
	return read(s, "list versions", func() ([]flow.VersionRecord, error) { return s.host.Versions(ctx, s.own(id)) })
}

func (s *scoped) State(ctx context.Context, id string) (map[string]json.RawMessage, error) {
	return read(s, "show the state", func() (map[string]json.RawMessage, error) { return s.host.State(ctx, s.own(id)) })
}

func (s *scoped) Deployments(ctx context.Context, q flow.DeploymentQuery) ([]flow.Deployment, error) {
	return read(s, "list deployments", func() ([]flow.Deployment, error) {
		tenant, ok := s.tenantOf(q.Tenant)
		if !ok {
			return []flow.Deployment{}, nil
		}
		q.Tenant = tenant
		if q.Pipeline != "" {
			q.Pipeline = s.own(q.Pipeline)
		}
		found, err := s.host.Deployments(ctx, q)
		for i := range found {
			s.hideDeployment(&found[i])
		}
		return found, err
	})
}

func (s *scoped) Tenants(ctx context.Context) ([]flow.TenantInfo, error) {
	return read(s, "list tenants", func() ([]flow.TenantInfo, error) {
		all, err := s.host.TenantsOf(ctx, s.p.Tenant)
		for i := range all {
			all[i].Manifest, all[i].Refused = s.path(all[i].Manifest), s.hideProblems(all[i].Refused)
		}
		return all, err
	})
}

func (s *scoped) Schedules(ctx context.Context) ([]flow.ScheduleInfo, error) {
	return read(s, "list schedules", func() ([]flow.ScheduleInfo, error) {
		infos, err := s.host.SchedulesOf(ctx, s.p.Tenant)
		for i := range infos {
			infos[i] = s.schedule(infos[i])
		}
		return infos, err
	})
}

// schedule is what the principal may see of one.
func (s *scoped) schedule(info flow.ScheduleInfo) flow.ScheduleInfo {
	info.Broken = s.hide(info.Broken)
	s.hideRun(info.LastRun)
	return info
}

func (s *scoped) Next(ctx context.Context, name string, after time.Time, n int) ([]time.Time, error) {
	return read(s, "list the next fires", func() ([]time.Time, error) { return s.host.Next(ctx, s.own(name), after, n) })
}

func (s *scoped) ClockChanges(ctx context.Context, name string, after time.Time, n int) ([]flow.ClockChange, error) {
	return read(s, "list clock changes", func() ([]flow.ClockChange, error) { return s.host.ClockChanges(ctx, s.own(name), after, n) })
}

func (s *scoped) Slots(ctx context.Context, q flow.SlotQuery) ([]flow.SlotRecord, error) {
	return read(s, "list slots", func() ([]flow.SlotRecord, error) {
		if s.p.Tenant != "" {
			q.Tenant, q.Schedule = s.p.Tenant, s.own(q.Schedule)
		}
		return s.host.Slots(ctx, q)
	})
}

func (s *scoped) Why(ctx context.Context, name string, at time.Time) (flow.SlotStory, error) {
	return read(s, "explain a slot", func() (flow.SlotStory, error) {
		story, err := s.host.Why(ctx, s.own(name), at)
		story.Text = s.hide(story.Text)
		s.hideRun(story.Run)
		return story, err
	})
}

func (s *scoped) Health(ctx context.Context) (flow.HostHealth, error) {
	return read(s, "judge the host", func() (flow.HostHealth, error) {
		health, err := s.host.Health(ctx)
		if s.p.Tenant == "" {
			return health, err
		}
		// An incident of the host as a whole has no pipeline, and tells of others.
		health.Incidents = slices.DeleteFunc(health.Incidents, func(i flow.Incident) bool { return i.Tenant != s.p.Tenant || i.Pipeline == "" })
		health.Alerts = slices.DeleteFunc(health.Alerts, func(a flow.AlertHealth) bool { return !s.owns(a.Name) })
		health.OK = len(health.Incidents)+len(health.Alerts) == 0
		return health, err
	})
}

// owns reports whether an id is of the principal's tenant.
func (s *scoped) owns(id string) bool {
	tenant, _, ok := strings.Cut(id, "/")
	if !ok {
		tenant = flow.DefaultTenant
	}
	return s.p.Tenant == "" || tenant == s.p.Tenant
}

func (s *scoped) ScheduleHealth(ctx context.Context) ([]flow.ScheduleHealth, error) {
	return read(s, "judge the schedules", func() ([]flow.ScheduleHealth, error) {
		all, err := s.host.ScheduleHealthOf(ctx, s.p.Tenant)
		for i := range all {
			all[i].Detail = s.hide(all[i].Detail)
		}
		return all, err
	})
}

func (s *scoped) Alerts(ctx context.Context) ([]flow.AlertInfo, error) {
	return read(s, "list alerts", func() ([]flow.AlertInfo, error) {
		all, err := s.host.Alerts(ctx)
		all = slices.DeleteFunc(all, func(a flow.AlertInfo) bool { return !s.owns(a.Name) })
		for i := range all {
			all[i].Pipelines = slices.DeleteFunc(all[i].Pipelines, func(id string) bool { return !s.owns(id) })
		}
		return all, err
	})
}

func (s *scoped) Runs(ctx context.Context, q flow.RunQuery) ([]flow.RunRecord, error) {
	return read(s, "list runs", func() ([]flow.RunRecord, error) {
		if s.p.Tenant != "" {
			q.Tenant, q.Schedule = s.p.Tenant, s.bare(q.Schedule)
			if q.Pipeline != "" {
				q.Pipeline = s.own(q.Pipeline)
			}
			if q.Before != "" {
				q.Before = flow.RunID(s.own(string(q.Before)))
			}
		}
		found, err := s.host.Runs(ctx, q)
		for i := range found {
			s.hideRun(&found[i])
		}
		return found, err
	})
}

func (s *scoped) Run(ctx context.Context, name string) (flow.RunRecord, error) {
	return read(s, "show a run", func() (flow.RunRecord, error) { return s.run(s.host.Run(ctx, s.own(name))) })
}

// run is what the principal may see of one.
func (s *scoped) run(r flow.RunRecord, err error) (flow.RunRecord, error) {
	s.hideRun(&r)
	return r, err
}

func (s *scoped) RunVersion(ctx context.Context, name string) (flow.RunVersion, error) {
	return read(s, "show the version of a run", func() (flow.RunVersion, error) {
		v, err := s.host.RunVersion(ctx, s.own(name))
		for i := range v.Changes {
			v.Changes[i] = s.hide(v.Changes[i])
		}
		return v, err
	})
}

func (s *scoped) Logs(ctx context.Context, q flow.LogQuery) ([]flow.LogLine, error) {
	return read(s, "list log lines", func() ([]flow.LogLine, error) {
		if s.p.Tenant != "" {
			q.Tenant, q.Run = s.p.Tenant, flow.RunID(s.bare(string(q.Run)))
		}
		return s.host.Logs(ctx, q)
	})
}

// events binds a query for events to the principal's tenant.
func (s *scoped) events(q flow.EventQuery) flow.EventQuery {
	if s.p.Tenant == "" {
		return q
	}
	q.Tenant, q.Pipeline, q.Run = s.p.Tenant, s.bare(q.Pipeline), flow.RunID(s.bare(string(q.Run)))
	if q.Schedule != "" {
		q.Schedule = s.own(q.Schedule)
	}
	return q
}

func (s *scoped) Events(ctx context.Context, q flow.EventQuery) ([]flow.Event, error) {
	return read(s, "list events", func() ([]flow.Event, error) {
		found, err := s.host.Events(ctx, s.events(q))
		for i := range found {
			found[i].Message = s.hide(found[i].Message)
		}
		return found, err
	})
}

func (s *scoped) Follow(ctx context.Context, q flow.EventQuery, yield func(flow.Event) bool) error {
	if err := s.may(flow.RoleViewer, "follow events"); err != nil {
		return err
	}
	return s.shown(s.host.Follow(ctx, s.events(q), func(e flow.Event) bool {
		e.Message = s.hide(e.Message)
		return yield(e)
	}))
}

func (s *scoped) Artifact(ctx context.Context, id flow.RunID, d flow.Digest) (io.ReadCloser, error) {
	return read(s, "read an artifact", func() (io.ReadCloser, error) { return s.host.Artifact(ctx, flow.RunID(s.own(string(id))), d) })
}
