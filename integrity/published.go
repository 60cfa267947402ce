package integrity

import (
	"encoding/json"
	"fmt"
	"time"
)

// WellKnown is the path at which an installation serves its public keys, as [Published].
const WellKnown = "/.well-known/auditstream/keys"

// Published are the public keys of an installation. Keys is for people; who verifies goes by
// Statements, from a key that is trusted from elsewhere: whoever serves this could serve
// keys of his own.
type Published struct {
	Keys       []PublishedKey `json:"keys"`
	Statements []string       `json:"statements"` // signed, in the order in which they were made
}

// PublishedKey is a public key and when it was in force.
type PublishedKey struct {
	Key   string     `json:"key"`             // NAME+HASH+KEY
	From  *time.Time `json:"from,omitempty"`  // absent: before the first statement
	Until *time.Time `json:"until,omitempty"` // absent: it was not replaced
}

// Publish says what the keys and the statements add up to, which k has taken in.
func (k *Keys) Publish(statements [][]byte) Published {
	out := Published{Keys: []PublishedKey{}, Statements: []string{}}
	for _, public := range k.Public() {
		t := k.trusted[public]
		one := PublishedKey{Key: public}
		if !t.from.IsZero() {
			one.From = &t.from
		}
		if !t.until.IsZero() {
			one.Until = &t.until
		}
		out.Keys = append(out.Keys, one)
	}
	for _, s := range statements {
		out.Statements = append(out.Statements, string(s))
	}
	return out
}

// ParsePublished reads what is served at [WellKnown], for [Keys.AddAll].
func ParsePublished(data []byte) (statements [][]byte, err error) {
	var p Published
	if err := json.Unmarshal(data, &p); err != nil {
		return nil, fmt.Errorf("this is no list of public keys as %s has it: %w", WellKnown, err)
	}
	for _, s := range p.Statements {
		statements = append(statements, []byte(s))
	}
	return statements, nil
}
