package integrity

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
)

// Keys are the keys that a verifier trusts, and when each was in force: one that was given
// as trusted, and those that statements, signed by a trusted one, have put in its place.
type Keys struct {
	trusted map[string]*trustedKey // by public key
}

type trustedKey struct {
	verifier note.Verifier
	from     time.Time // zero: trusted without a statement
	until    time.Time // zero: not replaced
	next     string    // public key that replaced it
}

// NewKeys are the keys that are trusted without a statement.
func NewKeys(public ...string) (*Keys, error) {
	k := &Keys{map[string]*trustedKey{}}
	for i, key := range public {
		verifier, err := note.NewVerifier(key)
		switch { // the text itself is not shown: it may be a secret, given by mistake
		case strings.HasPrefix(key, "PRIVATE+KEY+"):
			return nil, fmt.Errorf("key %d of %d is the secret one, which signs: give the public one (NAME+HASH+KEY)", i+1, len(public))
		case err != nil:
			return nil, fmt.Errorf("key %d of %d is no public key of checkpoints (NAME+HASH+KEY): %w", i+1, len(public), err)
		}
		k.trusted[key] = &trustedKey{verifier: verifier}
	}
	return k, nil
}

// ErrUnknownKey says that a statement hands on the trust of a key that is not trusted here.
// One that is read later may change that; see [Keys.AddAll].
var ErrUnknownKey = errors.New("it is about keys of which none is trusted here")

// ErrTwoHeirs says that a key was replaced by two others. Its owner hands it on once.
var ErrTwoHeirs = errors.New("whoever has the old key has forged one of the two")

// Add takes a signed statement in: the new key is trusted from its time on, the old one
// until the end that the statement sets.
func (k *Keys) Add(signed []byte) error {
	s, err := OpenKeyStatement(signed)
	if err != nil {
		return err
	}
	old := k.trusted[s.Old]
	switch {
	case s.Old == "" && k.trusted[s.New] != nil:
		return nil // the first key says that it is used
	case old == nil:
		return fmt.Errorf("key statement: %w", ErrUnknownKey)
	case old.next != "" && old.next != s.New:
		return fmt.Errorf("key statement: %s was replaced by %s and by %s: %w", s.Old, old.next, s.New, ErrTwoHeirs)
	case old.next == s.New:
		return nil // read before
	case s.Time.Before(old.from) || !old.until.IsZero() && s.Time.After(old.until):
		return fmt.Errorf("key statement: %s is replaced at a time at which it is not in force", s.Old)
	case k.trusted[s.New] != nil && k.reaches(s.New, s.Old):
		return errors.New("key statement: it puts a key in force again that was replaced before")
	}
	verifier, err := note.NewVerifier(s.New)
	if err != nil {
		return err
	}
	old.next, old.until = s.New, s.Until
	if k.trusted[s.New] == nil {
		k.trusted[s.New] = &trustedKey{verifier: verifier, from: s.Time}
	}
	return nil
}

// reaches says whether key was replaced, over however many, by other.
func (k *Keys) reaches(key, other string) bool {
	for range k.trusted {
		t := k.trusted[key]
		if t == nil || t.next == "" {
			return false
		}
		if key = t.next; key == other {
			return true
		}
	}
	return false
}

// AddAll takes statements in whatever order they are, and returns an error for those that
// are wrong. Statements about keys that are not trusted are left out: they are other
// people's.
func (k *Keys) AddAll(signed [][]byte) error {
	var problems []error
	for rest := slices.Clone(signed); len(rest) > 0; {
		var later [][]byte
		for _, s := range rest {
			switch err := k.Add(s); {
			case errors.Is(err, ErrUnknownKey):
				later = append(later, s)
			case err != nil:
				problems = append(problems, err)
			}
		}
		if len(later) == len(rest) {
			break
		}
		rest = later
	}
	return errors.Join(problems...)
}

// Public are the public keys, in the order of their texts.
func (k *Keys) Public() []string { return slices.Sorted(maps.Keys(k.trusted)) }

// Open reads a signed checkpoint that a key has signed which was in force at its time. A
// key that was replaced says nothing about later times, whoever has it now.
func (k *Keys) Open(signed []byte) (*Checkpoint, error) {
	n, err := k.OpenNote(signed)
	if err != nil {
		return nil, fmt.Errorf("checkpoint: %w", err)
	}
	c, err := ParseCheckpoint(n.Text)
	if err != nil {
		return nil, err
	}
	if err := k.InForce(n, c.Time); err != nil {
		return nil, fmt.Errorf("checkpoint: %w", err)
	}
	return c, nil
}

// OpenNote reads a note that a trusted key has signed, whenever that was: see InForce.
func (k *Keys) OpenNote(signed []byte) (*note.Note, error) {
	var all []note.Verifier
	for _, key := range k.Public() {
		all = append(all, k.trusted[key].verifier)
	}
	return openNote(signed, note.VerifierList(all...))
}

// InForce says whether one of the keys that have signed n was in force at the time that n
// claims for itself.
func (k *Keys) InForce(n *note.Note, at time.Time) error {
	var why []string
	for _, sig := range n.Sigs {
		for _, t := range k.trusted {
			if t.verifier.Name() != sig.Name || t.verifier.KeyHash() != sig.Hash {
				continue
			}
			switch {
			case at.Before(t.from):
				why = append(why, fmt.Sprintf("%s+%08x only from %s on", sig.Name, sig.Hash, stamp(t.from)))
			case !t.until.IsZero() && at.After(t.until):
				why = append(why, fmt.Sprintf("%s+%08x only until %s", sig.Name, sig.Hash, stamp(t.until)))
			default:
				return nil
			}
		}
	}
	return fmt.Errorf("no key that has signed it was in force at %s: %s", stamp(at), strings.Join(why, ", "))
}
