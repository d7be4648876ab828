package calendar

import (
	"fmt"
	"strconv"
	"strings"
)

// intervalText writes seconds in the largest unit that divides them.
func intervalText(seconds int64) string {
	for _, unit := range []byte("dhm") {
		if size := unitSeconds(unit); seconds%size == 0 {
			return strconv.FormatInt(seconds/size, 10) + string(unit)
		}
	}
	return strconv.FormatInt(seconds, 10) + "s"
}

func intervalWords(seconds int64) string {
	text := intervalText(seconds)
	count, unit := text[:len(text)-1], text[len(text)-1]
	name := map[byte]string{'d': "day", 'h': "hour", 'm': "minute", 's': "second"}[unit]
	switch {
	case count != "1":
		return count + " " + name + "s"
	case unit == 'd':
		return "24 hours" // "every day" is what daily says
	}
	return name
}

// readWeekdays reads names and ranges of weekdays; a range may run over the end of the week.
func readWeekdays(w word) (set, *Error) {
	var days set
	for _, item := range list(w) {
		dash := strings.IndexByte(item.text, '-')
		if dash < 0 {
			dash = len(item.text)
		}
		first, e := readWeekday(item.part(0, dash))
		if e != nil {
			return 0, e
		}
		last := first
		if dash < len(item.text) {
			if last, e = readWeekday(item.part(dash+1, len(item.text))); e != nil {
				return 0, e
			}
		}
		for day := first; ; day = (day + 1) % 7 {
			days |= 1 << day
			if day == last {
				break
			}
		}
	}
	return days, nil
}

func readWeekday(w word) (int, *Error) {
	for day, name := range weekdayNames() {
		if strings.EqualFold(w.text, name) || strings.EqualFold(w.text, name[:3]) {
			return day, nil
		}
	}
	return 0, w.malformed("%s is no weekday", quote(w.text))
}

// weekOrder returns the members of a set of weekdays, Monday first.
func weekOrder(days set) []int {
	var order []int
	for i := range 7 {
		if day := (i + 1) % 7; days.has(day) {
			order = append(order, day)
		}
	}
	return order
}

// weekdayList writes weekdays as the text has them: three and more in a row as a range.
func weekdayList(days set) string {
	names, order := weekdayNames(), weekOrder(days)
	var parts []string
	for i := 0; i < len(order); {
		end := i + 1
		for end < len(order) && order[end] == (order[end-1]+1)%7 {
			end++
		}
		if end-i < 3 {
			end = i + 1
		}
		part := names[order[i]][:3]
		if end-i > 1 {
			part += "-" + names[order[end-1]][:3]
		}
		parts = append(parts, part)
		i = end
	}
	return strings.Join(parts, ",")
}

func weekdayWords(days set) string {
	var names []string
	for _, day := range weekOrder(days) {
		name := weekdayNames()[day]
		names = append(names, strings.ToUpper(name[:1])+name[1:])
	}
	return enumerate(names)
}

func monthDays(days set) []string {
	var parts []string
	for i := range days.size() {
		parts = append(parts, strconv.Itoa(days.nth(i)))
	}
	return parts
}

// monthDayList writes days of the month as the text has them.
func monthDayList(days set, last bool) string {
	parts := monthDays(days)
	if last {
		parts = append(parts, "last")
	}
	return strings.Join(parts, ",")
}

func monthDayWords(days set, last bool) string {
	var parts []string
	if days != 0 {
		parts = append(parts, "day "+enumerate(monthDays(days)))
	}
	if last {
		parts = append(parts, "the last day")
	}
	return enumerate(parts)
}

// enumerate joins words as a sentence does.
func enumerate(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	return fmt.Sprintf("%s and %s", strings.Join(words[:len(words)-1], ", "), words[len(words)-1])
}
