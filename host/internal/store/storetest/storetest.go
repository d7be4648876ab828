// Package storetest is the suite that every store must pass: the promises of the queue, the ledger and its queries, as
// behaviour. It knows no driver; a store's own tests cover what is particular to it.
package storetest

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// Ledger is all that a store does. Consumers declare the part that they need.
type Ledger interface {
	Offer(ctx context.Context, offer flow.Offer) (flow.Offered, error)
	Claim(ctx context.Context, id flow.RunID) (flow.Claimed, bool, error)
	ClaimNext(ctx context.Context, tenant, pipeline string) (flow.Claimed, bool, error)
	OverdueLines(ctx context.Context) ([]flow.Line, error)
	Commit(ctx context.Context, claim flow.Claim, events ...flow.Event) error
	Finish(ctx context.Context, claim flow.Claim, ending flow.Ending, events ...flow.Event) error
	Cancel(ctx context.Context, id flow.RunID, ending flow.Ending) (flow.State, error)
	Recover(ctx context.Context) ([]flow.Claimed, []flow.RunID, error)

	Run(ctx context.Context, id flow.RunID) (flow.RunRecord, error)
	Runs(ctx context.Context, q flow.RunQuery) ([]flow.RunRecord, error)
	FindRuns(ctx context.Context, tenant, prefix string, limit int) ([]flow.RunID, error)
	Events(ctx context.Context, q flow.EventQuery) ([]flow.Event, error)
	AppendLogs(ctx context.Context, lines []flow.LogLine) error
	Logs(ctx context.Context, q flow.LogQuery) ([]flow.LogLine, error)

	SaveSlots(ctx context.Context, tenant, schedule string, watermark time.Time, records []flow.SlotRecord) error
	Slots(ctx context.Context, q flow.SlotQuery) ([]flow.SlotRecord, error)
	Schedules(ctx context.Context) ([]flow.ScheduleRecord, error)
	PutSchedule(ctx context.Context, r flow.ScheduleRecord) error
	SetOverride(ctx context.Context, tenant, name string, override *bool) error
	DeleteSchedule(ctx context.Context, tenant, name string) error
	SavePlan(ctx context.Context, p flow.Plan) error
	Plan(ctx context.Context, digest flow.Digest) (flow.Plan, error)
	Deploy(ctx context.Context, d flow.Deploying) (flow.Deployed, error)
	Deployments(ctx context.Context, q flow.DeploymentQuery) ([]flow.Deployment, error)
	DeploymentOf(ctx context.Context, tenant, pipeline string, digest flow.Digest, by time.Time) (flow.Deployment, error)
	Applied(ctx context.Context, tenant, pipeline string) ([]flow.VersionRecord, error)
	Rollbacks(ctx context.Context) ([]flow.Rollback, error)
	Versioned(ctx context.Context, deployments int) (map[flow.Digest]bool, error)
	SaveVersion(ctx context.Context, v flow.VersionRecord) error
	Versions(ctx context.Context, tenant, pipeline string) ([]flow.VersionRecord, error)

	SaveIncidents(ctx context.Context, c flow.IncidentChange) error
	OpenIncidents(ctx context.Context) ([]flow.Incident, error)
	PruneIncidents(ctx context.Context, before time.Time) (int, error)
	DueDeliveries(ctx context.Context, now time.Time) ([]flow.Delivery, error)
	NextDelivery(ctx context.Context, after time.Time) (time.Time, error)
	SaveAttempt(ctx context.Context, d flow.Delivery, at time.Time) error
	SaveAlertTest(ctx context.Context, t flow.AlertTest, at time.Time) error
	Undelivered(ctx context.Context, since time.Time) ([]flow.AlertHealth, error)
	Watched(ctx context.Context) (int64, error)
	Ended(ctx context.Context, after int64, limit int) ([]flow.RunBrief, int64, error)
	Recent(ctx context.Context, tenant, pipeline, schedule string, limit int) ([]flow.RunBrief, int64, error)
	WaitingSince(ctx context.Context, before time.Time) ([]flow.RunBrief, error)
	LastSuccess(ctx context.Context, tenant, pipeline string) (success, known time.Time, err error)

	Tokens(ctx context.Context) ([]flow.StoredToken, error)
	AddToken(ctx context.Context, t flow.StoredToken) error
	RemoveToken(ctx context.Context, name string) error
	TouchTokens(ctx context.Context, used map[string]time.Time) error
	AddAudit(ctx context.Context, e flow.AuditEntry) error
	Audit(ctx context.Context, q flow.AuditQuery) ([]flow.AuditEntry, error)
	PruneAudit(ctx context.Context, now time.Time) (int64, error)

	State(ctx context.Context, tenant, pipeline string, run flow.RunID) (map[string]json.RawMessage, error)
	SetState(ctx context.Context, tenant, pipeline string, values map[string]json.RawMessage) error
	Refers(ctx context.Context, tenant string, d flow.Digest) (bool, error)
	RunRefers(ctx context.Context, run flow.RunID, d flow.Digest) (bool, error)
	OldestOpen(ctx context.Context) (time.Time, error)
	PutSeal(ctx context.Context, name string, d flow.Digest) error
	Seal(ctx context.Context, name string) (flow.Digest, error)
	Prune(ctx context.Context, tenant, pipeline string, keep flow.Keep, now time.Time) (int, error)
	Changed() <-chan struct{}
	Close() error
}

