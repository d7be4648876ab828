package host

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
)

const (
	mostReruns  = 1000   // of one request
	mostCancels = 10_000 // of one request: as many as a backfill may ask for
	cancelling  = 16     // at one time, so that they share commits
)

// RerunAll asks for reruns of the runs that a filter matches, the oldest first, each as Rerun does, and returns once they
// are recorded. Without a confirmed number it only tells which runs these are; a number that is not theirs, or more than
// 1,000 of them, is an error with flow.CodeMatch, and none is asked for. A run that was rerun before is left out, so that
// asking again takes up what is left and repeats nothing.
func (h *Host) RerunAll(ctx context.Context, r flow.RerunAllRequest) (flow.MatchReport, error) {
	if h.config.ReadOnly && r.Confirm != nil {
		return flow.MatchReport{}, errReadOnly("rerun runs")
	}
	e, err := h.known(r.Pipeline)
	if err != nil {
		return flow.MatchReport{}, err
	}
	if err := checkRerunAll(&e.plan, &r); err != nil {
		return flow.MatchReport{}, err
	}
	h.matching.Lock() // or two who ask at one time would each find the same runs
	defer h.matching.Unlock()
	report := flow.MatchReport{Pipeline: e.plan.ID(), Runs: []flow.MatchedRun{}}
	if err := h.matchRuns(ctx, &e.plan, &r, &report); err != nil {
		return report, err
	}
	if report.Done, err = confirmed(&report, r.Confirm, "rerun"); err != nil || !report.Done {
		return report, err
	}
	ctx = context.WithoutCancel(ctx) // one that has begun is taken whole, whoever goes away
	for i := range report.Runs {
		again, err := h.Rerun(ctx, rerunOf(report.Runs[i].Run, &r))
		if err != nil {
			return report, fmt.Errorf("%d of %d reruns are asked for; asking again takes up the rest: %w", i, len(report.Runs), err)
		}
		report.Runs[i].Rerun = again.ID
	}
	return report, nil
}

func rerunOf(id flow.RunID, r *flow.RerunAllRequest) flow.RerunRequest {
	return flow.RerunRequest{Run: string(id), FromStep: r.FromStep, OnlyStep: r.OnlyStep, Failed: r.Failed, Context: r.Context}
}

// checkRerunAll fills in the defaults of a request and refuses one that no run could match.
func checkRerunAll(p *flow.Plan, r *flow.RerunAllRequest) error {
	op := "rerun runs of " + p.ID()
	r.Outcome = cmp.Or(r.Outcome, flow.Failed)
	step := cmp.Or(r.FromStep, r.OnlyStep)
	switch {
	case !slices.Contains([]flow.Outcome{flow.Succeeded, flow.Failed, flow.Skipped, flow.Cancelled}, r.Outcome):
		return &flow.Error{Code: flow.CodeRequest, Op: op, Message: fmt.Sprintf("outcome %q is not one of succeeded, failed, skipped, cancelled", r.Outcome), Hint: "leave it out for failed ones"}
	case r.FromStep != "" && r.OnlyStep != "", step != "" && r.Failed:
		return errOneOfThree(op)
	case !r.Since.IsZero() && !r.Until.IsZero() && r.Since.After(r.Until):
		since, until := r.Since.UTC().Format(time.RFC3339), r.Until.UTC().Format(time.RFC3339)
		return &flow.Error{Code: flow.CodeRequest, Op: op, Message: fmt.Sprintf("since, %s, is after until, %s", since, until), Hint: fmt.Sprintf("--since %s --until %s", until, since)}
	case step != "" && p.Step(step) == nil:
		return noStep(p, step)
	}
	return nil
}

