package api

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"os"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/sse"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// routes are the operations of the API.
type routes struct{ log *slog.Logger }

// of is the control of who asks, as the guard has set it. Without a guard there is none, and the request fails.
func (routes) of(ctx context.Context) flow.Control {
	return ctx.Value(controlKey{}).(flow.Control) //nolint:forcetypeassert // a handler without a guard serves nobody
}

// body is an answer with a JSON body.
type body[T any] struct{ Body T }

// ByName addresses a pipeline, schedule or run; a "/" in an id is sent as %2F. It is exported because the fields of an
// unexported embedded type are not filled in.
type ByName struct {
	ID string `path:"id" doc:"Name or id"`
}

func (r routes) register(a huma.API) {
	r.registerPipelines(a)
	r.registerSchedules(a)
	r.registerSlots(a)
	r.registerRuns(a)
	r.registerEvents(a)
	get(a, "info", "/v1/info", "Tell about the host", func(ctx context.Context, _ *struct{}) (*body[flow.HostInfo], error) {
		return answer(r, ctx, r.of(ctx).Info)
	})
	r.registerHealth(a)
	r.registerDeployments(a)
	r.registerTenants(a)
}

// answer makes a body of what a verb without arguments returns.
func answer[T any](r routes, ctx context.Context, verb func(context.Context) (T, error)) (*body[T], error) { //nolint:revive // ctx second: the first argument stands for a receiver
	v, err := verb(ctx)
	if err != nil {
		return nil, r.problem(err)
	}
	return &body[T]{v}, nil
}

// answerOne is answer for a verb with one argument.
func answerOne[A, T any](r routes, ctx context.Context, verb func(context.Context, A) (T, error), arg A) (*body[T], error) { //nolint:revive // see answer
	return answer(r, ctx, func(ctx context.Context) (T, error) { return verb(ctx, arg) })
}

// answerAll is answerOne for a list, which is empty rather than null.
func answerAll[A, E any](r routes, ctx context.Context, verb func(context.Context, A) ([]E, error), arg A) (*body[[]E], error) { //nolint:revive // see answer
	return answer(r, ctx, func(ctx context.Context) ([]E, error) {
		all, err := verb(ctx, arg)
		if all == nil {
			all = []E{}
		}
		return all, err
	})
}

func get[I, O any](a huma.API, id, path, summary string, handler func(context.Context, *I) (*O, error)) {
	register(a, http.MethodGet, id, path, summary, handler)
}

func post[I, O any](a huma.API, id, path, summary string, handler func(context.Context, *I) (*O, error)) {
	register(a, http.MethodPost, id, path, summary, handler)
}

func register[I, O any](a huma.API, method, id, path, summary string, handler func(context.Context, *I) (*O, error)) {
	huma.Register(a, huma.Operation{OperationID: id, Method: method, Path: path, Summary: summary, MaxBodyBytes: maxBody}, handler)
}

func (r routes) registerPipelines(a huma.API) {
	get(a, "list-pipelines", "/v1/pipelines", "List pipelines", func(ctx context.Context, _ *struct{}) (*body[[]flow.PipelineInfo], error) {
		return answer(r, ctx, r.of(ctx).Pipelines)
	})
	get(a, "show-pipeline", "/v1/pipelines/{id}", "Show a pipeline with its plan", func(ctx context.Context, in *ByName) (*body[flow.PipelineInfo], error) {
		return answerOne(r, ctx, r.of(ctx).Pipeline, in.ID)
	})
	get(a, "list-versions", "/v1/pipelines/{id}/versions", "List saved versions", func(ctx context.Context, in *ByName) (*body[[]flow.VersionRecord], error) {
		return answerAll(r, ctx, r.of(ctx).Versions, in.ID)
	})
	type save struct {
		ByName
		Body struct {
			Metadata map[string]string `json:"metadata,omitempty"`
		}
	}
	post(a, "save-version", "/v1/pipelines/{id}/versions", "Save the present version", func(ctx context.Context, in *save) (*body[flow.VersionRecord], error) {
		return answer(r, ctx, func(ctx context.Context) (flow.VersionRecord, error) {
			return r.of(ctx).SaveVersion(ctx, in.ID, in.Body.Metadata)
		})
	})
	get(a, "show-state", "/v1/pipelines/{id}/state", "Show what a pipeline keeps from run to run", func(ctx context.Context, in *ByName) (*body[map[string]json.RawMessage], error) {
		return answerOne(r, ctx, r.of(ctx).State, in.ID)
	})
	type setState struct {
		ByName

		Body flow.StateChange
	}
	post(a, "set-state", "/v1/pipelines/{id}/state", "Change what a pipeline keeps", func(ctx context.Context, in *setState) (*body[map[string]json.RawMessage], error) {
		return answer(r, ctx, func(ctx context.Context) (map[string]json.RawMessage, error) {
			return r.of(ctx).SetState(ctx, in.ID, in.Body)
		})
	})
}

