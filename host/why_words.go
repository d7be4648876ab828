package host

import (
	"cmp"
	"fmt"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// sentence tells the story in one sentence.
func (i *inquiry) sentence() string {
	s := &i.story
	if s.Slot == nil {
		return "no slot lies at or before " + i.clock(s.At) + i.outlook()
	}
	text := "the slot of " + i.clock(*s.Slot) + " " + i.ending()
	if !s.At.Equal(*s.Slot) && !s.At.After(i.now) && i.now.Sub(s.At) > time.Second {
		text = i.clock(s.At) + " lies between two slots; " + text
	}
	return text
}

// clock writes an instant as the schedule's zone shows it.
func (i *inquiry) clock(t time.Time) string {
	return t.In(i.cal.Location()).Format("2006-01-02 15:04:05 MST")
}

// ending says what became of the slot.
func (i *inquiry) ending() string {
	s := &i.story
	switch s.Standing {
	case flow.StandingRun:
		verb := "ran as "
		if s.Run != nil && s.Run.Trigger.Kind == flow.TriggerCatchup {
			verb = "was made up for after a downtime by "
			if s.Slot.After(i.r.PausedAt) && !s.Slot.After(i.r.ResumedAt) {
				verb = "was made up for when the schedule was enabled again, by "
			}
		}
		return verb + i.runWords(s.Run, s.Record.Run)
	case flow.StandingCoalesced:
		return "was coalesced into " + i.newer() + i.runWords(s.Run, s.Record.Run)
	case flow.StandingSkipped:
		return "was skipped (" + string(s.Reason) + "): " + i.skipped()
	case flow.StandingMissed:
		return "was missed (" + string(s.Reason) + "): " + i.missed()
	case flow.StandingDue:
		return i.due()
	case flow.StandingFuture:
		return i.future() + i.disabledWords(", but the schedule is disabled")
	case flow.StandingBefore:
		return i.before() + i.disabledWords("; the schedule is disabled") + i.outlook()
	case flow.StandingDisabled:
		return "was not owed: the schedule was disabled" + i.disabledWords("") + i.outlook()
	}
	return "has no recorded ending: the ledger keeps history within `keep` only" + i.outlook()
}

// newer names the slot that stands for a coalesced one.
func (i *inquiry) newer() string {
	if r := i.story.Run; r != nil && !r.Trigger.ScheduledAt.Equal(*i.story.Slot) {
		return "the newer slot of " + i.clock(r.Trigger.ScheduledAt) + ", "
	}
	return ""
}

func (i *inquiry) skipped() string {
	s := &i.story
	switch s.Reason {
	case flow.ReasonOverlap:
		if s.Run != nil {
			return "`overlap = \"skip\"`, and the pipeline had a live run then, " + i.runWords(s.Run, s.Run.ID)
		}
		return "`overlap = \"skip\"`, and the pipeline had a live run or a waiting one"
	case flow.ReasonQuota:
		return cmp.Or(s.Record.Message, "the bound on waiting slots was reached")
	case flow.ReasonCalendar:
		return i.shut(" has it no more")
	case flow.ReasonPaused:
		if i.from.IsZero() {
			return "the schedule was disabled before it was decided"
		}
		return "the schedule was disabled" + i.disabledWords("") + ", and `on_resume` is " + string(cmp.Or(i.r.OnResume, flow.ResumeNone)) + i.outlook()
	case flow.ReasonCondition:
		return "`when` of the pipeline was false in " + i.runWords(s.Run, s.Record.Run)
	case flow.ReasonInvalid:
		if _, err := i.h.slotContext(i.r); err != nil {
			return "its run could not be made, and still cannot: " + err.Error()
		}
		return "its run could not be made: its pipeline was gone, or its context did not fit"
	case flow.ReasonRequest:
		return "the schedule was edited or removed before it was decided"
	}
	return "no run was made"
}

func (i *inquiry) missed() string {
	if i.story.Reason != flow.ReasonDowntime {
		text := "its run had not begun when `timeout.start` was over"
		if i.r.Start > 0 {
			text += ", which is " + i.r.Start.String()
		}
		if r := i.story.Run; r != nil {
			text += "; it was to be run " + string(r.ID)
		}
		return text
	}
	text := "no host served when it came due"
	if i.caught != nil {
		return text + "; after the downtime the newer slot of " + i.clock(i.caught.Trigger.ScheduledAt) + " was made up for by " + i.runWords(i.caught, i.caught.ID)
	}
	return text + fmt.Sprintf("; `catchup` is %s within %s", i.r.Catchup.Runs, i.r.Catchup.Within)
}

// future says when a slot is due, and that it will be skipped if it will.
func (i *inquiry) future() string {
	at := *i.story.Slot
	due := at.Add(i.cal.Delay())
	text := "is not due yet: it is due in " + length(due.Sub(i.now))
	if !at.After(i.now) || i.cal.Delay() > 0 {
		text += ", at " + i.clock(due) + " (jitter delays it by " + i.cal.Delay().String() + ")"
	}
	if _, shut := i.cal.Shut(at); shut {
		text += ", and will be skipped (calendar): " + i.shut("")
	}
	return text
}

// shut says which entry of not_on has the slot; gone is what not_on of today has to do with it where it has none.
func (i *inquiry) shut(gone string) string {
	entry, held := i.cal.Shut(*i.story.Slot)
	if !held {
		return "`not_on` of the schedule had that time then, and" + gone
	}
	return "`not_on` has " + entry
}

// due says what a slot waits for that has come due.
func (i *inquiry) due() string {
	text := "has been due for " + length(i.now.Sub(i.story.Slot.Add(i.cal.Delay())))
	if r := i.story.Run; r != nil {
		return text + " and waits for " + i.runWords(r, r.ID)
	}
	if !i.h.serves() {
		return text + " and no host serves: start one with `uniflow serve`"
	}
	return text + " and is about to be taken"
}

// serves reports whether schedules fire in this host.
func (h *Host) serves() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.serving && !h.stopped
}

