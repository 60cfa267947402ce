// Package rfc3339 reads the times of events on the delivery path, where
// package time would allocate for every time that is not in UTC.
package rfc3339

// Millis is the time that text names, in milliseconds since 1970-01-01 UTC; what is
// smaller is cut off. ok is false if text is not a time as RFC 3339 writes it in upper
// case, or names a leap second, which package time does not know either. It allocates
// nothing.
func Millis(text []byte) (ms int64, ok bool) {
	const shortest = len("2006-01-02T15:04:05Z")
	if len(text) < shortest ||
		text[4] != '-' || text[7] != '-' || text[10] != 'T' || text[13] != ':' || text[16] != ':' {
		return 0, false
	}
	year1, ok1 := two(text[0:])
	year2, ok2 := two(text[2:])
	month, ok3 := two(text[5:])
	day, ok4 := two(text[8:])
	hour, ok5 := two(text[11:])
	minute, ok6 := two(text[14:])
	second, ok7 := two(text[17:])
	year := year1*100 + year2
	digits := ok1 && ok2 && ok3 && ok4 && ok5 && ok6 && ok7
	if !digits || month < 1 || month > 12 || day < 1 || day > daysIn(year, month) || hour > 23 || minute > 59 || second > 59 {
		return 0, false
	}
	fraction, rest, ok := fractionMillis(text[19:])
	if !ok {
		return 0, false
	}
	offset, ok := zone(rest)
	if !ok {
		return 0, false
	}
	seconds := daysSince1970(year, month, day)*86400 + int64(hour*3600+minute*60+second) - offset
	return seconds*1000 + fraction, true
}

func two(b []byte) (int, bool) {
	hi, lo := b[0]-'0', b[1]-'0'
	return int(hi)*10 + int(lo), hi <= 9 && lo <= 9
}

// fractionMillis reads a fraction of a second, if one stands at the head of b.
func fractionMillis(b []byte) (ms int64, rest []byte, ok bool) {
	if len(b) == 0 || b[0] != '.' {
		return 0, b, true
	}
	weight := int64(100)
	i := 1
	for ; i < len(b) && b[i]-'0' <= 9; i++ {
		ms += int64(b[i]-'0') * weight
		weight /= 10
	}
	return ms, b[i:], i > 1
}

// zone reads Z or an offset from UTC, in seconds.
func zone(b []byte) (seconds int64, ok bool) {
	if len(b) == 1 && b[0] == 'Z' {
		return 0, true
	}
	if len(b) != len("+01:00") || b[3] != ':' || b[0] != '+' && b[0] != '-' {
		return 0, false
	}
	hours, ok1 := two(b[1:])
	minutes, ok2 := two(b[4:])
	if !ok1 || !ok2 || hours > 23 || minutes > 59 {
		return 0, false
	}
	seconds = int64(hours*3600 + minutes*60)
	if b[0] == '-' {
		seconds = -seconds
	}
	return seconds, true
}

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

// daysSince1970 counts in years that begin in March, so that a leap day is a year's last.
func daysSince1970(year, month, day int) int64 {
	if month <= 2 {
		year--
		month += 12
	}
	// From 0000-03-01 to 1970-01-01 there are 719468 days. Month lengths from March on
	// repeat every five months with 153 days. Year is at least -1: shifted, so that
	// the divisions round down.
	const shift = 400
	year += shift
	days := year*365 + year/4 - year/100 + year/400 + (153*(month-3)+2)/5 + day - 1
	return int64(days - 719468 - shift/400*146097)
}