// matchRuns finds the runs of a report.
func (h *Host) matchRuns(ctx context.Context, p *flow.Plan, r *flow.RerunAllRequest, report *flow.MatchReport) error {
	found, err := h.filtered(ctx, p, &r.RunFilter, report)
	if err != nil {
		return err
	}
	if err := tooMany(found, mostReruns, "rerun runs of "+p.ID()); err != nil {
		return err
	}
	for _, m := range found {
		request := rerunOf(m.Run, r)
		_, _, err := h.again(ctx, &request)
		if err == nil {
			report.Runs = append(report.Runs, m)
			continue
		}
		if m.Why = whyNot(err); m.Why == "" {
			return err
		}
		report.Left = append(report.Left, m)
	}
	return nil
}

// tooMany refuses more runs than a bound, with a filter that matches fewer where there is one.
func tooMany(found []flow.MatchedRun, most int, op string) error {
	n := len(found)
	if n <= most {
		return nil
	}
	e := &flow.Error{Code: flow.CodeMatch, Op: op, Message: fmt.Sprintf("%d runs match, and at most %d are taken at once: nothing was done", n, most), Hint: "match fewer of them"}
	// All of the last instant are left to the next time, so that a filter by instants can tell them apart.
	for i := most; i > 0; i-- {
		if until := found[i-1].At.Truncate(time.Second); until.Before(found[most].At.Truncate(time.Second)) {
			e.Hint = "begin with the oldest: --until " + until.Add(time.Second-1).Format(time.RFC3339Nano)
			break
		}
	}
	return e
}

// whyNot says what keeps one run from being rerun; empty for a failure that is not the run's.
func whyNot(err error) string {
	e, ok := errors.AsType[*flow.Error](err)
	switch {
	case ok && e.Code == flow.CodeContext:
		return "its context does not fit: " + e.Message
	case ok && (e.Code == flow.CodeRerun || e.Code == flow.CodeNotFound):
		return e.Message
	}
	return ""
}

// filtered returns the runs of a pipeline that a filter matches and that were not rerun, the oldest first, and counts
// those that were.
func (h *Host) filtered(ctx context.Context, p *flow.Plan, f *flow.RunFilter, report *flow.MatchReport) ([]flow.MatchedRun, error) {
	var found []flow.MatchedRun
	repeated := map[flow.RunID]bool{} // a rerun is newer than its run, and so comes first
	query := flow.RunQuery{Tenant: p.Tenant, Pipeline: p.Pipeline, Schedule: f.Schedule, Limit: 1000}
	for {
		page, err := h.store.Runs(ctx, query)
		if err != nil {
			return nil, fmt.Errorf("read the runs of %q: %w", p.ID(), err)
		}
		for i := range page {
			r := &page[i]
			if r.Trigger.Kind == flow.TriggerRerun {
				repeated[r.Trigger.Of] = true
			}
			switch {
			case !matches(f, r):
			case repeated[r.ID]:
				report.Repeated++
			default:
				found = append(found, matchedRun(r))
			}
		}
		// No run is older than the instant it stands for; a day is for clocks that were wrong.
		if len(page) < query.Limit || page[len(page)-1].QueuedAt.Before(f.Since.AddDate(0, 0, -1)) {
			slices.Reverse(found)
			slices.SortStableFunc(found, func(a, b flow.MatchedRun) int { return a.At.Compare(b.At) })
			return found, nil
		}
		query.Before = page[len(page)-1].ID
	}
}

func matches(f *flow.RunFilter, r *flow.RunRecord) bool {
	at := r.Trigger.ScheduledAt
	return r.State == flow.StateEnded && r.Outcome == f.Outcome && (f.Reason == "" || r.Reason == f.Reason) &&
		!at.Before(f.Since) && (f.Until.IsZero() || !at.After(f.Until))
}

func matchedRun(r *flow.RunRecord) flow.MatchedRun {
	return flow.MatchedRun{Run: r.ID, At: r.Trigger.ScheduledAt.UTC(), State: r.State, Outcome: r.Outcome, Reason: r.Reason}
}

