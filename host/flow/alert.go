package flow

import (
	"encoding/base64"
	"errors"
	"slices"
	"strings"
	"time"
)

// Condition is something about a pipeline, a schedule or the host that somebody should look at.
type Condition string

const (
	ConditionFailed   Condition = "failed"   // runs failed, so many in a row as the pipeline's expect.failures says
	ConditionLate     Condition = "late"     // a slot that came due has not started, or there is no success by expect.by
	ConditionSilent   Condition = "silent"   // no success for expect.every; without it, no slot has run for two days
	ConditionDisabled Condition = "disabled" // a schedule was disabled by hand two days ago
	ConditionDrifting Condition = "drifting" // runs take longer than the interval of their schedule
	ConditionBroken   Condition = "broken"   // the runs of a schedule cannot be made
	ConditionBehind   Condition = "behind"   // slots are late all over: the host does not keep up
)

// Conditions returns all conditions, the one first that says most about the others.
func Conditions() []Condition {
	return []Condition{ConditionBehind, ConditionBroken, ConditionSilent, ConditionLate, ConditionFailed, ConditionDrifting, ConditionDisabled}
}

// AlertRecovered is the word of an alert that also wants to hear of the end of what it was told.
const AlertRecovered = "recovered"

// AlertWords returns the words that `on` of an alert may hold.
func AlertWords() []string {
	words := []string{AlertRecovered}
	for _, c := range Conditions() {
		words = append(words, string(c))
	}
	slices.Sort(words)
	return words
}

// Wants reports whether an alert is to be told of a word; one that lists none is told everything.
func (a *Alert) Wants(word string) bool { return len(a.On) == 0 || slices.Contains(a.On, word) }

// Webhook schemes of an alert's URL; every other one is a notification service.
const (
	SchemeHTTPS = "https"
	SchemeHTTP  = "http"
)

// AlertSchemes returns the schemes that the URL of an alert may have.
func AlertSchemes() []string {
	return []string{
		"bark", "discord", "generic", "googlechat", "gotify", "hangouts", SchemeHTTP, SchemeHTTPS, "ifttt", "join", "lark", "matrix",
		"mattermost", "notifiarr", "ntfy", "opsgenie", "pagerduty", "pushbullet", "pushover", "rocketchat", "signal", "slack", "smtp",
		"teams", "telegram", "wecom", "zulip",
	}
}

// Incident is a condition from its beginning to its end. At most one is open for a condition of one subject: a
// schedule, a pipeline (for what was asked for by hand, and for what its expect says), or the host.
type Incident struct {
	ID        string    `json:"id"`
	Condition Condition `json:"condition"`
	Tenant    string    `json:"tenant"`
	Pipeline  string    `json:"pipeline,omitempty"`
	Schedule  string    `json:"schedule,omitempty"`
	// Run is the run with which it began, where one did.
	Run RunID `json:"run,omitempty"`
	// Since is when the condition began, OpenedAt when it was noticed.
	Since    time.Time  `json:"since"`
	OpenedAt time.Time  `json:"opened_at"`
	ClosedAt *time.Time `json:"closed_at,omitempty"`
	// Detail says what is wrong, Ending why it is over. Neither holds anything of contexts, outputs or what a plugin said.
	Detail string `json:"detail"`
	Ending string `json:"ending,omitempty"`
	// Owner and Runbook are those of the pipeline.
	Owner   string `json:"owner,omitempty"`
	Runbook string `json:"runbook,omitempty"`
	// Next is the command to type next.
	Next string `json:"next,omitempty"`
}

// Phase says which of its two messages an incident sends.
type Phase string

const (
	PhaseOpened    Phase = "opened"
	PhaseRecovered Phase = "recovered"
)

// DeliveryState says where a message stands.
type DeliveryState string

const (
	DeliveryPending DeliveryState = "pending"  // it has not been taken yet, and will be tried again
	DeliverySent    DeliveryState = "sent"     // the target took it
	DeliveryGivenUp DeliveryState = "given_up" // the target did not take it for a day, or never will
)