// Open opens the ledger of a folder, for a life of the host that is named boot; an empty boot opens for reading only.
// It fails the test when it cannot, and need not close.
type Open func(t *testing.T, dir, boot string) Ledger

// Run runs the suite.
func Run(t *testing.T, open Open) {
	t.Helper()
	for name, test := range map[string]func(*fixture){
		"ARunStartsWhenNothingIsBeforeIt":          testStart,
		"AnOfferIsIdempotent":                      testIdempotent,
		"ASlotThatWaitsIsCoalescedIntoTheNewest":   testCoalesce,
		"WaitAllKeepsAHundredSlots":                testWaitAll,
		"SkipEndsTheSlot":                          testSkip,
		"OlderSlotsOfADuplicateNameARunThatIs":     testSlotsOfADuplicate,
		"ReplaceNamesTheLiveRun":                   testReplace,
		"OtherRunsAreNeverCoalesced":               testManual,
		"AThousandRunsWait":                        testQuota,
		"ABackfillIsTakenWhole":                    testBackfill,
		"ARerunHasWhatItTakesOver":                 testTakeOver,
		"RunsStartInTheOrderOfOffers":              testOrder,
		"OneRunIsLiveUnderConcurrency":             testHammer,
		"AStaleClaimWritesNothing":                 testFencing,
		"AnEndIsFinal":                             testTerminal,
		"StepsAndAttemptsFollowTheEvents":          testProjection,
		"AFailedCommitWritesNothing":               testAtomic,
		"ACancelledRunEndsOrIsMarked":              testCancel,
		"AConditionMakesTheSlotSkipped":            testCondition,
		"ASlotThatWaitsTooLongIsMissed":            testOverdue,
		"AnOverdueRunMakesRoomForAnOffer":          testOverdueOffer,
		"AScheduleKnowsWhenItWasDisabled":          testPause,
		"EverySlotHasOneEnding":                    testSlotSum,
		"ACrashedRunIsResumedWithItsSteps":         testRecover,
		"ACrashRestartsOrFailsWhereThePlanSaysSo":  testOnCrash,
		"ARunIsResumedThreeTimes":                  testResumeCap,
		"StateIsThePipelinesWhenItsRunSucceeds":    testState,
		"StateOfARunSurvivesACrash":                testStateOfACrash,
		"ARerunTakesOverWhatItsStepsWrote":         testStateOfARerun,
		"StateOfPipelinesIsApart":                  testStateApart,
		"ACancelledRunIsNotResumed":                testRecoverCancelled,
		"ARunOfADeadHostIsCancelledAtOnce":         testCancelOrphan,
		"RunsArePagedNewestFirst":                  testPaging,
		"ListsHoldNeitherContextsNorOutputs":       testLean,
		"EventsAndLogsAreReadOn":                   testReadOn,
		"WaitersHearOfChanges":                     testChanged,
		"ASchedulesPastSurvivesUntilItIsRewritten": testSchedules,
		"PlansAndVersionsAreKept":                  testPlans,
		"ADeploymentIsWrittenWhole":                testDeploy,
		"ArtifactsAreKnownWhileARunRefersToThem":   testArtifacts,
		"SealsAreKept":                             testSeals,
		"AnIncidentBeginsAndEndsOnce":              testIncidents,
		"AMessageIsSentOnce":                       testDeliveries,
		"TheEndWaitsForTheBeginning":               testDeliveryOrder,
		"EveryEndIsReadOnce":                       testEnded,
		"TheLastRunsOfAScheduleAreKnown":           testRecent,
		"TheHandThatChangedAScheduleIsKnown":       testOverrideAt,
		"HistoryIsBounded":                         testPrune,
		"TokensAreKeptWithTheirHashes":             testTokens,
		"TheAuditIsPagedAndBounded":                testAudit,
		"TenantsAreApart":                          testTenants,
		"AReaderWorksBesideAWriter":                testReader,
		"AClosedLedgerRefuses":                     testClosed,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			f := &fixture{TB: t, test: t, ctx: ctx, open: open, dir: t.TempDir()}
			f.Ledger = open(t, f.dir, "boot-1")
			defer func() { f.must(f.Close()) }()
			test(f)
		})
	}
}

