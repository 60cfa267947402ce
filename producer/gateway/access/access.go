// Package access says who may publish through the gateway, and how much: API keys, kept as
// hashes, bound to organizations, actions, times and client certificates, and rates of keys and
// organizations.
package access

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/auditstream/auditstream/internal/login"
	"github.com/auditstream/auditstream/producer/gateway"
)

// Key is a key that callers show. Several may have one name: the old one and the new one are
// both valid while one takes the other's place.
type Key struct {
	gateway.Caller
	Place        string    // where it is configured: gateway.keys[0]
	Expires      time.Time // from then on it is not valid; zero: it has no end
	Certificates []string  // names of which the caller's certificate has to have one; empty: none is needed
	// Read reads the key, or its hash as [HashOf] writes it; it may have changed since.
	Read func(context.Context) (string, error)
}

// Config is what Keys need.
type Config struct {
	Keys    []Key
	Metrics prometheus.Registerer // nil: none
	Log     *zap.Logger
}

// Keys are the keys that are valid. In memory are their hashes alone.
type Keys struct {
	secrets  *login.Secrets[*holder]
	failures login.Failures
}

// holder is whose key it is.
type holder struct {
	Key
	used prometheus.Counter
}

// New reads all keys. An error says which one cannot be read, or could be guessed. There may be
// none, where events come in by other ways only: then nobody has a valid key.
func New(ctx context.Context, c Config) (*Keys, error) {
	used := prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: "auditstream", Subsystem: "gateway", Name: "key_requests_total",
		Help: "Requests that came with a key, by its name and by its place among gateway.keys.",
	}, []string{"key", "place"})
	expires := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Namespace: "auditstream", Subsystem: "gateway", Name: "key_expiry_timestamp_seconds",
		Help: "When a key ends to be valid, by its name and by its place among gateway.keys. Of keys without an end there is none.",
	}, []string{"key", "place"})
	secrets := make([]login.Secret[*holder], len(c.Keys))
	for i, k := range c.Keys {
		h := &holder{Key: k, used: used.WithLabelValues(k.Name, k.Place)}
		if !k.Expires.IsZero() {
			expires.WithLabelValues(k.Name, k.Place).Set(float64(k.Expires.Unix()))
			if !time.Now().Before(k.Expires) {
				c.Log.Warn("a key has expired: take it out of the configuration", zap.String("key", k.Name), zap.String("place", k.Place), zap.Time("expired", k.Expires))
			}
		}
		secrets[i] = login.Secret[*holder]{Label: fmt.Sprintf("%s: key %q", k.Place, k.Name), Caller: h, Read: func(ctx context.Context) (login.Hash, error) {
			text, err := k.Read(ctx)
			if err != nil {
				return login.Hash{}, err
			}
			return parse(text)
		}}
	}
	s, err := login.New(ctx, secrets, c.Log)
	if err != nil {
		return nil, err
	}
	if c.Metrics != nil {
		if err := errors.Join(c.Metrics.Register(used), c.Metrics.Register(expires)); err != nil {
			return nil, err
		}
	}
	return &Keys{secrets: s}, nil
}

// Watch reads the keys again until ctx ends. One that cannot be read any more is valid no more,
// from then on until it can be.
func (k *Keys) Watch(ctx context.Context) { k.secrets.Watch(ctx) }

// Reload reads the keys once more.
func (k *Keys) Reload(ctx context.Context) { k.secrets.Reload(ctx) }

// Authenticate is whose request it is. A key stands in the header Authorization, once, and
// nowhere else: what stands in an address is kept by proxies, histories and logs. A valid key is
// let through however many failures came from the same address.
func (k *Keys) Authenticate(r *http.Request) (gateway.Caller, error) {
	h, refused := k.holder(r)
	if refused == nil {
		h.used.Inc()
		return h.Caller, nil
	}
	if !k.failures.Add(login.Host(r), time.Now()) {
		return gateway.Caller{}, &gateway.Error{
			Status: http.StatusTooManyRequests, Code: gateway.CodeRate, Message: "Too many requests.", RetryAfter: time.Minute,
			Remedy: "Too many requests without a valid API key have come from this address. " + refused.Remedy,
		}
	}
	return gateway.Caller{}, refused
}

// holder is whose valid key a request has, or why it has none.
func (k *Keys) holder(r *http.Request) (*holder, *gateway.Error) {
	if inAddress(r) {
		return nil, gateway.Unauthorized("A key does not belong into the address, where others keep it: make a new one, and send it in the header Authorization.")
	}
	values := r.Header.Values("Authorization")
	if len(values) != 1 {
		return nil, gateway.Unauthorized("Send the API key in one header Authorization: Bearer KEY.")
	}
	scheme, key, _ := strings.Cut(values[0], " ")
	key = strings.TrimSpace(key)
	if !strings.EqualFold(scheme, "Bearer") || key == "" || len(key) > login.MaxLength {
		return nil, gateway.Unauthorized("The header Authorization has to be: Bearer KEY.")
	}
	if checkForm(key) != nil {
		return nil, gateway.Unauthorized("The API key is cut off, or has a slip in it: its check sum does not fit.")
	}
	h, known := k.secrets.Caller(login.HashOf(key))
	if !known {
		return nil, gateway.Unauthorized("The API key is not valid.")
	}
	// What is said from here on, only who has the key hears.
	now := time.Now()
	if !h.Expires.IsZero() && !now.Before(h.Expires) {
		return nil, gateway.Unauthorized("The API key has expired, at " + h.Expires.UTC().Format(time.RFC3339) + ".")
	}
	if len(h.Certificates) > 0 {
		if remedy := certified(r, h.Certificates, now); remedy != "" {
			return nil, gateway.Unauthorized(remedy)
		}
	}
	return h, nil
}

// inAddress says whether a key stands in the address.
func inAddress(r *http.Request) bool {
	if r.URL.RawQuery == "" {
		return false
	}
	for name := range r.URL.Query() {
		switch strings.ToLower(name) {
		case "key", "token", "access_token", "api_key", "apikey", "authorization":
			return true
		}
	}
	return false
}

// certified is what is wrong with the caller's certificate; "" if it has one of names. The
// handshake has proved whose it is; a connection lasts longer than that, and perhaps than the
// certificate.
func certified(r *http.Request, names []string, now time.Time) string {
	if r.TLS == nil || len(r.TLS.VerifiedChains) == 0 {
		return "The API key is valid with a client certificate only."
	}
	cert := r.TLS.PeerCertificates[0]
	if now.After(cert.NotAfter) {
		return "The client certificate has expired since the connection was opened: open a new one."
	}
	if !slices.ContainsFunc(certificateNames(cert), func(name string) bool { return slices.Contains(names, name) }) {
		return "The API key is valid with the client certificate of another name only."
	}
	return ""
}

// certificateNames are the names that a certificate is issued to. What its subject says is none
// of them: authorities check alternative names.
func certificateNames(cert *x509.Certificate) []string {
	names := slices.Concat(cert.DNSNames, cert.EmailAddresses)
	for _, u := range cert.URIs {
		names = append(names, u.String())
	}
	for _, ip := range cert.IPAddresses {
		names = append(names, ip.String())
	}
	return names
}
