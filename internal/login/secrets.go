// Package login is what the servers of auditstream have in common where callers show a
// secret: tokens of the API, keys of the gateway. In memory are hashes alone; values are read
// again while the server runs; comparing takes the same time for whatever is shown; failures
// are counted in memory of a fixed size.
package login

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
)

// Hash is the SHA-256 of a secret. Secrets are random and long, so a hash that is slow, or
// salted, would protect them no better.
type Hash [sha256.Size]byte

// HashOf is the hash of what a caller shows.
func HashOf(value string) Hash { return sha256.Sum256([]byte(value)) }

// Secret is one that a caller may show, and whose it is.
type Secret[C any] struct {
	Label  string // as errors and the log call it: token "ops"
	Caller C
	// Read reads the secret's hash, which may have changed since: a secret is read where it
	// lies. What it reads is forgotten; an error never holds it.
	Read func(context.Context) (Hash, error)
}

// Value makes a Secret's Read of one that reads the value, and of what refuses values that
// could be guessed.
func Value(read func(context.Context) (string, error), check func(string) error) func(context.Context) (Hash, error) {
	return func(ctx context.Context) (Hash, error) {
		value, err := read(ctx)
		if err == nil {
			err = check(value)
		}
		return HashOf(value), err
	}
}

// Secrets are those that are valid.
type Secrets[C any] struct {
	secrets []Secret[C]
	log     *zap.Logger
	now     atomic.Pointer[[]known[C]]
	said    map[string]string // owned by Watch: why a secret is not valid, by label
}

type known[C any] struct {
	hash   Hash
	caller C
}

// New reads all secrets. An error says which ones cannot be read, or could be guessed.
func New[C any](ctx context.Context, secrets []Secret[C], log *zap.Logger) (*Secrets[C], error) {
	s := &Secrets[C]{secrets: secrets, log: log, said: map[string]string{}}
	valid, bad := s.read(ctx)
	var errs []error
	for _, secret := range secrets {
		if err := bad[secret.Label]; err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", secret.Label, err))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	s.now.Store(&valid)
	return s, nil
}

// read reads the secrets as they are now; bad are those that cannot be used, by label.
func (s *Secrets[C]) read(ctx context.Context) (valid []known[C], bad map[string]error) {
	bad = map[string]error{}
	first := map[Hash]string{}
	for _, secret := range s.secrets {
		hash, err := secret.Read(ctx)
		if other, ok := first[hash]; err == nil && ok {
			err = fmt.Errorf("it is that of %s too: nobody could tell the two apart", other)
		}
		if err != nil {
			bad[secret.Label] = err
			continue
		}
		first[hash] = secret.Label
		valid = append(valid, known[C]{hash, secret.Caller})
	}
	return valid, bad
}

// reloadEvery is how often the secrets are read again.
const reloadEvery = 10 * time.Second

// Watch reads the secrets again until ctx ends. One that cannot be read any more is valid no
// more, from then on until it can be.
func (s *Secrets[C]) Watch(ctx context.Context) {
	tick := time.NewTicker(reloadEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			s.Reload(ctx)
		}
	}
}

// Reload reads the secrets once more.
func (s *Secrets[C]) Reload(ctx context.Context) {
	valid, bad := s.read(ctx)
	if ctx.Err() != nil {
		return // what could not be read is not known to be gone
	}
	for label, why := range bad {
		if s.said[label] != why.Error() {
			s.said[label] = why.Error()
			s.log.Error("a secret of callers is not valid until it can be read again", zap.String("secret", label), zap.Error(why))
		}
	}
	for label := range s.said {
		if bad[label] == nil {
			delete(s.said, label)
			s.log.Info("a secret of callers is valid again", zap.String("secret", label))
		}
	}
	s.now.Store(&valid)
}

// Caller is whose secret has a hash; false: nobody's. All hashes are compared, each as a
// whole, so the time tells nothing of what was shown.
func (s *Secrets[C]) Caller(hash Hash) (C, bool) {
	found := -1
	valid := *s.now.Load()
	for i := range valid {
		if subtle.ConstantTimeCompare(valid[i].hash[:], hash[:]) == 1 {
			found = i
		}
	}
	if found < 0 {
		var nobody C
		return nobody, false
	}
	return valid[found].caller, true
}
