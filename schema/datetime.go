package schema

import "time"

// isDateTime says whether s is a date-time after RFC 3339 section 5.6, of any offset and
// any number of digits of a second. T and Z may be in lower case, as a note there allows;
// a space for the T may not. A leap second is taken where it could be one, at 23:59:60 UTC.
func isDateTime[T string | []byte](s T) bool {
	const template = "0000-00-00T00:00:00"
	if len(s) <= len(template) {
		return false
	}
	for i := range len(template) {
		switch c := template[i]; {
		case c == '0' && !isDigit(s[i]),
			c == 'T' && s[i]|0x20 != 't',
			(c == '-' || c == ':') && s[i] != c:
			return false
		}
	}
	year, month, day := 100*twoDigits(s, 0)+twoDigits(s, 2), twoDigits(s, 5), twoDigits(s, 8)
	hour, minute, second := twoDigits(s, 11), twoDigits(s, 14), twoDigits(s, 17)
	if month < 1 || month > 12 || day < 1 || day > daysIn(year, month) || hour > 23 || minute > 59 || second > 60 {
		return false
	}
	rest := s[len(template):]
	if rest[0] == '.' {
		end := 1
		for end < len(rest) && isDigit(rest[end]) {
			end++
		}
		if end == 1 {
			return false
		}
		rest = rest[end:]
	}
	offset, ok := offsetMinutes(rest)
	if !ok {
		return false
	}
	const minutesOfDay = 24 * 60
	utc := (hour*60 + minute - offset + minutesOfDay) % minutesOfDay
	return second < 60 || utc == minutesOfDay-1
}

// offsetMinutes reads Z or ±hh:mm.
func offsetMinutes[T string | []byte](s T) (minutes int, ok bool) {
	if len(s) == 1 && s[0]|0x20 == 'z' {
		return 0, true
	}
	if len(s) != len("+00:00") || s[0] != '+' && s[0] != '-' || s[3] != ':' {
		return 0, false
	}
	for _, i := range []int{1, 2, 4, 5} {
		if !isDigit(s[i]) {
			return 0, false
		}
	}
	h, m := twoDigits(s, 1), twoDigits(s, 4)
	minutes = h*60 + m
	if s[0] == '-' {
		minutes = -minutes
	}
	return minutes, h <= 23 && m <= 59
}

func twoDigits[T string | []byte](s T, i int) int { return int(s[i]-'0')*10 + int(s[i+1]-'0') }

func daysIn(year, month int) int {
	switch month {
	case 2:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	case 4, 6, 9, 11:
		return 30
	}
	return 31
}

// Time is when the event occurred. ok is false if OccurredAt is no RFC 3339 date-time. A
// leap second, which package time does not know, is the first moment after it.
func (e *Event) Time() (t time.Time, ok bool) {
	s := e.OccurredAt
	if !isDateTime(s) {
		return time.Time{}, false
	}
	text := []byte(s)
	text[len("2006-01-02")] = 'T'
	if last := &text[len(text)-1]; *last == 'z' {
		*last = 'Z'
	}
	leap := string(text[len("2006-01-02T15:04:"):][:2]) == "60"
	if leap {
		// The last whole second before it, without its fraction, and one more.
		text[len("2006-01-02T15:04:")], text[len("2006-01-02T15:04:0")] = '5', '9'
	}
	t, err := time.Parse(time.RFC3339Nano, string(text))
	if err != nil {
		return time.Time{}, false
	}
	if leap {
		t = t.Truncate(time.Second).Add(time.Second)
	}
	return t, true
}
