package flow

import "time"

// SimulateReport is the answer of `uniflow simulate`: what the schedules of a manifest would do in [From, To), if every
// run succeeded and took as long as is said here.
type SimulateReport struct {
	Manifest string    `json:"manifest"`
	From     time.Time `json:"from"`
	To       time.Time `json:"to"`
	// Timezone is that of Hours: the host's.
	Timezone  string              `json:"timezone"`
	Pipelines []SimulatedPipeline `json:"pipelines"`
	Schedules []SimulatedSchedule `json:"schedules"`
	// Disabled are schedules that were left out.
	Disabled []string           `json:"disabled"`
	Overlaps []SimulatedOverlap `json:"overlaps"`
	// ClockChanges are the days on which clocks change, for each schedule that fires then.
	ClockChanges []ClockChange `json:"clock_changes"`
	Peak         SimulatedPeak `json:"peak"`
	// Hours of the day, 24 of them.
	Hours []SimulatedHour `json:"hours"`
}

// DurationSource says where the length of a pipeline's runs comes from.
type DurationSource string

const (
	DurationGiven    DurationSource = "given"    // by the caller
	DurationRecorded DurationSource = "recorded" // the median of runs that succeeded
	DurationAssumed  DurationSource = "assumed"  // nothing is known
)

// SimulatedPipeline is a pipeline with schedules, and its load.
type SimulatedPipeline struct {
	Pipeline string         `json:"pipeline"`
	Duration Duration       `json:"duration"` // of one run
	Source   DurationSource `json:"source"`
	// Recorded counts the runs that the median is of.
	Recorded int `json:"recorded,omitempty"`
	// Cut is true when runs would take longer than their timeout, which is Duration then.
	Cut  bool  `json:"cut,omitempty"`
	Runs int64 `json:"runs"`
	// Load is the share of the time in which a run is live; at 1 the pipeline cannot keep up.
	Load float64 `json:"load"`
}

// SimulatedSchedule says how the slots of a schedule end. Slots is the sum of Runs, Coalesced, Skipped and Missed.
type SimulatedSchedule struct {
	Schedule  string  `json:"schedule"`
	Pipeline  string  `json:"pipeline"`
	Overlap   Overlap `json:"overlap"`
	Slots     int64   `json:"slots"`
	Runs      int64   `json:"runs"`
	Coalesced int64   `json:"coalesced"`
	Skipped   int64   `json:"skipped"`
	// Quota are those of Skipped that met the bound on waiting slots.
	Quota int64 `json:"quota"`
	// Calendar are those of Skipped on which the schedule does not run.
	Calendar int64 `json:"calendar"`
	// Missed could not start in time.
	Missed int64 `json:"missed"`
	// Replaced are runs that were cancelled for a newer slot.
	Replaced int64 `json:"replaced"`
	// Late is the longest time between a slot's coming due and the start of its run, and LateAt the first slot that had
	// to wait so long.
	Late   Duration   `json:"late"`
	LateAt *time.Time `json:"late_at,omitempty"`
}

// SimulatedOverlap counts slots of a schedule that came due while a run was live, or waiting, of the same pipeline.
type SimulatedOverlap struct {
	Schedule string `json:"schedule"`
	// With is the schedule of that run, which may be the same.
	With  string    `json:"with"`
	Slots int64     `json:"slots"`
	First time.Time `json:"first"`
	Last  time.Time `json:"last"`
}

// SimulatedPeak is the largest number of runs that are live at once, and the first time that it is reached.
type SimulatedPeak struct {
	Runs int        `json:"runs"`
	At   *time.Time `json:"at,omitempty"`
}

// SimulatedHour is an hour of the day.
type SimulatedHour struct {
	Hour int `json:"hour"`
	// Starts of runs in that hour, over all days.
	Starts int64 `json:"starts"`
	// Peak is the largest number of runs that are live at once in that hour of any day.
	Peak int `json:"peak"`
}