func (r routes) registerSchedules(a huma.API) {
	get(a, "list-schedules", "/v1/schedules", "List schedules", func(ctx context.Context, _ *struct{}) (*body[[]flow.ScheduleInfo], error) {
		return answer(r, ctx, r.of(ctx).Schedules)
	})
	post(a, "add-schedule", "/v1/schedules", "Add a schedule", func(ctx context.Context, in *struct{ Body flow.Schedule }) (*body[flow.ScheduleInfo], error) {
		return answerOne(r, ctx, r.of(ctx).AddSchedule, in.Body)
	})
	register(a, http.MethodDelete, "clear-schedules", "/v1/schedules", "Remove all schedules that do not stand in the manifest", func(ctx context.Context, _ *struct{}) (*body[flow.Cleared], error) {
		return answer(r, ctx, r.of(ctx).Clear)
	})
	register(a, http.MethodDelete, "unschedule", "/v1/schedules/{id}", "Remove a schedule that does not stand in the manifest", func(ctx context.Context, in *ByName) (*struct{}, error) {
		return nil, r.problem(r.of(ctx).Unschedule(ctx, in.ID))
	})
	for verb, enabled := range map[string]bool{"enable": true, "disable": false} {
		post(a, verb+"-schedule", "/v1/schedules/{id}/"+verb, "Let a schedule fire, or not; survives restarts", func(ctx context.Context, in *ByName) (*body[flow.ScheduleInfo], error) {
			return answer(r, ctx, func(ctx context.Context) (flow.ScheduleInfo, error) { return r.of(ctx).SetEnabled(ctx, in.ID, enabled) })
		})
	}
}

func (r routes) registerRuns(a huma.API) {
	type list struct {
		Pipeline string       `query:"pipeline"`
		Project  string       `query:"project"`
		Schedule string       `query:"schedule"`
		State    flow.State   `query:"state" enum:"queued,running,ended"`
		Outcome  flow.Outcome `query:"outcome" enum:"succeeded,failed,skipped,cancelled"`
		Before   flow.RunID   `query:"before" doc:"The id of the last run of the page before"`
		Limit    int          `query:"limit" default:"50" minimum:"1" maximum:"1000"`
	}
	get(a, "list-runs", "/v1/runs", "List runs, newest first, without their contexts and steps", func(ctx context.Context, in *list) (*body[[]flow.RunRecord], error) {
		return answerAll(r, ctx, r.of(ctx).Runs, flow.RunQuery{Pipeline: in.Pipeline, Project: in.Project, Schedule: in.Schedule, State: in.State, Outcome: in.Outcome, Before: in.Before, Limit: in.Limit})
	})
	huma.Register(a, huma.Operation{OperationID: "start-run", Method: http.MethodPost, Path: "/v1/runs", Summary: "Ask for a run", DefaultStatus: http.StatusAccepted, MaxBodyBytes: maxBody},
		func(ctx context.Context, in *struct{ Body flow.RunRequest }) (*body[flow.RunRecord], error) {
			return answerOne(r, ctx, r.of(ctx).StartRun, in.Body)
		})
	huma.Register(a, huma.Operation{OperationID: "rerun", Method: http.MethodPost, Path: "/v1/reruns", Summary: "Ask for a new run of an old one, with outputs of its steps", DefaultStatus: http.StatusAccepted, MaxBodyBytes: maxBody},
		func(ctx context.Context, in *struct{ Body flow.RerunRequest }) (*body[flow.RunRecord], error) {
			return answerOne(r, ctx, r.of(ctx).Rerun, in.Body)
		})
	post(a, "rerun-matching", "/v1/reruns/matching", "Ask for reruns of all runs that match, or list them", func(ctx context.Context, in *struct{ Body flow.RerunAllRequest }) (*body[flow.MatchReport], error) {
		return answerOne(r, ctx, r.of(ctx).RerunAll, in.Body)
	})
	post(a, "cancel-matching", "/v1/cancellations/matching", "Ask all runs of a pipeline to end, or list them", func(ctx context.Context, in *struct{ Body flow.CancelAllRequest }) (*body[flow.MatchReport], error) {
		return answerOne(r, ctx, r.of(ctx).CancelAll, in.Body)
	})
	post(a, "backfill", "/v1/backfills", "Ask for runs of slots of the past, or list them", func(ctx context.Context, in *struct{ Body flow.BackfillRequest }) (*body[flow.BackfillReport], error) {
		return answerOne(r, ctx, r.of(ctx).Backfill, in.Body)
	})
	get(a, "show-run", "/v1/runs/{id}", "Show a run with its context, steps and outputs", func(ctx context.Context, in *ByName) (*body[flow.RunRecord], error) {
		return answerOne(r, ctx, r.of(ctx).Run, in.ID)
	})
	post(a, "cancel-run", "/v1/runs/{id}/cancel", "Ask a run to end", func(ctx context.Context, in *ByName) (*body[flow.RunRecord], error) {
		return answerOne(r, ctx, r.of(ctx).Cancel, flow.RunID(in.ID))
	})
	type logs struct {
		ByName
		Step  string `query:"step"`
		After int64  `query:"after" minimum:"0"`
		Limit int    `query:"limit" default:"1000" minimum:"1" maximum:"10000"`
	}
	get(a, "list-logs", "/v1/runs/{id}/logs", "Lines of guests, oldest first", func(ctx context.Context, in *logs) (*body[[]flow.LogLine], error) {
		return answerAll(r, ctx, r.of(ctx).Logs, flow.LogQuery{Run: flow.RunID(in.ID), Step: in.Step, After: in.After, Limit: in.Limit})
	})
	type artifact struct {
		ByName
		Digest flow.Digest `path:"digest" pattern:"^sha256:[0-9a-f]{64}$"`
	}
	get(a, "get-artifact", "/v1/runs/{id}/artifacts/{digest}", "Bytes that a run put", func(ctx context.Context, in *artifact) (*huma.StreamResponse, error) {
		content, err := r.of(ctx).Artifact(ctx, flow.RunID(in.ID), in.Digest)
		if err != nil {
			return nil, r.problem(err)
		}
		return &huma.StreamResponse{Body: func(c huma.Context) {
			defer content.Close()
			c.SetHeader("Content-Type", "application/octet-stream")
			if err := send(c.Context(), c.BodyWriter(), content); err != nil {
				r.log.Warn("artifact not sent whole", slog.Any("err", err))
			}
		}}, nil
	})
}