// Delivery is a message on its way to a target. There is one for an incident, a target and a phase.
type Delivery struct {
	Seq      int64         `json:"seq"`
	Incident Incident      `json:"incident"`
	Target   string        `json:"target"`
	Phase    Phase         `json:"phase"`
	State    DeliveryState `json:"state"`
	Attempts int           `json:"attempts"`
	AskedAt  time.Time     `json:"asked_at"`
	NextAt   time.Time     `json:"next_at"`
	SentAt   *time.Time    `json:"sent_at,omitempty"`
	// Error is why the last attempt failed. It holds nothing of the target's URL.
	Error string `json:"error,omitempty"`
}

// IncidentChange is what one look at the ledger has brought, in order; it is recorded all or not at all.
type IncidentChange struct {
	// Cursor is the last event that was looked at; zero leaves it.
	Cursor int64
	Steps  []IncidentStep
}

// IncidentStep is the beginning of an incident or, where it has a ClosedAt, its end.
type IncidentStep struct {
	Incident
	// Targets are to be told; of an end, those of them that were told of the beginning.
	Targets []string
}

// RunBrief is what is needed of a run to judge its schedule.
type RunBrief struct {
	// Event is the run's last event, where it was asked for in the order of events.
	Event     int64
	ID        RunID
	Tenant    string
	Pipeline  string
	Schedule  string
	Kind      TriggerKind
	State     State
	Ending    Ending
	QueuedAt  time.Time
	StartedAt *time.Time
	EndedAt   *time.Time
}

// Due reports whether a slot made the run by coming due.
func (r *RunBrief) Due() bool { return r.Kind == TriggerSchedule || r.Kind == TriggerCatchup }

// Missed reports whether the run was dropped because it could not start in time.
func (r *RunBrief) Missed() bool { return r.Ending.Reason == ReasonStart }

// HostHealth is a judgement on a host as a whole.
type HostHealth struct {
	// OK is true when no incident is open and every message has reached its target.
	OK        bool      `json:"ok"`
	Version   string    `json:"version"`
	StartedAt time.Time `json:"started_at"`
	// Incidents are those that are open, the oldest first.
	Incidents []Incident    `json:"incidents"`
	Alerts    []AlertHealth `json:"alerts"`
}

// AlertHealth says whether messages reach a target.
type AlertHealth struct {
	Name string `json:"name"`
	// Pending are messages on their way; GivenUp are those of the last day that the target never took.
	Pending int `json:"pending"`
	GivenUp int `json:"given_up"`
	// Since is when the oldest of these was to be sent, and Error why it was not.
	Since *time.Time `json:"since,omitempty"`
	Error string     `json:"error,omitempty"`
}

// AlertInfo is a target for messages as a host knows it.
type AlertInfo struct {
	Name string `json:"name"`
	// Service is the scheme of its URL, where the manifest holds the URL; empty where a secret does.
	Service string `json:"service,omitempty"`
	Secret  string `json:"secret,omitempty"`
	Signed  bool   `json:"signed,omitempty"`
	// On are the words that it is told of.
	On []string `json:"on"`
	// Pipelines name it.
	Pipelines []string `json:"pipelines"`
}

// AlertTest is what became of a message that was sent as a test.
type AlertTest struct {
	Name      string   `json:"name"`
	Delivered bool     `json:"delivered"`
	Took      Duration `json:"took"`
	Error     string   `json:"error,omitempty"`
}

// SigningKey returns the key of a signing secret: "whsec_" and the base64 of 24 to 64 bytes, as the Standard Webhooks
// specification has it. The error does not repeat the secret.
func SigningKey(text string) ([]byte, error) {
	encoded, ok := strings.CutPrefix(text, "whsec_")
	key, err := base64.StdEncoding.DecodeString(encoded)
	if !ok || err != nil || len(key) < 24 || len(key) > 64 {
		return nil, errors.New("the signing secret is none, expected whsec_ and the base64 of 24 to 64 bytes")
	}
	return key, nil
}
