package deadletter

import (
	"fmt"
	"strconv"
	"strings"
)

// Position is where a record stands in the topic of dead letters. As text it is
// PARTITION:OFFSET.
type Position struct {
	Partition int32
	Offset    int64
}

// ParsePosition reads PARTITION:OFFSET, two decimal numbers without sign.
func ParsePosition(s string) (Position, error) {
	partition, offset, _ := strings.Cut(s, ":")
	p, err := strconv.ParseUint(partition, 10, 31)
	if err == nil {
		var o uint64
		if o, err = strconv.ParseUint(offset, 10, 63); err == nil {
			return Position{int32(p), int64(o)}, nil
		}
	}
	return Position{}, fmt.Errorf("%q is no position: write PARTITION:OFFSET, as in 3:41", s)
}

func (p Position) String() string { return fmt.Sprintf("%d:%d", p.Partition, p.Offset) }

// MarshalText writes String.
func (p Position) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText reads PARTITION:OFFSET.
func (p *Position) UnmarshalText(text []byte) (err error) {
	*p, err = ParsePosition(string(text))
	return err
}

// PositionError says that there is no letter at a position.
type PositionError struct {
	Position Position
	Why      string
}

func (e *PositionError) Error() string { return fmt.Sprintf("no letter at %s: %s", e.Position, e.Why) }
