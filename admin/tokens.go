package admin

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"math"
	"regexp"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
)

// Token is a token that callers show, and what it allows.
type Token struct {
	Caller
	// Read reads the value, which may have changed since: a secret is read where it lies, and
	// two tokens of the same caller may be valid while one takes the other's place.
	Read func(context.Context) (string, error)
}

// Tokens are the tokens that are valid. In memory are their hashes alone.
type Tokens struct {
	tokens []Token
	log    *zap.Logger
	now    atomic.Pointer[[]knownToken]
	said   map[string]string // owned by Watch: why a token is not valid, by name
}

type knownToken struct {
	hash   [sha256.Size]byte
	caller Caller
}

// NewTokens reads all tokens. An error says which one cannot be read, or could be guessed.
func NewTokens(ctx context.Context, tokens []Token, log *zap.Logger) (*Tokens, error) {
	t := &Tokens{tokens: tokens, log: log, said: map[string]string{}}
	known, bad := t.read(ctx)
	var errs []error
	for _, b := range bad {
		errs = append(errs, b)
	}
	if len(tokens) == 0 {
		errs = append(errs, errors.New("there is no token: nobody could ask anything"))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	t.now.Store(&known)
	return t, nil
}

// read reads the tokens as they are now; bad are those that cannot be used, by name.
func (t *Tokens) read(ctx context.Context) (known []knownToken, bad map[string]error) {
	bad = map[string]error{}
	for _, token := range t.tokens {
		value, err := token.Read(ctx)
		if err == nil {
			err = CheckToken(value)
		}
		k := knownToken{hash: sha256.Sum256([]byte(value)), caller: token.Caller}
		for _, other := range known {
			if err == nil && other.hash == k.hash {
				err = fmt.Errorf("it is that of %q too: nobody could tell the two apart", other.caller.Name)
			}
		}
		if err != nil {
			bad[token.Name] = fmt.Errorf("token %q: %w", token.Name, err)
			continue
		}
		known = append(known, k)
	}
	return known, bad
}

// reloadEvery is how often the tokens are read again.
const reloadEvery = 10 * time.Second

// Watch reads the tokens again until ctx ends. One that cannot be read any more is valid no
// more, from then on until it can be.
func (t *Tokens) Watch(ctx context.Context) {
	tick := time.NewTicker(reloadEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			t.Reload(ctx)
		}
	}
}

// Reload reads the tokens once more.
func (t *Tokens) Reload(ctx context.Context) {
	known, bad := t.read(ctx)
	if ctx.Err() != nil {
		return // what could not be read is not known to be gone
	}
	for name, why := range bad {
		if t.said[name] != why.Error() {
			t.said[name] = why.Error()
			t.log.Error("a token of the API is not valid until it can be read again", zap.String("token", name), zap.Error(why))
		}
	}
	for name := range t.said {
		if bad[name] == nil {
			delete(t.said, name)
			t.log.Info("a token of the API is valid again", zap.String("token", name))
		}
	}
	t.now.Store(&known)
}

// Caller is whose token it is, or an error of [CodeUnauthenticated]. It takes the same time
// for every token that is not valid: hashes are compared, all of them, each as a whole.
func (t *Tokens) Caller(token string) (Caller, error) {
	c, known := t.CallerOf(sha256.Sum256([]byte(token)))
	if !known {
		return Caller{}, CodeUnauthenticated.Errorf("the token is not valid")
	}
	return c, nil
}

// CallerOf is whose token has a hash (SHA-256), for those who do not keep the token itself;
// false: nobody's.
func (t *Tokens) CallerOf(hash [sha256.Size]byte) (Caller, bool) {
	found := -1
	known := *t.now.Load()
	for i := range known {
		if subtle.ConstantTimeCompare(known[i].hash[:], hash[:]) == 1 {
			found = i
		}
	}
	if found < 0 {
		return Caller{}, false
	}
	return known[found].caller, true
}

// What a token has to be.
const (
	minToken    = 24  // characters
	maxToken    = 512 // likewise
	minBits     = 80  // that its characters would have if each came up as often as it does in it
	minDistinct = 10  // characters
)

// token68 is what may stand behind Bearer (RFC 6750).
var token68 = regexp.MustCompile(`^[A-Za-z0-9._~+/-]+=*$`)

// CheckToken refuses a token that could be guessed. The error never holds it.
func CheckToken(value string) error {
	const remedy = "make one with: openssl rand -hex 32"
	switch {
	case len(value) < minToken:
		return fmt.Errorf("it has %d characters, at least %d are needed; %s", len(value), minToken, remedy)
	case len(value) > maxToken:
		return fmt.Errorf("it has %d characters, at most %d can be sent", len(value), maxToken)
	case !token68.MatchString(value):
		return fmt.Errorf("it has characters that a header cannot carry; allowed are letters, digits and -._~+/, with = at the end; %s", remedy)
	}
	count := map[rune]float64{}
	for _, r := range value {
		count[r]++
	}
	bits, n := 0.0, float64(len(value))
	for _, c := range count {
		bits -= c * math.Log2(c/n)
	}
	if len(count) < minDistinct || bits < minBits {
		return fmt.Errorf("it repeats itself too much to be random: it could be guessed; %s", remedy)
	}
	return nil
}