// fixture is a ledger under test, with words for what tests say again and again.
type fixture struct {
	testing.TB
	Ledger
	ctx  context.Context
	open Open
	test *testing.T // for open: its Run would hide the ledger's
	dir  string
}

func (f *fixture) must(err error) {
	f.Helper()
	if err != nil {
		f.Fatal(err)
	}
}

// epoch is the instant that slots count from.
func epoch() time.Time { return time.Date(2026, 3, 1, 2, 0, 0, 0, time.UTC) }

// slot returns the offer of the schedule's n-th slot.
func slot(schedule string, n int, overlap flow.Overlap) flow.Offer {
	at := epoch().Add(time.Duration(n) * time.Minute)
	return flow.Offer{
		Run: flow.Run{
			ID: flow.SlotRunID("default", "weather", schedule, at), Tenant: "default", Pipeline: "weather",
			Trigger: flow.Trigger{Kind: flow.TriggerSchedule, Schedule: schedule, ScheduledAt: at},
		},
		Overlap: overlap, Watermark: at,
	}
}

func manual() flow.Offer {
	at := time.Now()
	return flow.Offer{Run: flow.Run{
		ID: flow.NewRunID(at), Tenant: "default", Pipeline: "weather", Trigger: flow.Trigger{Kind: flow.TriggerManual, ScheduledAt: at},
	}}
}

// offer makes an offer and checks the answer.
func (f *fixture) offer(o flow.Offer, want flow.OfferAnswer) flow.Offered {
	f.Helper()
	got, err := f.Offer(f.ctx, o)
	f.must(err)
	if got.Answer != want {
		f.Fatalf("offer of %s: got %s (%s), want %s", o.Run.ID, got.Answer, got.Reason, want)
	}
	return got
}

// next claims the next waiting run and checks which one it is.
func (f *fixture) next(want flow.RunID) flow.Claim {
	f.Helper()
	claimed, ok, err := f.ClaimNext(f.ctx, "default", "weather")
	f.must(err)
	if claimed.Run.ID != want || ok != (want != "") {
		f.Fatalf("claimed %q, want %q", claimed.Run.ID, want)
	}
	return claimed.Claim
}

func (f *fixture) finish(c flow.Claim) {
	f.Helper()
	f.must(f.Finish(f.ctx, c, flow.Ending{Outcome: flow.Succeeded}))
}

func (f *fixture) run(id flow.RunID) flow.RunRecord {
	f.Helper()
	r, err := f.Run(f.ctx, id)
	f.must(err)
	return r
}

func (f *fixture) slots(schedule string) []flow.SlotRecord {
	f.Helper()
	all, err := f.Slots(f.ctx, flow.SlotQuery{Schedule: schedule, Limit: 1000})
	f.must(err)
	return all
}

// kinds returns the kinds of a run's events in order.
func (f *fixture) kinds(id flow.RunID) []flow.EventKind {
	f.Helper()
	events, err := f.Events(f.ctx, flow.EventQuery{Run: id})
	f.must(err)
	all := make([]flow.EventKind, len(events))
	for i := range events {
		all[i] = events[i].Kind
	}
	return all
}
