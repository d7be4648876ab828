package calendar

import "strings"

// field is one of the fields of a cron text.
type field struct {
	name        string
	least, most int
	// names are other ways to write the values, from least upwards.
	names []string
}

func monthNames() []string {
	return []string{"jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"}
}

// weekdayNames starts with Sunday, which is 0.
func weekdayNames() []string {
	return []string{"sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"}
}

func cronFields() []field {
	short := weekdayNames()
	for i := range short {
		short[i] = short[i][:3]
	}
	return []field{
		{"second", 0, 59, nil},
		{"minute", 0, 59, nil},
		{"hour", 0, 23, nil},
		{"day of the month", 1, 31, nil},
		{"month", 1, 12, monthNames()},
		{"weekday", 0, 7, short},
	}
}

func readCron(d *draft, words []word) *Error {
	all := cronFields()
	if len(words) == 5 {
		all = all[1:]
	} else if len(words) != 6 {
		e := word{}.malformed("cron has %d fields, expected 5, or 6 with seconds", len(words))
		if len(words) > 6 {
			e.Offset, e.Length = words[6].at, len(words[6].text)
		}
		return e
	}
	sets := []set{1}
	texts := make([]string, len(words))
	for i, f := range all {
		values, e := f.read(words[i])
		if e != nil {
			return e
		}
		sets = append(sets, values)
		texts[i] = strings.ToLower(words[i].text)
	}
	sets = sets[len(sets)-6:]
	days, weekdays := texts[len(texts)-3], texts[len(texts)-1]
	d.text = "cron " + strings.Join(texts, " ")
	d.words = "at the times of " + d.text
	d.pattern = pattern{
		seconds: sets[0], minutes: sets[1], hours: sets[2], days: sets[3], months: sets[4],
		weekdays: (sets[5] | sets[5]>>7) & allWeekdays,
		either:   days[0] != '*' && weekdays[0] != '*',
	}
	return nil
}

// read reads a list of values, ranges and steps.
func (f field) read(w word) (set, *Error) {
	var values set
	for _, item := range list(w) {
		some, e := f.readItem(item)
		if e != nil {
			return 0, e
		}
		values |= some
	}
	return values, nil
}

// readItem reads *, N or N-M, each with an optional /STEP. A single number with a step goes on to the field's end.
func (f field) readItem(w word) (set, *Error) {
	span, stepped := w, strings.IndexByte(w.text, '/')
	step := 1
	if stepped >= 0 {
		span = w.part(0, stepped)
		var e *Error
		if step, e = number(w.part(stepped+1, len(w.text)), "step of the "+f.name, 1, f.most); e != nil {
			return 0, e
		}
	}
	lo, hi, e := f.readSpan(span)
	if e != nil {
		return 0, e
	}
	if stepped >= 0 && lo == hi && !strings.Contains(span.text, "-") {
		hi = f.end()
	}
	var values set
	for v := lo; v <= hi; v += step {
		values |= 1 << v
	}
	return values, nil
}

func (f field) readSpan(w word) (lo, hi int, e *Error) {
	if w.text == "*" {
		return f.least, f.end(), nil
	}
	dash := strings.IndexByte(w.text, '-')
	if dash < 0 {
		lo, e = f.value(w)
		return lo, lo, e
	}
	if lo, e = f.value(w.part(0, dash)); e != nil {
		return 0, 0, e
	}
	if hi, e = f.value(w.part(dash+1, len(w.text))); e != nil {
		return 0, 0, e
	}
	if f.most == 7 && hi == 0 && lo > 0 {
		hi = 7 // fri-sun ends with the Sunday after the Friday
	}
	if hi < lo {
		return 0, 0, w.outside("range %s of the %s runs backwards", quote(w.text), f.name)
	}
	return lo, hi, nil
}

// end is the last value of *. Sunday, which has two numbers, is counted once.
func (f field) end() int {
	if f.most == 7 {
		return 6
	}
	return f.most
}

func (f field) value(w word) (int, *Error) {
	for i, name := range f.names {
		if strings.EqualFold(w.text, name) {
			return f.least + i, nil
		}
	}
	return number(w, f.name, f.least, f.most)
}
