package units

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Bytes is a number of bytes, never negative. It is written as a whole number, alone
// or with B, kB, MB, GB, TB (powers of 1000) or KiB, MiB, GiB, TiB (powers of 1024).
type Bytes int64

// The units that Bytes is written with.
const (
	B  Bytes = 1
	KB       = 1000 * B
	MB       = 1000 * KB
	GB       = 1000 * MB
	TB       = 1000 * GB

	KiB = 1024 * B
	MiB = 1024 * KiB
	GiB = 1024 * MiB
	TiB = 1024 * GiB
)

type unit struct {
	name string
	size Bytes
}

// unitsBySize is in the order in which String tries them.
func unitsBySize() []unit {
	return []unit{
		{"TiB", TiB},
		{"GiB", GiB},
		{"MiB", MiB},
		{"KiB", KiB},
		{"TB", TB},
		{"GB", GB},
		{"MB", MB},
		{"kB", KB},
		{"B", B},
	}
}

// ParseBytes reads a number of bytes. One space may stand before the unit, and the
// unit's letters may be of either case; but M alone is refused, because people
// disagree about what it is.
func ParseBytes(s string) (Bytes, error) {
	wrong := func(what string) (Bytes, error) {
		return 0, fmt.Errorf("%q is not a number of bytes: %s", clip(s), what)
	}
	digits := strings.TrimRight(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
	name := s[len(digits):]
	if name != "" {
		digits = strings.TrimSuffix(digits, " ")
	}
	size := B
	if name != "" {
		size = 0
		for _, u := range unitsBySize() {
			if strings.EqualFold(u.name, name) {
				size = u.size
			}
		}
	}
	if size == 0 {
		return wrong("write a unit of B, kB, MB, GB, TB, KiB, MiB, GiB, TiB, as in 8MiB")
	}
	n, err := strconv.ParseUint(digits, 10, 63)
	switch {
	case errors.Is(err, strconv.ErrRange):
		return wrong("it is too large")
	case err != nil && strings.HasPrefix(digits, "-"):
		return wrong("it is negative")
	case err != nil:
		return wrong("write a whole number and a unit, as in 8MiB")
	case n > uint64(math.MaxInt64/size):
		return wrong("it is too large")
	}
	return Bytes(n) * size, nil
}

// Int is the number as an int, for lengths and capacities; as large as an int can be
// where the number is larger.
func (b Bytes) Int() int { return int(min(b, math.MaxInt)) }

// String is the number with the unit that makes it shortest, the powers of 1024 before
// the powers of 1000.
func (b Bytes) String() string {
	best := strconv.FormatInt(int64(b), 10) + "B"
	for _, u := range unitsBySize() {
		if b < u.size || b%u.size != 0 {
			continue
		}
		if s := strconv.FormatInt(int64(b/u.size), 10) + u.name; len(s) < len(best) {
			best = s
		}
	}
	return best
}

// MarshalText writes String.
func (b Bytes) MarshalText() ([]byte, error) { return []byte(b.String()), nil }

// UnmarshalText reads what ParseBytes reads.
func (b *Bytes) UnmarshalText(text []byte) error {
	v, err := ParseBytes(string(text))
	if err == nil {
		*b = v
	}
	return err
}

// UnmarshalJSON reads a string as ParseBytes does, or a whole number. Null leaves b as
// it is.
func (b *Bytes) UnmarshalJSON(data []byte) error {
	s, err := textOf(data)
	if err != nil {
		return errors.New("is not a number of bytes: write it as in 8MiB")
	}
	if s == nil {
		return nil
	}
	return b.UnmarshalText([]byte(*s))
}
