package login

import (
	"fmt"
	"math"
	"regexp"
)

// What a secret has to be.
const (
	minLength   = 24 // characters
	minBits     = 80 // that its characters would have if each came up as often as it does in it
	minDistinct = 10 // characters

	// MaxLength is how many characters a secret may have, and so the most that have to be
	// looked at of what a caller shows.
	MaxLength = 512
)

// token68 is what may stand behind Bearer (RFC 6750).
var token68 = regexp.MustCompile(`^[A-Za-z0-9._~+/-]+=*$`)

// Check refuses a secret that could be guessed; remedy says how to make a good one. The error
// never holds the secret.
func Check(value, remedy string) error {
	switch {
	case len(value) < minLength:
		return fmt.Errorf("it has %d characters, at least %d are needed; %s", len(value), minLength, remedy)
	case len(value) > MaxLength:
		return fmt.Errorf("it has %d characters, at most %d can be sent", len(value), MaxLength)
	case !token68.MatchString(value):
		return fmt.Errorf("it has characters that a header cannot carry; allowed are letters, digits and -._~+/, with = at the end; %s", remedy)
	}
	count := map[rune]float64{}
	for _, r := range value {
		count[r]++
	}
	bits, n := 0.0, float64(len(value))
	for _, c := range count {
		bits -= c * math.Log2(c/n)
	}
	if len(count) < minDistinct || bits < minBits {
		return fmt.Errorf("it repeats itself too much to be random: it could be guessed; %s", remedy)
	}
	return nil
}
