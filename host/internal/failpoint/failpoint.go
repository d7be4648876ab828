// Package failpoint names the moments at which a crash is told apart from any other: between a record and what follows
// from it. A program that is built with the tag `faults` kills itself at the point that UNIFLOW_FAULT names, as SIGKILL
// would; in any other program a point is an empty function, which the compiler leaves out.
//
// It must not do anything else: a point that slept or failed would test code that no crash ever runs.
package failpoint

// Point is a named moment.
type Point string

// The points, in the order in which a run meets them.
const (
	Migration Point = "migration" // a migration of the ledger has been committed, the next has not
	Reload    Point = "reload"    // some schedules of the manifest are written, the others are not
	Due       Point = "due"       // a slot is due, and nothing of it is recorded
	Slot      Point = "slot"      // a slot and its run are recorded, and the run does not execute
	Claim     Point = "claim"     // a run that waited is claimed, and does not execute
	Step      Point = "step"      // the start of an attempt is recorded, and nothing of it has happened
	Spawn     Point = "spawn"     // the process of a plugin has started, and has not answered
	Result    Point = "result"    // an attempt has its result, and nothing of it is recorded
	Commit    Point = "commit"    // a transaction is complete and not committed
	Committed Point = "committed" // a transaction is committed, and its callers do not know it
	Alert     Point = "alert"     // an incident and its messages are recorded, and none of them is sent
	Backup    Point = "backup"    // a copy of the ledger is written, and not in its place
	Restore   Point = "restore"   // the ledger was set aside, and the restored one is not in its place
)
