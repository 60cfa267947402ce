package transport

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/auditstream/auditstream/internal/secret"
)

// Secret is a secret that stands in headers, kept between requests. It is safe for
// concurrent use.
type Secret struct {
	ref    secret.Ref
	spaced bool          // spaces may stand in it
	lock   chan struct{} // holds one element while somebody has the lock; a mutex that a context can end waiting for
	last   string        // guarded by lock; "" if it has to be read
}

// NewSecret makes one of what ref refers to, which is read when it is first needed.
func NewSecret(ref secret.Ref) *Secret {
	return &Secret{ref: ref, lock: make(chan struct{}, 1)}
}

// Read returns the secret, without white space around it.
func (c *Secret) Read(ctx context.Context) (string, error) {
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
	if err := checkHeader(value, c.spaced); err != nil {
		return "", fmt.Errorf("secret %v: %w", c.ref, err)
	}
	c.last = value
	return value, nil
}

// Forget makes the next Read read the secret anew: it is called after an answer that may
// mean that the present one is wrong, so that a mended one counts without a restart.
func (c *Secret) Forget() {
	c.lock <- struct{}{} // held by readers for a bounded time: Resolve ends with their contexts
	c.last = ""
	<-c.lock
}

// checkHeader refuses what cannot stand in a header, in words that do not repeat it.
func checkHeader(value string, spaced bool) error {
	for i := range len(value) {
		if c := value[i]; (c < 0x21 || c > 0x7e) && (c != ' ' || !spaced) {
			return errors.New("holds a character other than printable ASCII: is it the token and nothing else?")
		}
	}
	return nil
}
