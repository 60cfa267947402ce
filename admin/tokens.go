package admin

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"

	"go.uber.org/zap"

	"github.com/auditstream/auditstream/internal/login"
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
	secrets *login.Secrets[Caller]
}

// NewTokens reads all tokens. An error says which one cannot be read, or could be guessed.
func NewTokens(ctx context.Context, tokens []Token, log *zap.Logger) (*Tokens, error) {
	if len(tokens) == 0 {
		return nil, errors.New("there is no token: nobody could ask anything")
	}
	secrets := make([]login.Secret[Caller], len(tokens))
	for i, t := range tokens {
		secrets[i] = login.Secret[Caller]{Label: fmt.Sprintf("token %q", t.Name), Caller: t.Caller, Read: login.Value(t.Read, CheckToken)}
	}
	s, err := login.New(ctx, secrets, log)
	if err != nil {
		return nil, err
	}
	return &Tokens{s}, nil
}

// Watch reads the tokens again until ctx ends. One that cannot be read any more is valid no
// more, from then on until it can be.
func (t *Tokens) Watch(ctx context.Context) { t.secrets.Watch(ctx) }

// Reload reads the tokens once more.
func (t *Tokens) Reload(ctx context.Context) { t.secrets.Reload(ctx) }

// Caller is whose token it is, or an error of [CodeUnauthenticated]. It takes the same time
// for every token that is not valid.
func (t *Tokens) Caller(token string) (Caller, error) {
	c, known := t.secrets.Caller(login.HashOf(token))
	if !known {
		return Caller{}, CodeUnauthenticated.Errorf("the token is not valid")
	}
	return c, nil
}

// CallerOf is whose token has a hash (SHA-256), for those who do not keep the token itself;
// false: nobody's.
func (t *Tokens) CallerOf(hash [sha256.Size]byte) (Caller, bool) { return t.secrets.Caller(hash) }

// CheckToken refuses a token that could be guessed. The error never holds it.
func CheckToken(value string) error {
	return login.Check(value, "make one with: openssl rand -hex 32")
}
