package units

import "fmt"

// Count is a number with what it counts, as in "1 stream" and "2 streams": one is said of one,
// many of every other number.
func Count[N int | int32 | int64](n N, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
