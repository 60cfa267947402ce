package seal

import (
	"crypto/hmac"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Errors of signatures.
var (
	ErrUnsigned = errors.New("it is not signed: whoever wrote it has no key of secrets.keys; if it is as it should be, auditstream secrets rotate --adopt signs it")
	ErrNewer    = errors.New("it was written by a newer version of auditstream")
	ErrForged   = errors.New("its signature is not that of what it says: it was not written by auditstream, or was changed since")
)

// Sign says that one of us wrote a record with this key and value, as the one with this
// serial number. It is empty without keys.
func (r *Ring) Sign(serial int64, name, value []byte) string {
	if r == nil {
		return ""
	}
	k := r.keys[0]
	return strings.Join([]string{version, k.id, strconv.FormatInt(serial, 10), encode(k.sum(serial, name, value))}, ".")
}

// Verify returns the serial number of a record that one of us signed. Without keys nothing
// can be told, and the serial number of what is signed is returned as it stands.
func (r *Ring) Verify(signature string, name, value []byte) (serial int64, err error) {
	if signature == "" {
		if r == nil {
			return 0, nil
		}
		return 0, ErrUnsigned
	}
	parts := strings.Split(signature, ".")
	if parts[0] != version {
		return 0, fmt.Errorf("its signature is of version %.10q, known is %s: %w", parts[0], version, ErrNewer)
	}
	if len(parts) != 4 {
		return 0, ErrForged
	}
	serial, err = strconv.ParseInt(parts[2], 10, 64)
	if err != nil || serial < 1 {
		return 0, ErrForged
	}
	if r == nil {
		return serial, nil
	}
	k, err := r.find(parts[1])
	if err != nil {
		return 0, err
	}
	sum, err := base64.RawURLEncoding.Strict().DecodeString(parts[3])
	if err != nil || !hmac.Equal(sum, k.sum(serial, name, value)) {
		return 0, ErrForged
	}
	return serial, nil
}

// Signer is the id of the key that signed a record, empty if none did.
func Signer(signature string) string {
	parts := strings.Split(signature, ".")
	if len(parts) != 4 || parts[0] != version {
		return ""
	}
	return parts[1]
}
