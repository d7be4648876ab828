package calendar

import (
	"math/bits"
	"time"
)

const (
	daySeconds  = 24 * 3600
	cycleDays   = 146_097 // days of 400 years, after which dates and weekdays repeat
	allWeekdays = set(1<<7 - 1)
	allMonths   = set(1<<13 - 2)
	allDays     = set(1<<32 - 2)
	allHours    = set(1<<24 - 1)
	allSixty    = set(1<<60 - 1)
)

// set is a set of small numbers, 0 to 63.
type set uint64

func (s set) has(n int) bool { return s>>n&1 == 1 }

func (s set) size() int { return bits.OnesCount64(uint64(s)) }

// below returns how many members are smaller than n.
func (s set) below(n int) int { return (s & (1<<n - 1)).size() }

// nth returns the member that has n smaller ones.
func (s set) nth(n int) int {
	for ; n > 0; n-- {
		s &= s - 1
	}
	return bits.TrailingZeros64(uint64(s))
}

// pattern is a set of wall-clock readings. A reading is a count of seconds like Unix time, but of what a clock on the
// wall shows: midnight of 1 January 1970 on the wall is 0. Readings know no zone.
type pattern struct {
	seconds, minutes, hours set
	days                    set  // of the month, 1 to 31
	lastDay                 bool // and the last day of the month
	months, weekdays        set  // 1 to 12; 0 to 6, Sunday is 0
	// either is Vixie's rule: a date needs to match days or weekdays, not both, when both are restricted.
	either bool
}

// timesPerDay returns how many readings a matching date holds.
func (p *pattern) timesPerDay() int64 {
	return int64(p.hours.size() * p.minutes.size() * p.seconds.size())
}

// rank returns how many times of day match before tod, in seconds.
func (p *pattern) rank(tod int64) int64 {
	h, m, s := int(tod/3600), int(tod/60%60), int(tod%60)
	n := p.hours.below(h) * p.minutes.size() * p.seconds.size()
	if !p.hours.has(h) {
		return int64(n)
	}
	n += p.minutes.below(m) * p.seconds.size()
	if p.minutes.has(m) {
		n += p.seconds.below(s)
	}
	return int64(n)
}

// pick returns the matching time of day that has rank smaller ones: the inverse of rank.
func (p *pattern) pick(rank int64) int64 {
	n, seconds, minutes := int(rank), p.seconds.size(), p.minutes.size()
	h := p.hours.nth(n / (minutes * seconds))
	m := p.minutes.nth(n / seconds % minutes)
	return int64(h*3600 + m*60 + p.seconds.nth(n%seconds))
}

// next returns the first matching reading at or after n, before the year 10,000.
func (p *pattern) next(n int64) (int64, bool) {
	day, tod := split(n)
	if p.hasDay(day) {
		if rank := p.rank(tod); rank < p.timesPerDay() {
			return day*daySeconds + p.pick(rank), true
		}
	}
	for m := monthOf(day + 1); m.year < 10_000; m = m.next() {
		if dates := p.dates(m).from(m.bit(day + 1)); dates != 0 {
			return m.day(dates.nth(0))*daySeconds + p.pick(0), true
		}
	}
	return 0, false
}

// last returns the newest matching reading before n. There must be one.
func (p *pattern) last(n int64) int64 {
	day, tod := split(n)
	if p.hasDay(day) {
		if rank := p.rank(tod); rank > 0 {
			return day*daySeconds + p.pick(rank-1)
		}
	}
	for m := monthOf(day - 1); m.year > 0; m = m.prev() {
		if dates := p.dates(m).until(m.bit(day)); dates != 0 {
			return m.day(dates.nth(dates.size()-1))*daySeconds + p.pick(p.timesPerDay()-1)
		}
	}
	return 0
}

