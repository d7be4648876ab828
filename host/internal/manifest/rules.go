package manifest

import (
	"math"
	"reflect"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
)

var (
	typeDuration   = reflect.TypeFor[flow.Duration]()
	typeSize       = reflect.TypeFor[flow.Size]()
	typeBackoff    = reflect.TypeFor[flow.Backoff]()
	typeSecretText = reflect.TypeFor[flow.SecretText]()
)

// rule is what a key demands beyond its type.
type rule struct {
	words    []string // the allowed ones
	min, max int64    // of integers, bytes, nanoseconds; max 0 means no bound
	path     bool     // the text is a path inside the manifest's folder
	absolute bool     // the path may be an absolute one
	calendar bool     // the text is such a path if it ends with .ics
	source   bool     // the text is a source of secrets
	empty    bool     // the text may be empty
	names    nameRule // of the keys of the table
	required bool
}

// nameRule says how the keys of a table of named things are written.
type nameRule int

const (
	nameAny nameRule = iota
	nameThing
	nameStep
	nameSecret
	nameVariable
	nameGuestPath
)

// rules returns the rules of all keys that have one, by the Go type of their table and the key.
func rules() map[string]rule {
	const (
		most = math.MaxInt32
		week = 7 * 24 * time.Hour
	)
	overlap := rule{words: []string{string(flow.OverlapWait), string(flow.OverlapWaitAll), string(flow.OverlapSkip), string(flow.OverlapReplace)}}
	resume := rule{words: []string{string(flow.ResumeNone), string(flow.ResumeLatest), string(flow.ResumeAll)}}
	jitter := rule{max: int64(24 * time.Hour)}
	crash := rule{words: []string{string(flow.CrashResume), string(flow.CrashRestart), string(flow.CrashFail)}}
	isolation := rule{words: []string{string(flow.IsolationInline), string(flow.IsolationWorker)}}
	return map[string]rule{
		"Manifest.alerts":      {names: nameThing},
		"Manifest.plugins":     {names: nameThing},
		"Manifest.pipelines":   {names: nameThing},
		"Manifest.schedules":   {names: nameThing},
		"Manifest.tenants":     {names: nameThing},
		"HostSettings.data":    {path: true},
		"HostSettings.listen":  {empty: true},
		"HostSettings.secrets": {source: true},
		"Defaults.overlap":     overlap,
		"Defaults.on_resume":   resume,
		"Defaults.not_on":      {calendar: true},
		"Defaults.jitter":      jitter,
		"Defaults.on_crash":    crash,
		"Defaults.isolation":   isolation,
		"Catchup.runs":         {words: []string{"none", "latest", "all"}},
		"Catchup.max":          {min: 1, max: 10_000},
		"Retry.attempts":       {min: 1, max: 100},
		"Retry.backoff":        {min: int64(time.Millisecond), max: int64(week)},
		"Limits.memory":        {min: int64(64 * flow.KiB), max: int64(4*flow.GiB - 64*flow.KiB)},
		"Limits.output":        {min: 1, max: int64(64 * flow.MiB)},
		"Limits.log":           {min: 1, max: int64(64 * flow.MiB)},
		"Limits.artifacts":     {min: 1, max: int64(64 * flow.GiB)},
		"Limits.fuel":          {min: 1},
		"Timeout.step":         {min: int64(time.Millisecond), max: int64(week)},
		"Timeout.run":          {min: int64(time.Millisecond), max: int64(week)},
		"Timeout.start":        {min: int64(time.Second), max: int64(week)},
		"Keep.runs":            {min: 1, max: most},
		"Keep.days":            {min: 1, max: 36_500},
		"Alert.url":            {required: true},
		"Alert.on":             {words: flow.AlertWords()},
		"Expect.failures":      {min: 1, max: 20},
		"Plugin.wasm":          {path: true},
		"Plugin.process":       {path: true},
		"Plugin.script":        {path: true},
		"Plugin.secrets":       {names: nameSecret},
		"Grant.mount":          {names: nameGuestPath, path: true},
		"Grant.env":            {names: nameVariable, empty: true},
		"Pipeline.about":       {empty: true},
		"Pipeline.wasm":        {path: true},
		"Pipeline.process":     {path: true},
		"Pipeline.script":      {path: true},
		"Pipeline.steps":       {names: nameStep},
		"Pipeline.overlap":     overlap,
		"Pipeline.on_resume":   resume,
		"Pipeline.not_on":      {calendar: true},
		"Pipeline.jitter":      jitter,
		"Pipeline.on_crash":    crash,
		"Param.type":           {required: true, words: []string{"string", "integer", "number", "boolean", "list", "object"}},
		"Param.about":          {empty: true},
		"Step.wasm":            {path: true},
		"Step.process":         {path: true},
		"Step.parallel":        {min: 1, max: 64},
		"Step.on":              {words: []string{string(flow.OnSuccess), string(flow.OnFailure), string(flow.OnAlways)}},
		"Step.args":            {empty: true},
		"Step.stdin":           {empty: true},
		"Step.stdout":          {words: []string{"json", "text", "log"}},
		"Schedule.pipeline":    {required: true},
		"Schedule.at":          {required: true},
		"Schedule.overlap":     overlap,
		"Schedule.on_resume":   resume,
		"Schedule.not_on":      {calendar: true},
		"Schedule.jitter":      jitter,
		"Tenant.manifest":      {required: true, path: true, absolute: true},
		"Tenant.isolation":     isolation,
		"Tenant.secrets":       {source: true},
		"Quota.running":        {min: 1, max: most},
		"Quota.queued":         {min: 1, max: most},
		"Quota.runs_per_hour":  {min: 1, max: most},
		"Quota.fuel_per_day":   {min: 1},
		"Quota.plugins":        {min: 1, max: 100_000},
		"Quota.pipelines":      {min: 1, max: 100_000},
		"Quota.schedules":      {min: 1, max: 100_000},

		"HostSettings.min_interval": {min: int64(time.Second), max: int64(week)},
		"Quota.min_interval":        {min: int64(time.Second), max: int64(week)},
	}
}

// bounds returns the range of a key of type t: its own, or what its type demands.
func (r rule) bounds(t reflect.Type) (low, high int64) {
	low, high = r.min, r.max
	switch t {
	case typeDuration, typeBackoff:
		low = max(low, int64(time.Millisecond))
	case typeSize:
		low = max(low, 1)
	}
	if high == 0 {
		high = math.MaxInt64
	}
	return low, high
}
