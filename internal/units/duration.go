// Package units holds quantities as people write them in a configuration: a
// [Duration] as in 1m30s, [Bytes] as in 8MiB. Both always name their unit, print in
// the shortest form that is exact, and read back what they print.
package units

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Duration is a length of time, never negative. It is written with the units of
// [time.ParseDuration] and, in front of them, whole days of 24 hours: 250ms, 1m30s,
// 7d, 1d12h.
type Duration time.Duration

const day = 24 * time.Hour

// maxDays is the most whole days that a time.Duration can hold.
const maxDays = int64((1<<63 - 1) / day)

// ParseDuration reads a duration. A number without a unit is refused, except 0.
func ParseDuration(s string) (Duration, error) {
	wrong := func(what string) (Duration, error) {
		return 0, fmt.Errorf("%q is not a duration: %s", clip(s), what)
	}
	rest := s
	var days int64
	if number, after, found := strings.Cut(s, "d"); found {
		n, err := strconv.ParseUint(number, 10, 63)
		if err != nil {
			return wrong("write it as in 250ms, 1m30s or 7d")
		}
		if n > uint64(maxDays) {
			return wrong("it is too long")
		}
		days, rest = int64(n), after
	}
	var d time.Duration
	if rest != "" || days == 0 && rest == s {
		var err error
		if d, err = time.ParseDuration(rest); err != nil {
			if _, number := strconv.ParseFloat(s, 64); number == nil {
				return wrong("write a unit, as in " + clip(s) + "s")
			}
			return wrong("write it as in 250ms, 1m30s or 7d")
		}
	}
	if d < 0 || strings.HasPrefix(rest, "-") || rest != s && strings.HasPrefix(rest, "+") {
		return wrong("a duration here is never negative")
	}
	total := time.Duration(days)*day + d
	if total < 0 {
		return wrong("it is too long")
	}
	return Duration(total), nil
}

// Std is the duration as the standard library has it.
func (d Duration) Std() time.Duration { return time.Duration(d) }

// String is the duration without parts that are zero: 1m, not 1m0s; 7d, not 168h0m0s.
func (d Duration) String() string {
	t := time.Duration(d)
	if t >= day && t%day == 0 {
		return strconv.FormatInt(int64(t/day), 10) + "d"
	}
	s := t.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// MarshalText writes String.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads what ParseDuration reads.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := ParseDuration(string(text))
	if err == nil {
		*d = v
	}
	return err
}

// UnmarshalJSON reads a string as ParseDuration does, or the number 0. Null leaves d
// as it is.
func (d *Duration) UnmarshalJSON(data []byte) error {
	s, err := textOf(data)
	if err != nil {
		return errors.New("is not a duration: write it as in 250ms, 1m30s or 7d")
	}
	if s == nil {
		return nil
	}
	return d.UnmarshalText([]byte(*s))
}

// textOf is the text of a JSON string or number, nil for null.
func textOf(data []byte) (*string, error) {
	data = bytes.TrimSpace(data)
	if bytes.Equal(data, []byte("null")) {
		return nil, nil //nolint:nilnil // null is neither text nor an error
	}
	if len(data) > 0 && data[0] == '"' {
		var s string
		err := json.Unmarshal(data, &s)
		return &s, err
	}
	var n json.Number
	err := json.Unmarshal(data, &n)
	return new(string(n)), err
}

// clip bounds what an error repeats.
func clip(s string) string {
	const most = 40
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}