// count returns how many readings match in [lo, hi).
func (p *pattern) count(lo, hi int64) int64 {
	if lo >= hi {
		return 0
	}
	first, start := split(lo)
	end, stop := split(hi)
	n := p.countDays(first, end) * p.timesPerDay()
	if p.hasDay(first) {
		n -= p.rank(start)
	}
	if p.hasDay(end) {
		n += p.rank(stop)
	}
	return n
}

// countDays returns how many dates match from day first to before day end.
func (p *pattern) countDays(first, end int64) int64 {
	n := 0
	for m := monthOf(first); m.first < end; m = m.next() {
		n += p.dates(m).from(m.bit(first)).until(m.bit(end)).size()
	}
	return int64(n)
}

func (p *pattern) hasDay(day int64) bool {
	m := monthOf(day)
	return p.dates(m).has(m.bit(day))
}

// dates returns the matching days of a month, 1 to 31.
func (p *pattern) dates(m month) set {
	if !p.months.has(m.month) {
		return 0
	}
	length := m.length()
	all := allDays & (1<<(length+1) - 1)
	days := p.days & all
	if p.lastDay {
		days |= 1 << length
	}
	// Day 1 has bit 0 of week; the week is then laid over the month five times.
	shift := weekday(m.first)
	week := (p.weekdays>>shift | p.weekdays<<(7-shift)) & allWeekdays
	weekdays := week * (1 | 1<<7 | 1<<14 | 1<<21 | 1<<28) << 1 & all
	if p.either {
		return days | weekdays
	}
	return days & weekdays
}

// spacing returns the mean distance of readings in seconds.
func (p *pattern) spacing() int64 {
	return cycleDays * daySeconds / (p.countDays(0, cycleDays) * p.timesPerDay())
}

// anyHour reports whether the pattern leaves the hour open.
func (p *pattern) anyHour() bool { return p.hours == allHours }

// sameAfter reports whether the pattern of minutes looks the same when the clock is set by shift seconds.
func (p *pattern) sameAfter(shift int64) bool {
	shift = (shift%3600 + 3600) % 3600
	if shift%60 != 0 {
		return p.minutes == allSixty && p.seconds == allSixty
	}
	turned := (p.minutes<<(shift/60) | p.minutes>>(60-shift/60)) & allSixty
	return turned == p.minutes
}

// from and until keep the members at or above, and below n.
func (s set) from(n int) set  { return s &^ (1<<max(n, 0) - 1) }
func (s set) until(n int) set { return s & (1<<max(n, 0) - 1) }

// month is a month of the Gregorian calendar. Days are counted from the Unix epoch.
type month struct {
	year, month int
	first       int64 // its first day
}

func monthOf(day int64) month {
	y, m, d := time.Unix(day*daySeconds, 0).UTC().Date()
	return month{y, int(m), day - int64(d) + 1}
}

func (m month) next() month {
	first := m.first + int64(m.length())
	if m.month == 12 {
		return month{m.year + 1, 1, first}
	}
	return month{m.year, m.month + 1, first}
}

func (m month) prev() month { return monthOf(m.first - 1) }

func (m month) length() int {
	switch m.month {
	case 4, 6, 9, 11:
		return 30
	case 2:
		if m.year%4 == 0 && (m.year%100 != 0 || m.year%400 == 0) {
			return 29
		}
		return 28
	}
	return 31
}

// bit returns the day's number within the month; below 1 or above 31 for days of other months.
func (m month) bit(day int64) int { return int(min(max(day-m.first+1, 0), 32)) }

// day is the inverse of bit.
func (m month) day(bit int) int64 { return m.first + int64(bit) - 1 }

// split parts a reading into its day and the seconds of that day.
func split(n int64) (day, tod int64) {
	day = n / daySeconds
	if n%daySeconds < 0 {
		day--
	}
	return day, n - day*daySeconds
}

// weekday returns 0 for Sunday.
func weekday(day int64) int { return int(((day+4)%7 + 7) % 7) }
