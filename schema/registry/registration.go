package registry

import (
	"encoding/json"
	"fmt"
	"time"
)

// HeaderRegistrations names the header of a record of schemas that says when its versions were
// registered. It stands beside the value, so that binaries which do not know it read the record
// all the same; a record without it was written by one of these.
const HeaderRegistrations = "registrations"

// Registration says when a version was registered, and by whom.
type Registration struct {
	Version int       `json:"version"`
	At      time.Time `json:"at"`
	By      string    `json:"by,omitempty"`
}

// EncodeRegistrations writes the value of the header.
func EncodeRegistrations(list []Registration) ([]byte, error) { return json.Marshal(list) }

// DecodeRegistrations reads the value of the header.
func DecodeRegistrations(value []byte) ([]Registration, error) {
	var list []Registration
	if err := json.Unmarshal(value, &list); err != nil {
		return nil, fmt.Errorf("header %s: %w", HeaderRegistrations, err)
	}
	return list, nil
}
