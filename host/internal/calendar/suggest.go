package calendar

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// suggest returns "did you mean ...? " with a valid text close to a mistaken one, or "". Nothing is suggested that
// does not parse.
func suggest(text string) string {
	if len(text) > maxText {
		return ""
	}
	words := strings.Fields(strings.ToLower(text))
	for _, mended := range candidates(words) {
		if d, e := parse(mended); e == nil {
			return fmt.Sprintf("did you mean `%s`? ", d.text)
		}
	}
	return ""
}

// candidates returns texts that the words may have been meant to be, the likeliest first.
func candidates(words []string) []string {
	if len(words) == 0 {
		return nil
	}
	if macro, ok := macros()[strings.TrimPrefix(strings.Join(words, " "), "cron ")]; ok {
		return []string{macro}
	}
	words = joinLists(dropFillers(words))
	if len(words) == 0 {
		return nil
	}
	kind, rest := nearestKind(words[0]), words[1:]
	switch kind {
	case "":
		whole := strings.Join(words, " ")
		return []string{"cron " + mendCron(words), "daily " + mendClock(whole), "every " + mendInterval(words), "once " + mendInstant(words)}
	case KindHourly:
		return []string{"hourly " + mendMinute(strings.Join(rest, ""))}
	case KindEvery:
		return append(everyDay(rest), "every "+mendInterval(rest))
	case KindCron:
		return []string{"cron " + mendCron(rest)}
	case KindOnce:
		return []string{"once " + mendInstant(rest)}
	case KindDaily:
		return []string{"daily " + mendClock(strings.Join(rest, ""))}
	}
	if len(rest) < 2 {
		return nil
	}
	days := rest[0]
	if kind == KindWeekly {
		days = mendWeekdays(days)
	}
	return []string{string(kind) + " " + days + " " + mendClock(strings.Join(rest[1:], ""))}
}

// macros are short forms of other schedulers, and intervals in words.
func macros() map[string]string {
	return map[string]string{
		"@hourly": "hourly :00", "@daily": "daily 00:00", "@midnight": "daily 00:00", "@weekly": "weekly sun 00:00",
		"@monthly": "monthly 1 00:00", "@yearly": "cron 0 0 1 1 *", "@annually": "cron 0 0 1 1 *",
		"hourly": "hourly :00", "daily": "daily 00:00", "every hour": "every 1h", "every minute": "every 1m",
		"every second": "every 1s", "every day": "daily 00:00", "midnight": "daily 00:00", "noon": "daily 12:00",
	}
}

func dropFillers(words []string) []string {
	kept := words[:0:0]
	for _, w := range words {
		switch w {
		case "at", "on", "the", "of", "and", "day":
		default:
			kept = append(kept, w)
		}
	}
	return kept
}

// joinLists closes the spaces in `mon, thu`.
func joinLists(words []string) []string {
	return strings.Fields(strings.NewReplacer(", ", ",", " ,", ",").Replace(strings.Join(words, " ")))
}

func nearestKind(w string) Kind {
	best, distance := Kind(""), 3
	for _, f := range forms() {
		if d := flow.EditDistance(w, string(f.kind)); d < distance {
			best, distance = f.kind, d
		}
	}
	return best
}

// everyDay reads `every day at 02:30` and `every monday at 06:00`, from which fillers are gone.
func everyDay(words []string) []string {
	switch len(words) {
	case 1:
		return []string{"daily " + mendClock(words[0])}
	case 2:
		return []string{"weekly " + mendWeekdays(words[0]) + " " + mendClock(words[1])}
	}
	return nil
}

var looseClock = regexp.MustCompile(`^t?(\d{1,2})(?:[:.h]?(\d{2}))?(?:[:.](\d{2}))?(am|pm)?$`)

// mendClock writes a time of day with two digits each, on a clock of 24 hours.
func mendClock(text string) string {
	m := looseClock.FindStringSubmatch(text)
	if m == nil {
		return text
	}
	hour, _ := strconv.Atoi(m[1])
	switch {
	case m[4] == "pm" && hour < 12:
		hour += 12
	case m[4] == "am" && hour == 12, m[4] == "" && hour == 24:
		hour = 0
	}
	clock := fmt.Sprintf("%02d:%02s", hour, m[2])
	if m[3] != "" {
		clock += ":" + m[3]
	}
	return clock
}

// mendMinute writes a minute as :MM.
func mendMinute(text string) string {
	if n, err := strconv.Atoi(strings.Trim(text, ":*x")); err == nil {
		return fmt.Sprintf(":%02d", n)
	}
	return text
}

var looseInterval = regexp.MustCompile(`^(\d+)(s|m|h|d|w)[a-z]*$`)

// mendInterval writes `30 minutes` as 30m; what follows `from` stays.
func mendInterval(words []string) string {
	length, from, found := strings.Cut(strings.Join(words, " "), " from ")
	m := looseInterval.FindStringSubmatch(strings.ReplaceAll(length, " ", ""))
	if m != nil {
		length = m[1] + m[2]
		if n, err := strconv.Atoi(m[1]); err == nil && m[2] == "w" {
			length = strconv.Itoa(min(n, maxInterval)*7) + "d"
		}
	}
	if found {
		length += " from " + mendInstant(strings.Fields(from))
	}
	return length
}

// mendInstant adds what an instant lacks: the T, the seconds, midnight, UTC.
func mendInstant(words []string) string {
	text := strings.Join(words, "t")
	for _, end := range []string{"", "z", ":00z", "t00:00:00z"} {
		if _, e := readInstant(word{text + end, 0}); e == nil {
			return text + end
		}
	}
	return text
}

// mendCron writes the ? of other crons as *.
func mendCron(words []string) string {
	return strings.ReplaceAll(strings.Join(words, " "), "?", "*")
}

// mendWeekdays replaces each mistyped weekday by the nearest one.
func mendWeekdays(text string) string {
	return looseWeekday.ReplaceAllStringFunc(text, func(name string) string {
		best, distance := name, 3
		for _, full := range weekdayNames() {
			// Plurals and short forms such as `tues` begin like the day.
			if strings.HasPrefix(name, full[:3]) {
				return full[:3]
			}
			if d := flow.EditDistance(name, full); d < distance {
				best, distance = full[:3], d
			}
		}
		return best
	})
}

var looseWeekday = regexp.MustCompile(`[a-z]+`)
