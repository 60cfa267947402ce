package producer

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"time"

	"github.com/auditstream/auditstream/internal/kafka/dial"
	"github.com/auditstream/auditstream/schema"
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"
)

// Defaults of Config.
const (
	DefaultTopic            = "audit.events"
	DefaultClientID         = "auditstream-producer"
	DefaultDeliveryTimeout  = 30 * time.Second
	DefaultMaxBufferedBytes = 64 << 20
)

// Config says where to publish and how long to try. Only Brokers is required.
type Config struct {
	Brokers  []string // host:port of some brokers; the others are learnt from them
	Topic    string   // default DefaultTopic; it has to exist
	ClientID string   // what brokers log and account for; default DefaultClientID

	TLS  *tls.Config // nil: no TLS
	SASL *SASL       // nil: no authentication

	// Validator checks each event; its zero value is the schema as published.
	Validator schema.Validator
	// Check says what else is wrong with an event whose envelope is valid, as schema/registry
	// does by the schema of its action; such an event is refused. nil: nothing is.
	Check func(*schema.Event) schema.Violations

	// DeliveryTimeout bounds how long the client tries to deliver an event; default
	// DefaultDeliveryTimeout, at least a second.
	DeliveryTimeout time.Duration

	// MaxBufferedBytes bounds the memory of events that Kafka has not acknowledged yet;
	// default DefaultMaxBufferedBytes. Publishing blocks while it is used up.
	MaxBufferedBytes int64

	Logger *zap.Logger // nil: no log

	// Metrics is where the figures of publishing are registered: events by outcome, the time
	// until they are acknowledged, and the buffer. Several clients share them. nil: none.
	Metrics prometheus.Registerer

	// Traces has publishing appear in the caller's traces: a span for each event, which its
	// record names (W3C Trace Context), so that delivery goes on in the same trace. A service
	// with OpenTelemetry gives otel.GetTracerProvider(). nil: no traces, and no cost.
	Traces trace.TracerProvider
}

// SASL is how the client authenticates.
type SASL struct {
	Mechanism string // plain, scram-sha-256 or scram-sha-512
	Username  string
	// Password is asked for the password at each authentication; it is neither kept nor logged.
	Password func(context.Context) (string, error)
}

// withDefaults fills in the defaults and reports every violation, joined.
func (c Config) withDefaults() (Config, error) {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf("producer.Config."+format, args...)) }
	if len(c.Brokers) == 0 {
		bad("Brokers: name at least one broker as host:port")
	}
	c.Topic = cmp.Or(c.Topic, DefaultTopic)
	c.ClientID = cmp.Or(c.ClientID, DefaultClientID)
	c.DeliveryTimeout = cmp.Or(c.DeliveryTimeout, DefaultDeliveryTimeout)
	c.MaxBufferedBytes = cmp.Or(c.MaxBufferedBytes, DefaultMaxBufferedBytes)
	if c.Logger == nil {
		c.Logger = zap.NewNop()
	}
	if c.DeliveryTimeout < time.Second {
		bad("DeliveryTimeout: %s is less than a second", c.DeliveryTimeout)
	}
	if c.MaxBufferedBytes < 0 {
		bad("MaxBufferedBytes: %d is negative", c.MaxBufferedBytes)
	}
	if s := c.SASL; s != nil {
		if s.Username == "" {
			bad("SASL.Username: required")
		}
		if s.Password == nil {
			bad("SASL.Password: required")
		}
	}
	return c, errors.Join(errs...)
}

// dial is how to connect.
func (c Config) dial() (dial.Config, error) {
	d := dial.Config{Brokers: c.Brokers, ClientID: c.ClientID, TLS: c.TLS, Log: c.Logger}
	if s := c.SASL; s != nil {
		var err error
		if d.SASL, err = dial.Mechanism(s.Mechanism, s.Username, s.Password); err != nil {
			return d, fmt.Errorf("producer.Config.SASL: %w", err)
		}
	}
	return d, nil
}
