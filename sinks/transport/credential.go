package transport

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/auditstream/auditstream/internal/secret"
)

// credential keeps a secret between requests.
type credential struct {
	ref  secret.Ref
	lock chan struct{} // holds one element while somebody has the lock; a mutex that a context can end waiting for
	last string        // guarded by lock; "" if it has to be read
}

func newCredential(ref secret.Ref) *credential {
	return &credential{ref: ref, lock: make(chan struct{}, 1)}
}

// read returns the secret, without white space around it.
func (c *credential) read(ctx context.Context) (string, error) {
	select {
	case c.lock <- struct{}{}:
	case <-ctx.Done():
		return "", fmt.Errorf("secret %v: could not be read in time: %w", c.ref, ctx.Err())
	}
	defer func() { <-c.lock }()
	if c.last != "" {
		return c.last, nil
	}
	value, err := c.ref.Resolve(ctx)
	if err != nil {
		return "", err
	}
	value = strings.TrimSpace(value)
	if err := checkHeader(value); err != nil {
		return "", fmt.Errorf("secret %v: %w", c.ref, err)
	}
	c.last = value
	return value, nil
}

func (c *credential) forget() {
	c.lock <- struct{}{} // held by readers for a bounded time: Resolve ends with their contexts
	c.last = ""
	<-c.lock
}

// checkHeader refuses what cannot stand in a header, in words that do not repeat it.
func checkHeader(value string) error {
	for i := range len(value) {
		if value[i] < 0x21 || value[i] > 0x7e {
			return errors.New("holds a character other than printable ASCII: is it the token and nothing else?")
		}
	}
	return nil
}
