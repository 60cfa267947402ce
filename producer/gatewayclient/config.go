package gatewayclient

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/auditstream/auditstream/schema"
)

// Defaults of Config.
const (
	DefaultDeliveryTimeout  = 30 * time.Second
	DefaultMaxBufferedBytes = 16 << 20
	DefaultRequests         = 8
)

// Config says where the gateway is and how long to try. URL and Key are required.
type Config struct {
	URL string // of the gateway, as in https://audit.example; http only where nobody listens in
	// Key is asked for the API key before each request, so that a new one is in use at once;
	// it is neither kept nor logged.
	Key func(context.Context) (string, error)

	// HTTP sends the requests; nil: a client of our own. It should follow no redirects, which
	// would take the key elsewhere.
	HTTP *http.Client

	// Validator and Check are as in producer.Config: what they refuse is not sent. The gateway
	// checks for itself.
	Validator schema.Validator
	Check     func(*schema.Event) schema.Violations

	DeliveryTimeout  time.Duration // how long an event is tried; default DefaultDeliveryTimeout, at least a second
	MaxBufferedBytes int64         // of events that are not answered yet; default DefaultMaxBufferedBytes. Publishing blocks while it is used up

	// Requests are under way at a time, at most; default DefaultRequests. Each organization has
	// one of them, so that its events keep their order.
	Requests int
}

func (c Config) withDefaults() (Config, error) {
	var errs []error
	bad := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("gatewayclient.Config."+format, args...))
	}
	switch u, err := url.Parse(c.URL); {
	case c.URL == "":
		bad("URL: required")
	case err != nil, u.Scheme != "http" && u.Scheme != "https", u.Host == "", u.User != nil, u.RawQuery != "", u.Fragment != "":
		// Without the URL itself, which may hold a password.
		bad("URL: has to be http:// or https://, a host, and a path at most")
	}
	if c.Key == nil {
		bad("Key: required")
	}
	c.DeliveryTimeout = cmp.Or(c.DeliveryTimeout, DefaultDeliveryTimeout)
	c.MaxBufferedBytes = cmp.Or(c.MaxBufferedBytes, DefaultMaxBufferedBytes)
	c.Requests = cmp.Or(c.Requests, DefaultRequests)
	if c.DeliveryTimeout < time.Second {
		bad("DeliveryTimeout: %s is less than a second", c.DeliveryTimeout)
	}
	if c.MaxBufferedBytes < 0 {
		bad("MaxBufferedBytes: %d is negative", c.MaxBufferedBytes)
	}
	if c.Requests < 1 {
		bad("Requests: %d is less than 1", c.Requests)
	}
	if c.HTTP == nil {
		transport := &http.Transport{
			Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true,
			MaxIdleConnsPerHost: c.Requests, IdleConnTimeout: 90 * time.Second, TLSHandshakeTimeout: 10 * time.Second,
		}
		c.HTTP = &http.Client{
			Transport:     transport,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		}
	}
	return c, errors.Join(errs...)
}
