package workos

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// HeaderSignature is the header that WorkOS signs a webhook in: t=<milliseconds since 1970>,
// v1=<HMAC-SHA256 in hex>.
const HeaderSignature = "WorkOS-Signature"

// DefaultTolerance is how far the time of a signature may be from our own, as WorkOS's own
// clients have it.
const DefaultTolerance = 180 * time.Second

// Why a webhook is not taken for WorkOS's. The texts hold nothing of a secret.
var (
	errUnsigned  = errors.New("it has no signature")
	errMalformed = errors.New("its signature is not of the form t=MILLISECONDS, v1=HEX")
	errForged    = errors.New("it is signed with none of the secrets")
)

// skewError says that a webhook is signed by WorkOS, at a time too far from ours.
type skewError struct{ by, tolerance time.Duration }

func (e *skewError) Error() string {
	return fmt.Sprintf("its signature is of a time %s away from this machine's, at most %s are allowed: set the clock, or it is an old webhook sent again", e.by.Round(time.Second), e.tolerance)
}

// Sign is the header's value for a body that is sent at that time.
func Sign(secret string, at time.Time, body []byte) string {
	t := strconv.FormatInt(at.UnixMilli(), 10)
	return "t=" + t + ", v1=" + hex.EncodeToString(mac(secret, t, body))
}

func mac(secret, t string, body []byte) []byte {
	h := hmac.New(sha256.New, []byte(secret))
	h.Write([]byte(t))
	h.Write([]byte{'.'})
	h.Write(body)
	return h.Sum(nil)
}

// verify says whether one of the secrets has signed body, byte for byte, about now. All
// secrets are tried, so that the time it takes does not tell which of them it was.
func verify(header string, body []byte, secrets []string, now time.Time, tolerance time.Duration) error {
	t, sums, err := parseSignature(header)
	if err != nil {
		return err
	}
	signed := false
	for _, secret := range secrets {
		want := mac(secret, t, body)
		for _, sum := range sums {
			// An empty secret would let everybody sign.
			signed = hmac.Equal(want, sum) && secret != "" || signed
		}
	}
	if !signed {
		return errForged
	}
	// Only now: what is not signed does not learn what time it is here.
	millis, err := strconv.ParseInt(t, 10, 64)
	if err != nil {
		return errMalformed
	}
	if by := now.Sub(time.UnixMilli(millis)).Abs(); by > tolerance {
		return &skewError{by, tolerance}
	}
	return nil
}

// maxSums bounds the signatures of one header: while a secret is being changed there are two.
const maxSums = 8

// parseSignature takes the header apart. t is returned as it is written: it is part of what
// was signed.
func parseSignature(header string) (t string, sums [][]byte, err error) {
	if strings.TrimSpace(header) == "" {
		return "", nil, errUnsigned
	}
	for part := range strings.SplitSeq(header, ",") {
		name, value, ok := strings.Cut(strings.TrimSpace(part), "=")
		switch {
		case !ok:
			return "", nil, errMalformed
		case name == "t" && t == "":
			t = value
		case name == "t":
			return "", nil, errMalformed
		case name == "v1" && len(sums) < maxSums:
			sum, err := hex.DecodeString(value)
			if err != nil || len(sum) != sha256.Size {
				return "", nil, errMalformed
			}
			sums = append(sums, sum)
		} // other schemes are not ours to judge
	}
	if t == "" || len(sums) == 0 {
		return "", nil, errMalformed
	}
	return t, sums, nil
}
