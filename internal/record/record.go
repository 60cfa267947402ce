// Package record reads what is persisted as a JSON object with a format version: of a version
// that this binary does not know nothing is guessed.
package record

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
)

// ErrNewer says that a newer binary wrote a record.
var ErrNewer = errors.New("written by a newer version of auditstream: upgrade before running it again")

// Decode decodes a record of version version, or an older one, strictly: nothing that is not
// known is passed over. The version is looked at first, so that a newer record is refused for
// what it is.
func Decode(data []byte, version int, into any) error {
	if err := checkVersion(data, version); err != nil {
		return err
	}
	return Strictly(data, into)
}

// DecodeTolerantly does the same, and passes over members that it does not know: a newer
// binary adds some to a format whose version says that who does not know them may do without.
func DecodeTolerantly(data []byte, version int, into any) error {
	if err := checkVersion(data, version); err != nil {
		return err
	}
	return json.Unmarshal(data, into)
}

// Strictly decodes JSON that has no version of its own.
func Strictly(data []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return err
	}
	if len(bytes.TrimSpace(data[d.InputOffset():])) > 0 {
		return errors.New("there is something behind the JSON value")
	}
	return nil
}

func checkVersion(data []byte, version int) error {
	var v struct {
		V int `json:"v"`
	}
	if err := json.Unmarshal(data, &v); err != nil {
		return err
	}
	if v.V > version {
		return fmt.Errorf("format version %d, known up to %d: %w", v.V, version, ErrNewer)
	}
	if v.V < 1 {
		return errors.New("format version missing")
	}
	return nil
}
