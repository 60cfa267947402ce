// Package checkpoints is what signs the checkpoints of feeds: the keys of a process, and the
// statements by which keys have replaced each other, which stand in Kafka.
package checkpoints

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/auditstream/auditstream/config"
	"github.com/auditstream/auditstream/integrity"
	"github.com/auditstream/auditstream/internal/secret"
)

// Signing are the keys that a process signs with. It shows no secret however it is printed,
// and is safe for concurrent use.
type Signing struct {
	key   key
	old   *key      // signs beside key; nil: there is none
	until time.Time // until which old does; zero: no statement says so, for as long as it is configured
}

type key struct {
	public string
	secret string
	signer note.Signer
}

// String names the public keys, and nothing else.
func (s *Signing) String() string { return strings.Join(s.Public(), ", ") }

// GoString is String: %#v must show no secret either.
func (s *Signing) GoString() string { return s.String() }

// ErrNoKey says that the configuration has no key that signs checkpoints.
var ErrNoKey = errors.New("the configuration has no integrity.key: auditstream integrity keygen makes one")

// Load reads the keys of the configuration; nil where it has none.
func Load(ctx context.Context, c config.Integrity) (*Signing, error) {
	if c.Key.IsZero() {
		return nil, nil //nolint:nilnil // no keys, and nothing is wrong with that
	}
	s := &Signing{}
	var err error
	if s.key, err = loadKey(ctx, c.Key); err != nil {
		return nil, fmt.Errorf("integrity.key: %w", err)
	}
	if c.OldKey.IsZero() {
		return s, nil
	}
	old, err := loadKey(ctx, c.OldKey)
	if err != nil {
		return nil, fmt.Errorf("integrity.old_key: %w", err)
	}
	if old.public == s.key.public {
		return nil, errors.New("integrity.old_key is the same as integrity.key: leave it out")
	}
	s.old = &old
	return s, nil
}

func loadKey(ctx context.Context, ref secret.Ref) (key, error) {
	text, err := ref.Resolve(ctx)
	if err != nil {
		return key{}, err
	}
	text = unpacked(strings.TrimSpace(text))
	public, err := integrity.PublicKey(text)
	if err != nil {
		return key{}, err
	}
	signer, err := note.NewSigner(text)
	return key{public, text, signer}, err
}

// unpacked is the key itself where text is the base64 of one: so do KMSs print what they have
// decrypted.
func unpacked(text string) string {
	const form = "PRIVATE+KEY+"
	if decoded, err := base64.StdEncoding.DecodeString(text); err == nil && strings.HasPrefix(string(decoded), form) {
		return strings.TrimSpace(string(decoded))
	}
	return text
}

// Public are the public keys, that of the configuration's key first.
func (s *Signing) Public() []string {
	if s == nil {
		return nil
	}
	if s.old == nil {
		return []string{s.key.public}
	}
	return []string{s.key.public, s.old.public}
}

// Signers are who signs at a time.
func (s *Signing) Signers(at time.Time) []note.Signer {
	if s.old == nil || !s.until.IsZero() && at.After(s.until) {
		return []note.Signer{s.key.signer}
	}
	return []note.Signer{s.key.signer, s.old.signer}
}

// Sign signs a checkpoint with every key that is in force at its time.
func (s *Signing) Sign(c *integrity.Checkpoint) ([]byte, error) { return c.Sign(s.Signers(c.Time)...) }

// Open reads a checkpoint that one of the keys has signed.
func (s *Signing) Open(signed []byte) (*integrity.Checkpoint, error) {
	keys, err := integrity.NewKeys(s.Public()...)
	if err != nil {
		return nil, err
	}
	return keys.Open(signed)
}

// SignHour signs a digest with every key that is in force at its time.
func (s *Signing) SignHour(h *integrity.Hour) ([]byte, error) { return h.Sign(s.Signers(h.Time)...) }

// OpenHour reads a digest that one of the keys has signed.
func (s *Signing) OpenHour(stored []byte) (*integrity.Hour, error) {
	keys, err := integrity.NewKeys(s.Public()...)
	if err != nil {
		return nil, err
	}
	return keys.OpenHour(stored)
}

// After is s with the end of the old key as the statements have it.
func (s *Signing) After(statements []Statement) *Signing {
	out := *s
	if i := s.handOver(statements); i >= 0 {
		out.until = statements[i].Until
	}
	return &out
}

// OldKeyEnded says that the old key is of no use any more, "" while it is.
func (s *Signing) OldKeyEnded(now time.Time) string {
	if s.old == nil || s.until.IsZero() || !now.After(s.until) {
		return ""
	}
	return fmt.Sprintf("%s has signed nothing since %s, and is in the configuration still", s.old.public, s.until.Format(time.RFC3339))
}

// handOver is the statement by which the old key gave way to the key, -1 without one.
func (s *Signing) handOver(statements []Statement) int {
	return slices.IndexFunc(statements, func(st Statement) bool {
		return s.old != nil && st.New == s.key.public && st.Old == s.old.public
	})
}

// Introduce is the statement that has to be written before the key signs anything, so that
// those who look find it: nil if there is one already.
func (s *Signing) Introduce(statements []Statement, now time.Time) ([]byte, error) {
	known := func(st Statement) bool { return st.New == s.key.public }
	if slices.ContainsFunc(statements, known) || s.old != nil {
		return nil, nil // with an old key a rotation says it
	}
	first := integrity.KeyStatement{New: s.key.public, Time: now.UTC().Truncate(time.Second)}
	return first.Sign(s.key.secret, "")
}

// Rotate is the statement by which the key takes over from the old one, which signs too
// until overlap has passed.
func (s *Signing) Rotate(now time.Time, overlap time.Duration) ([]byte, error) {
	if s.old == nil {
		return nil, errors.New("the configuration has no integrity.old_key: put the new key under key, and the one that signs now under old_key")
	}
	now = now.UTC().Truncate(time.Second)
	st := integrity.KeyStatement{New: s.key.public, Old: s.old.public, Time: now, Until: now.Add(overlap)}
	return st.Sign(s.key.secret, s.old.secret)
}

// Linked says whether the key is trusted, at a time, by whoever trusts the first key that the
// statements name. Where it is not, the error says what is wrong.
func (s *Signing) Linked(statements []Statement, now time.Time) error {
	if len(statements) == 0 {
		return nil
	}
	keys, err := Trusted(statements)
	if err != nil {
		return err
	}
	if !slices.Contains(keys.Public(), s.key.public) {
		return fmt.Errorf("no statement hands trust on to %s: whoever verifies with a key of before takes its checkpoints for forged; put the former key under integrity.old_key and run auditstream integrity rotate", s.key.public)
	}
	if st := s.Successor(statements); st != nil && now.After(st.Until) {
		return fmt.Errorf("%s has taken over from %s, and nobody believes checkpoints that the latter has signed since %s: name the new key under integrity.key", st.New, st.Old, st.Until.Format(time.RFC3339))
	}
	return nil
}

// Successor is the statement by which another key takes over from the key; nil while there
// is none.
func (s *Signing) Successor(statements []Statement) *Statement {
	i := slices.IndexFunc(statements, func(st Statement) bool { return st.Old == s.key.public })
	if i < 0 {
		return nil
	}
	return &statements[i]
}
