package export

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"regexp"
	"time"

	"github.com/auditstream/auditstream/consumer"
	"github.com/auditstream/auditstream/internal/record"
)

// RecordVersion is the version of the records of exports and of their links. A record of
// another version is refused: it was written by a newer binary.
const RecordVersion = 1

// State is how far an export is.
type State string

// The states of an export.
const (
	Pending State = "pending" // it waits to be counted, or is being counted
	Ready   State = "ready"   // it can be downloaded
	Failed  State = "error"   // it cannot be, and why is in Reason
)

// Export is an export as its topic keeps it, keyed by ID. Kafka may have dropped its events
// since: that is found where it is looked at, and not on record.
type Export struct {
	Version        int    `json:"v"`
	ID             string `json:"id"`
	OrganizationID string `json:"organization_id"` // whose events these are
	By             string `json:"by"`              // who asked for it

	Query                 // what was asked for
	Oldest     *time.Time `json:"oldest,omitempty"`     // events that occurred before are left out, as the organization's retention says; absent: none are
	Beginning  *time.Time `json:"beginning,omitempty"`  // append time of the first event that Kafka had; what came before was gone. Absent: nothing of the range was gone
	TopicID    string     `json:"topic_id"`             // of the events topic: of one made anew the offsets say nothing
	Format     int        `json:"format"`               // of the file
	Ranges     []Range    `json:"ranges"`               // that hold the events; while the export is pending, those to be looked through
	State      State      `json:"state"`                //
	Reason     string     `json:"reason,omitempty"`     // of Failed
	Runner     string     `json:"runner,omitempty"`     // the process that counts, while the export is pending
	Offsets    Offsets    `json:"offsets"`              // how far counting is
	Rows       int64      `json:"rows"`                 // of events, without the one of names
	Bytes      int64      `json:"bytes"`                // of the file
	SHA256     string     `json:"sha256,omitempty"`     // of the file, in hex
	CRC        uint32     `json:"crc,omitempty"`        // CRC-32C of the file
	Unreadable int64      `json:"unreadable,omitempty"` // records under the organization's key that are no valid event: delivery has put them to the dead letters
	Marks      []Mark     `json:"marks,omitempty"`      // in the order of the file
	Made       time.Time  `json:"made"`                 //
	Updated    time.Time  `json:"updated"`              // of the record, so also a sign of life of the runner
}

// Range is the offsets [From, To) of one partition.
type Range = consumer.Range

// Offsets is a share of the offsets that an export looks through.
type Offsets struct {
	Passed int64 `json:"passed"`
	Total  int64 `json:"total"`
}

// Mark is a place in the file at which a row begins, and where its event stands.
type Mark struct {
	At        int64  `json:"at"` // bytes before it
	Partition int32  `json:"partition"`
	Offset    int64  `json:"offset"`
	CRC       uint32 `json:"crc"` // CRC-32C of those bytes
}

const idPrefix = "audit_log_export_"

var idForm = regexp.MustCompile(`^` + idPrefix + `[A-Z2-7]{26}$`)

// NewID makes the id of a new export.
func NewID() string { return idPrefix + rand.Text() }

// IsID says whether text can be the id of an export.
func IsID(text string) bool { return idForm.MatchString(text) }

// Encode returns the value of the export's record.
func (e Export) Encode() ([]byte, error) {
	e.Version = RecordVersion
	return json.Marshal(e)
}

// Decode reads the value of the record with that key.
func Decode(key string, value []byte) (Export, error) {
	var e Export
	if err := record.Decode(value, RecordVersion, &e); err != nil {
		return Export{}, fmt.Errorf("export %q: %w", key, err)
	}
	switch {
	case e.ID != key || !IsID(e.ID) || e.OrganizationID == "" || e.TopicID == "":
		return Export{}, fmt.Errorf("export %q: the record lacks id, organization or topic, or was written under another key", key)
	case e.State != Pending && e.State != Ready && e.State != Failed:
		return Export{}, fmt.Errorf("export %q: %q is no state", key, e.State)
	case e.Format != Format:
		return Export{}, fmt.Errorf("export %q: format %d of the file, known is %d: written by a newer version of auditstream, upgrade first", key, e.Format, Format)
	}
	for _, r := range e.Ranges {
		if r.Partition < 0 || r.From < 0 || r.To <= r.From {
			return Export{}, fmt.Errorf("export %q: no range of a partition: %+v", key, r)
		}
	}
	return e, nil
}