func (i *inquiry) before() string {
	if !i.applied {
		return "is not owed: no host has served this schedule yet"
	}
	return "is not owed: the schedule, as it is now, was applied at " + i.clock(i.r.Since)
}

// disabledWords says since when the schedule is or was disabled, and until when; nothing where it was not.
func (i *inquiry) disabledWords(lead string) string {
	if i.from.IsZero() {
		return ""
	}
	lead += " since " + i.clock(i.from)
	if !i.to.IsZero() {
		lead += " until " + i.clock(i.to)
	}
	return lead
}

// outlook says when the schedule fires next.
func (i *inquiry) outlook() string {
	switch {
	case i.story.Next != nil:
		return "; the next slot is due at " + i.clock(*i.story.Next)
	case !i.r.Active():
		return "; nothing fires until `uniflow schedule enable " + i.story.Schedule + "`"
	}
	return "; it does not fire any more"
}

// runWords names a run and says where it stands; r is nil for one that is no longer kept.
func (i *inquiry) runWords(r *flow.RunRecord, id flow.RunID) string {
	text := "run " + string(id)
	switch {
	case r == nil:
		return text + ", which is no longer kept"
	case r.State == flow.StateQueued:
		return text + ", which has waited for its turn since " + i.clock(r.QueuedAt)
	case r.State == flow.StateRunning:
		return text + ", which has been running since " + i.clock(*r.StartedAt)
	}
	text += ", which " + endings(r.Outcome)
	if r.Reason != "" {
		text += " (" + string(r.Reason) + ")"
	}
	if d := r.Duration(i.now); d > 0 {
		text += " after " + length(d)
	}
	if r.Message != "" {
		text += ": " + r.Message
	}
	return text
}

func endings(o flow.Outcome) string {
	switch o {
	case flow.Skipped, flow.Cancelled:
		return "was " + string(o)
	}
	return string(o)
}

// length writes a length of time for people.
func length(d time.Duration) string {
	unit := time.Second
	if d < 10*time.Second {
		unit = time.Millisecond
	}
	return flow.Duration(d.Round(unit)).String()
}
