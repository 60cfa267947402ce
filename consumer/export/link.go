package export

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/auditstream/auditstream/internal/record"
)

// LinkLife is how long a link is good.
const LinkLife = 10 * time.Minute

// Link is leave to download one export without a key. It is kept in the topic of exports, by
// the hash of its token: who reads the topic learns no token.
type Link struct {
	Version int       `json:"v"`
	Export  string    `json:"export"`  // its id
	Hash    string    `json:"hash"`    // SHA-256 of the token, in hex
	Expires time.Time `json:"expires"` //
}

// linkMark stands in the key of a link's record, between the export's id and the hash.
const linkMark = "/link/"

// NewLink makes a link and its token, which nobody keeps.
func NewLink(export string, now time.Time) (l Link, token string) {
	token = rand.Text()
	return Link{Export: export, Hash: hashed(token), Expires: now.Add(LinkLife).UTC()}, token
}

func hashed(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}

// Opens says whether the link is that of a token, and is still good.
func (l Link) Opens(token string, now time.Time) bool {
	return subtle.ConstantTimeCompare([]byte(l.Hash), []byte(hashed(token))) == 1 && now.Before(l.Expires)
}

// Key is the key of the link's record.
func (l Link) Key() string { return l.Export + linkMark + l.Hash }

// Encode returns the value of the link's record.
func (l Link) Encode() ([]byte, error) {
	l.Version = RecordVersion
	return json.Marshal(l)
}

// DecodeLink reads the value of the record with that key.
func DecodeLink(key string, value []byte) (Link, error) {
	var l Link
	export, _, _ := strings.Cut(key, linkMark)
	if err := record.Decode(value, RecordVersion, &l); err != nil {
		return Link{}, fmt.Errorf("link of export %q: %w", export, err)
	}
	if l.Key() != key {
		return Link{}, fmt.Errorf("link of export %q: the record was written under another key", export)
	}
	return l, nil
}
