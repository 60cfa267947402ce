package app

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/auditstream/auditstream/admin"
	"github.com/auditstream/auditstream/producer/gateway"
)

// listedKeys are the keys of the configuration. In memory are their hashes alone.
type listedKeys []listedKey

type listedKey struct {
	hash   [sha256.Size]byte
	caller gateway.Caller
}

// keys reads the keys of the configuration.
func (g Gateway) keys(ctx context.Context) (listedKeys, error) {
	var keys listedKeys
	var errs []error
	for i, k := range g.Config.Gateway.Keys {
		value, err := k.Key.Resolve(ctx)
		if err == nil {
			err = admin.CheckToken(value)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("gateway.keys[%d]: key %q: %w", i, k.Name, err))
			continue
		}
		keys = append(keys, listedKey{sha256.Sum256([]byte(value)), gateway.Caller{Name: k.Name, Organizations: k.Organizations, Actions: k.Actions, Allow: k.Allow}})
	}
	return keys, errors.Join(errs...)
}

// Authenticate is whose key the request has. All hashes are compared, each as a whole.
func (k listedKeys) Authenticate(r *http.Request) (gateway.Caller, error) {
	scheme, key, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return gateway.Caller{}, gateway.Unauthorized("Send the API key in the header Authorization: Bearer KEY.")
	}
	hash := sha256.Sum256([]byte(strings.TrimSpace(key)))
	found := -1
	for i := range k {
		if subtle.ConstantTimeCompare(k[i].hash[:], hash[:]) == 1 {
			found = i
		}
	}
	if found < 0 {
		return gateway.Caller{}, gateway.Unauthorized("The API key is not valid.")
	}
	return k[found].caller, nil
}
