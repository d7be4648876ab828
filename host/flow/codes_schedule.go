package flow

// UF13xx: schedules.
const (
	CodeScheduleText  Code = "UF1301"
	CodeScheduleRange Code = "UF1302"
	CodeScheduleZone  Code = "UF1303"
	CodeScheduleNever Code = "UF1304"
	// CodeBackfill: the slots of a backfill cannot be told, or are too many.
	CodeBackfill Code = "UF1305"
	// CodeScheduleOften: a schedule fires more often than the host allows.
	CodeScheduleOften Code = "UF1306"
	// CodeNotOn: an entry of not_on, or a calendar file, is not understood.
	CodeNotOn Code = "UF1307"
	// CodeJitter: the jitter is not shorter than the time between two slots.
	CodeJitter Code = "UF1308"
	// CodeScheduleBounds: from and to of a schedule contradict each other, or its text.
	CodeScheduleBounds Code = "UF1309"
)

func scheduleCodes() []Explanation {
	return []Explanation{
		{CodeScheduleText, "the schedule text is not understood", `A schedule is one of:

  daily 02:30                   every day at a wall time (seconds may follow: 02:30:15)
  hourly :15                    every hour at a minute
  every 30m                     an interval: 5s, 30m, 2h, 1d; counted from the Unix epoch,
                                or from an instant: every 90m from 2026-01-01T00:00:00Z
  weekly mon,thu 06:00          on weekdays; ranges as in mon-fri
  monthly 1,15 06:00            on days of the month; monthly last 23:00 for the last one
  cron 0 12 * * 1-5             five fields (minute, hour, day, month, weekday), or six with seconds first
  once 2027-01-01T00:00:00Z     one instant

Wall times have two digits for the hour and two for the minute, on a clock of 24 hours. The help line names the
nearest text that is valid. ` + "`uniflow schedule next`" + ` shows when a schedule fires.`},
		{CodeScheduleRange, "a value in the schedule is out of range", `A part of the schedule is well formed, but its value does not exist or is not allowed: hours are 00 to 23, minutes
and seconds 00 to 59, days of a month 1 to 31, months 1 to 12, weekdays 0 to 7 (both 0 and 7 are Sunday), intervals
1 second to 366 days. Midnight is 00:00, the start of a day; there is no 24:00. A range in a cron field runs from the
smaller value to the larger one, and a step is at least 1.`},
		{CodeScheduleZone, "the time zone is not known", `A zone is a name of the IANA tz database, in its own spelling: UTC, Europe/Berlin, America/Los_Angeles. The database
is part of Uniflow, so a name that is good on one machine is good on all. Offsets such as +02:00 and abbreviations
such as PST are refused, because they do not say when clocks change. The host's default is ` + "`timezone`" + ` in [host].`},
		{CodeScheduleNever, "the schedule never fires", `Every part of the schedule is valid, but no date has them all: cron 0 0 30 2 * asks for 30 February. Mend the day or
the month. For the last day of every month write: monthly last 23:00. A schedule whose every slot falls on a day of its
not_on, or before its from and after its to, never fires either.`},
		{CodeBackfill, "the backfill cannot be made", `A backfill runs the slots of one schedule from an instant to another, both included. Instants are written as
2026-03-01T00:00:00Z, the first is not after the second, and the second has come. A pipeline with several schedules has
several sets of slots: name the schedule. At most 1,000 runs are asked for at once, unless --max says otherwise. The
help line names the nearest range that can be used; --dry-run shows its slots.`},
		{CodeScheduleOften, "the schedule fires too often", `The host does not let schedules fire more often than ` + "`min_interval`" + ` in [host] says. What counts is the shortest time
between two slots, not the mean: cron 0,1 2 * * * fires twice a day, and one minute apart. The help line names the
nearest schedule that is allowed.`},
		{CodeNotOn, "a day of not_on is not understood", `not_on lists when the slots of a schedule are skipped:

  sat                           a weekday, in the schedule's zone
  2026-12-25                    a date
  2026-12-24..2026-12-26        a range of dates, both included
  2026-12-25 FREQ=YEARLY        a date that comes again, by a rule of RFC 5545
  holidays.ics                  the events of a calendar file beside the manifest

Of a calendar file (iCalendar, at most 512 KiB and 2,000 events), events with DTSTART, DTEND or DURATION, RRULE and EXDATE
are read; what could make an event mean another time and is not understood, such as RDATE or BYSETPOS, is refused with its
line, so that no holiday is passed over in silence. What the file says is frozen when the manifest is loaded; ` + "`uniflow plan`" + `
shows what has changed since.`},
		{CodeJitter, "the jitter is too long", `Jitter delays the start of each run of a schedule by a time that is the schedule's own, between nothing and the jitter,
so that schedules of one written time do not start all at once. It is shorter than the shortest time between two slots, or a
slot would start after the next one is due; and at most a day. The help line names the longest that is allowed.`},
		{CodeScheduleBounds, "from and to do not fit", `from and to of a schedule bound its slots, both included. Each is an instant, 2026-03-01T00:00:00Z, or a date in the
schedule's zone: from is then the first instant of that day, to the last. The first is not after the second. Slots of an
interval are counted from ` + "`from`" + `, so that it stands either in the text (every 90m from ...) or as the key.`},
	}
}