// confirmed reports whether the number of matching runs was confirmed. Another number is an error.
func confirmed(report *flow.MatchReport, number *int, verb string) (bool, error) {
	if number == nil {
		return false, nil
	}
	if n := len(report.Runs); *number != n {
		return false, &flow.Error{Code: flow.CodeMatch, Op: verb + " runs of " + report.Pipeline, Message: fmt.Sprintf("%s now, but the number that was confirmed is %d: nothing was done", matchText(n), *number), Hint: "without --confirm, the command shows which runs match"}
	}
	return true, nil
}

func matchText(n int) string {
	if n == 1 {
		return "1 run matches"
	}
	return fmt.Sprintf("%d runs match", n)
}

// CancelAll asks for the end of the runs of a pipeline that have not ended, each as Cancel does. Without a confirmed number
// it only tells which runs these are; a number that is not theirs is an error with flow.CodeMatch, and none is cancelled.
// Of more than 10,000 it is about the last in line, and there is a next time for the others.
func (h *Host) CancelAll(ctx context.Context, r flow.CancelAllRequest) (flow.MatchReport, error) {
	if h.config.ReadOnly && r.Confirm != nil {
		return flow.MatchReport{}, errReadOnly("cancel runs")
	}
	if r.State != "" && r.State != flow.StateQueued && r.State != flow.StateRunning {
		return flow.MatchReport{}, &flow.Error{Code: flow.CodeRequest, Op: "cancel runs of " + r.Pipeline, Message: fmt.Sprintf("state %q is not one of queued, running", r.State), Hint: "leave it out for both"}
	}
	tenant, pipeline := splitID(r.Pipeline, "")
	report := flow.MatchReport{Pipeline: flow.ID(tenant, pipeline), Runs: []flow.MatchedRun{}}
	if err := h.unended(ctx, tenant, pipeline, r.State, &report); err != nil {
		return report, err
	}
	if _, err := h.known(r.Pipeline); err != nil && len(report.Runs) == 0 {
		return report, err // runs may outlive their pipeline
	}
	var err error
	if report.Done, err = confirmed(&report, r.Confirm, "cancel"); err != nil || !report.Done {
		return report, err
	}
	return report, h.cancelMatched(context.WithoutCancel(ctx), report.Runs)
}

// unended finds the runs of a pipeline that have not ended, the oldest first; of too many, the newest.
func (h *Host) unended(ctx context.Context, tenant, pipeline string, state flow.State, report *flow.MatchReport) error {
	states := []flow.State{flow.StateRunning, flow.StateQueued}
	if state != "" {
		states = []flow.State{state}
	}
	for _, s := range states {
		query := flow.RunQuery{Tenant: tenant, Pipeline: pipeline, State: s, Limit: 1000}
		for more := true; more; {
			page, err := h.store.Runs(ctx, query)
			if err != nil {
				return fmt.Errorf("read the runs of %q: %w", report.Pipeline, err)
			}
			for i := range page {
				report.Runs = append(report.Runs, matchedRun(&page[i]))
			}
			if more = len(page) == query.Limit && len(report.Runs) < mostCancels; more {
				query.Before = page[len(page)-1].ID
			}
		}
	}
	report.Runs = report.Runs[:min(len(report.Runs), mostCancels)]
	slices.Reverse(report.Runs)
	slices.SortStableFunc(report.Runs, func(a, b flow.MatchedRun) int { return a.At.Compare(b.At) })
	return nil
}

// cancelMatched cancels runs, several at one time, and says where each stands then. One that has ended meanwhile is none
// to be told of.
func (h *Host) cancelMatched(ctx context.Context, runs []flow.MatchedRun) error {
	turns, failures := make(chan struct{}, cancelling), make(chan error, len(runs))
	for i := range runs {
		turns <- struct{}{}
		go func() {
			defer func() { <-turns }()
			m := &runs[i]
			record, err := h.Cancel(ctx, m.Run)
			if err == nil || flow.CodeOf(err) == flow.CodeRunEnded {
				m.State, m.Outcome, m.Reason = record.State, record.Outcome, record.Reason
				err = nil
			}
			failures <- err
		}()
	}
	var all []error
	for range runs {
		all = append(all, <-failures)
	}
	return errors.Join(all...)
}