func (r routes) registerEvents(a huma.API) {
	type list struct {
		Run      flow.RunID     `query:"run"`
		Schedule string         `query:"schedule" doc:"Events of a schedule that are not about a run"`
		Kind     flow.EventKind `query:"kind"`
		After    int64          `query:"after" minimum:"0"`
		Limit    int            `query:"limit" default:"1000" minimum:"1" maximum:"10000"`
	}
	get(a, "list-events", "/v1/events", "Recorded changes, oldest first, without contexts and outputs; an answer ends by 8 MiB", func(ctx context.Context, in *list) (*body[[]flow.Event], error) {
		return answerAll(r, ctx, r.of(ctx).Events, flow.EventQuery{Run: in.Run, Schedule: in.Schedule, Kind: in.Kind, After: in.After, Limit: in.Limit})
	})
	type follow struct {
		Run   flow.RunID `query:"run" doc:"Only this run; the stream ends with it"`
		After int64      `query:"after" minimum:"0"`
		Last  int64      `header:"Last-Event-ID" doc:"As After, for a client that comes back"`
	}
	sse.Register(a, huma.Operation{OperationID: "follow-events", Method: http.MethodGet, Path: "/v1/events/stream", Summary: "Changes as they are recorded"},
		map[string]any{"event": flow.Event{}}, func(ctx context.Context, in *follow, tell sse.Sender) {
			q := flow.EventQuery{Run: in.Run, After: max(in.After, in.Last)}
			var unsent error
			err := r.of(ctx).Follow(ctx, q, func(e flow.Event) bool {
				if ctx.Err() != nil { // a token that has ended hears no more, whatever is on its way
					return false
				}
				unsent = tell(sse.Message{ID: int(e.Seq), Data: e}) // within sse.WriteTimeout
				return unsent == nil
			})
			switch {
			case errors.Is(unsent, os.ErrDeadlineExceeded):
				r.log.Warn("slow client of an event stream dropped", slog.Any("err", unsent))
			case err != nil && ctx.Err() == nil:
				r.log.Warn("event stream ended", slog.Any("err", err))
			}
		})
}
