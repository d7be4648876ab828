package sqlite

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// Deploy applies a deployment: plans, schedules, the endings of slots that are left behind, the deployment's row and
// those of the versions that it changes, and the rollbacks that hold, all or nothing.
func (s *Store) Deploy(ctx context.Context, d flow.Deploying) (flow.Deployed, error) {
	bodies, err := encodePlans(d.Plans)
	if err != nil {
		return flow.Deployed{}, err
	}
	done, err := write(ctx, s, func(w *writer) (flow.Deployed, error) { return w.deploy(ctx, &d, bodies) })
	if err == nil {
		s.keepPlans(d.Plans...)
	}
	return done, err
}

func (w *writer) deploy(ctx context.Context, d *flow.Deploying, bodies []string) (done flow.Deployed, err error) {
	if err = w.savePlans(d.Plans, bodies); err != nil {
		return done, err
	}
	for i := range d.Slots {
		if err = w.saveSlot(&d.Slots[i]); err != nil {
			return done, err
		}
	}
	if done.Schedules, err = w.replaceSchedules(ctx, d.Schedules); err != nil {
		return done, err
	}
	for i := range d.Gone {
		if err = w.deleteSchedule(ctx, d.Gone[i].Tenant, d.Gone[i].Name); err != nil && !errors.Is(err, flow.ErrNotFound) {
			return done, err
		}
	}
	if err = w.putRollbacks(d.Rollbacks); err != nil {
		return done, err
	}
	w.filled = true // what was read and written for it is not asked for soon again
	done.Deployment, err = w.addDeployment(ctx, d.Deployment)
	return done, err
}

// addDeployment records a deployment and the versions that it changes. One with the digest of the last is the last.
func (w *writer) addDeployment(ctx context.Context, d flow.Deployment) (flow.Deployment, error) {
	last, err := collect(ctx, w, scanDeployment, "SELECT seq, body FROM deployments ORDER BY seq DESC LIMIT 1")
	if err != nil {
		return d, err
	}
	before := map[string]flow.Digest{}
	if len(last) > 0 {
		if last[0].Digest == d.Digest {
			return last[0], nil
		}
		before = last[0].Plans
	}
	d.Seq, d.At = 0, d.At.UTC()
	body, err := encode(d)
	if err != nil {
		return d, err
	}
	if d.Seq, err = w.add("INSERT INTO deployments (at, digest, body) VALUES (?, ?, ?)", nanos(d.At), d.Digest, body); err != nil {
		return d, err
	}
	after := maps.Clone(d.Plans)
	for id := range before {
		if _, stays := after[id]; !stays {
			if after == nil {
				after = map[string]flow.Digest{}
			}
			after[id] = ""
		}
	}
	for _, id := range slices.Sorted(maps.Keys(after)) {
		if after[id] == before[id] {
			continue
		}
		tenant, pipeline := partsOf(id)
		if _, err := w.exec("INSERT INTO deployed (tenant, pipeline, deployment, digest) VALUES (?, ?, ?, ?)", tenant, pipeline, d.Seq, after[id]); err != nil {
			return d, err
		}
	}
	return d, nil
}

// partsOf parts the id of a pipeline.
func partsOf(id string) (tenant, pipeline string) {
	if tenant, pipeline, found := strings.Cut(id, "/"); found {
		return tenant, pipeline
	}
	return flow.DefaultTenant, id
}

func (w *writer) putRollbacks(rollbacks []flow.Rollback) error {
	if _, err := w.exec("DELETE FROM rollbacks"); err != nil {
		return err
	}
	for _, r := range rollbacks {
		if _, err := w.exec("INSERT INTO rollbacks (tenant, pipeline, digest, over, at) VALUES (?, ?, ?, ?, ?)", r.Tenant, r.Pipeline, r.Digest, r.Over, nanos(r.At)); err != nil {
			return err
		}
	}
	return nil
}

// Rollbacks returns the pipelines that were rolled back by hand.
func (s *Store) Rollbacks(ctx context.Context) ([]flow.Rollback, error) {
	return collect(ctx, reader{s.readers}, func(row scanner) (r flow.Rollback, err error) {
		var at instant
		err = row.Scan(&r.Tenant, &r.Pipeline, &r.Digest, &r.Over, &at)
		r.At = at.time()
		return r, err
	}, "SELECT tenant, pipeline, digest, over, at FROM rollbacks ORDER BY tenant, pipeline")
}

func scanDeployment(row scanner) (d flow.Deployment, err error) {
	var seq int64
	var body string
	if err := row.Scan(&seq, &body); err != nil {
		return d, err
	}
	err = decode(body, &d)
	d.Seq = seq
	return d, err
}

