package api

import (
	"context"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// registerSlots offers what is known of the instants of a schedule, to come and past.
func (r routes) registerSlots(a huma.API) {
	type next struct {
		ByName
		After time.Time `query:"after" doc:"Strictly after this instant; now by default"`
		N     int       `query:"n" default:"10" minimum:"1" maximum:"1000"`
	}
	get(a, "next-fires", "/v1/schedules/{id}/next", "The next fires", func(ctx context.Context, in *next) (*body[[]time.Time], error) {
		return answerAll(r, ctx, func(ctx context.Context, n int) ([]time.Time, error) {
			return r.of(ctx).Next(ctx, in.ID, orNow(in.After), n)
		}, in.N)
	})
	get(a, "clock-changes", "/v1/schedules/{id}/clock-changes", "The next days on which clocks change, and what the schedule does then", func(ctx context.Context, in *next) (*body[[]flow.ClockChange], error) {
		return answerAll(r, ctx, func(ctx context.Context, n int) ([]flow.ClockChange, error) {
			return r.of(ctx).ClockChanges(ctx, in.ID, orNow(in.After), n)
		}, in.N)
	})
	type slots struct {
		ByName
		Since time.Time `query:"since" doc:"Leaves out what ends before"`
		Until time.Time `query:"until" doc:"Leaves out what begins after"`
		Limit int       `query:"limit" default:"100" minimum:"1" maximum:"1000"`
	}
	get(a, "list-slots", "/v1/schedules/{id}/slots", "What became of the slots, newest first", func(ctx context.Context, in *slots) (*body[[]flow.SlotRecord], error) {
		return answerAll(r, ctx, r.of(ctx).Slots, flow.SlotQuery{Schedule: in.ID, Since: in.Since, Until: in.Until, Limit: in.Limit})
	})
	type why struct {
		ByName
		At time.Time `query:"at" doc:"The slot at or before this instant; now by default"`
	}
	get(a, "explain-slot", "/v1/schedules/{id}/why", "What became of one slot, and why", func(ctx context.Context, in *why) (*body[flow.SlotStory], error) {
		return answer(r, ctx, func(ctx context.Context) (flow.SlotStory, error) { return r.of(ctx).Why(ctx, in.ID, in.At) })
	})
}

// orNow is an instant that a request may leave out.
func orNow(t time.Time) time.Time {
	if t.IsZero() {
		return time.Now()
	}
	return t
}