// Deployments returns what was applied, newest first. The limit defaults to 50 and is at most 1,000.
func (s *Store) Deployments(ctx context.Context, q flow.DeploymentQuery) ([]flow.Deployment, error) {
	limit := limited(q.Limit, 50, 1000)
	var f filter
	f.where("seq < ?", q.Before > 0, q.Before)
	if q.Pipeline != "" {
		tenant, pipeline := partsOf(q.Pipeline)
		f.where("seq IN (SELECT deployment FROM deployed WHERE tenant = ? AND pipeline = ?)", true, tenant)
		f.args = append(f.args, pipeline)
	}
	found := 0
	all, err := collect(ctx, reader{s.readers}, func(row scanner) (flow.Deployment, error) {
		if found == limit {
			return flow.Deployment{}, errEnough
		}
		d, err := scanDeployment(row)
		if q.Tenant != "" && !only(&d, q.Tenant) {
			d.Seq = 0
		} else {
			found++
		}
		return d, err
	}, "SELECT seq, body FROM deployments"+f.text.String()+" ORDER BY seq DESC", f.args...)
	return slices.DeleteFunc(all, func(d flow.Deployment) bool { return d.Seq == 0 }), err
}

// only leaves what a deployment says of one tenant, and reports whether it says anything.
func only(d *flow.Deployment, tenant string) bool {
	maps.DeleteFunc(d.Manifests, func(name string, _ flow.Digest) bool { return name != tenant })
	maps.DeleteFunc(d.Plans, func(id string, _ flow.Digest) bool {
		of, _ := partsOf(id)
		return of != tenant
	})
	return len(d.Manifests)+len(d.Plans) > 0
}

// Applied returns the versions of a pipeline that were applied, newest first, with the metadata of their deployments.
func (s *Store) Applied(ctx context.Context, tenant, pipeline string) ([]flow.VersionRecord, error) {
	return collect(ctx, reader{s.readers}, func(row scanner) (flow.VersionRecord, error) {
		v := flow.VersionRecord{Tenant: tenant, Pipeline: pipeline}
		var at instant
		var metadata string
		if err := row.Scan(&v.Deployment, &v.Digest, &v.Label, &at, &metadata); err != nil {
			return v, err
		}
		v.SavedAt = at.time()
		return v, decode(metadata, &v.Metadata)
	}, `SELECT v.deployment, v.digest, coalesce(p.label, ''), d.at, coalesce(json_extract(d.body, '$.metadata'), '{}')
		FROM deployed v JOIN deployments d ON d.seq = v.deployment LEFT JOIN plans p ON p.digest = v.digest
		WHERE v.tenant = ? AND v.pipeline = ? AND v.digest != '' ORDER BY v.deployment DESC`, tenant, pipeline)
}

// DeploymentOf returns the newest deployment that had applied a version of a pipeline by an instant, or flow.ErrNotFound.
func (s *Store) DeploymentOf(ctx context.Context, tenant, pipeline string, digest flow.Digest, by time.Time) (flow.Deployment, error) {
	found, err := collect(ctx, reader{s.readers}, scanDeployment, `SELECT seq, body FROM deployments
		WHERE at <= ?4 AND seq IN (SELECT deployment FROM deployed WHERE tenant = ?1 AND pipeline = ?2 AND digest = ?3) ORDER BY seq DESC LIMIT 1`,
		tenant, pipeline, digest, nanos(by))
	if err == nil && len(found) == 0 {
		err = fmt.Errorf("deployment of version %s of %s: %w", digest.Short(), flow.ID(tenant, pipeline), flow.ErrNotFound)
	}
	if err != nil {
		return flow.Deployment{}, err
	}
	return found[0], nil
}

// Versioned returns the versions that somebody may yet ask for by more than their digest: those of the last
// deployments, those that were saved, and those of runs that have not ended.
func (s *Store) Versioned(ctx context.Context, deployments int) (map[flow.Digest]bool, error) {
	wanted := map[flow.Digest]bool{}
	last, err := collect(ctx, reader{s.readers}, scanDeployment, "SELECT seq, body FROM deployments ORDER BY seq DESC LIMIT ?", deployments)
	if err != nil {
		return nil, err
	}
	for i := range last {
		for _, d := range last[i].Plans {
			wanted[d] = true
		}
	}
	others, err := collect(ctx, reader{s.readers}, func(row scanner) (d flow.Digest, err error) { return d, row.Scan(&d) },
		"SELECT json_extract(body, '$.digest') FROM versions UNION SELECT json_extract(body, '$.version') FROM runs WHERE state IN ('queued', 'running') UNION SELECT digest FROM rollbacks")
	for _, d := range others {
		wanted[d] = true
	}
	return wanted, err
}
