// Package dial is what every Kafka client of ours has in common: how it connects, how
// long it waits, how it proves who it is and what it logs. It stands apart from package
// kafka so that services which import the producer do not link the embedded broker.
package dial

import (
	"context"
	"crypto/tls"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
	"github.com/twmb/franz-go/plugin/kzap"
	"go.uber.org/zap"
)

// The SASL mechanisms that Mechanism knows, as they are written in a configuration.
const (
	Plain       = "plain"
	ScramSHA256 = "scram-sha-256"
	ScramSHA512 = "scram-sha-512"
)

// Mechanisms lists the SASL mechanisms that Mechanism knows.
func Mechanisms() []string { return []string{Plain, ScramSHA256, ScramSHA512} }

// Config says how to reach Kafka.
type Config struct {
	Brokers  []string       // host:port, at least one
	ClientID string         // what brokers log and account for
	TLS      *tls.Config    // nil: no TLS
	SASL     sasl.Mechanism // nil: no authentication
	Log      *zap.Logger    // nil: no log
}

// Timeout bounds the making of a connection. A dead address is left after it, so that the
// next broker is asked well within every deadline that a user sees.
const Timeout = 5 * time.Second

// Metadata is fresh enough for new partitions and moved leaders to be found within seconds.
const (
	metadataMaxAge = 30 * time.Second
	metadataMinAge = 250 * time.Millisecond
)

// Options are the options of a client that connects as c says.
func Options(c Config) []kgo.Opt {
	opts := []kgo.Opt{
		kgo.SeedBrokers(c.Brokers...),
		kgo.MetadataMaxAge(metadataMaxAge),
		kgo.MetadataMinAge(metadataMinAge),
		// A connection that is cut at its first request is what a restarting broker looks
		// like; without this the request would fail although Kafka is back a second later.
		kgo.AlwaysRetryEOF(),
	}
	if c.ClientID != "" {
		opts = append(opts, kgo.ClientID(c.ClientID))
	}
	if c.TLS != nil {
		opts = append(opts, kgo.DialTLSConfig(c.TLS))
	}
	opts = append(opts, kgo.DialTimeout(Timeout))
	if c.SASL != nil {
		opts = append(opts, kgo.SASL(c.SASL))
	}
	if c.Log != nil {
		opts = append(opts, kgo.WithLogger(logger(c.Log)))
	}
	return opts
}

// logger lets the client's warnings through and hides its running commentary (franz-go
// logs each fetch session, connection and metadata update at info) unless log is at debug.
func logger(log *zap.Logger) kgo.Logger {
	core := log.Core()
	return kzap.New(log, kzap.LevelFn(func() kgo.LogLevel {
		switch {
		case core.Enabled(zap.DebugLevel):
			return kgo.LogLevelInfo
		case core.Enabled(zap.WarnLevel):
			return kgo.LogLevelWarn
		case core.Enabled(zap.ErrorLevel):
			return kgo.LogLevelError
		}
		return kgo.LogLevelNone
	}))
}

// Mechanism is the SASL mechanism of that name. The password is asked for at each
// authentication, so that one that was changed is used from the next connection on; it is
// neither kept nor logged.
func Mechanism(name, username string, password func(context.Context) (string, error)) (sasl.Mechanism, error) {
	auth := func(ctx context.Context) (scram.Auth, error) {
		pass, err := password(ctx)
		if err != nil {
			return scram.Auth{}, fmt.Errorf("password of Kafka user %q: %w", username, err)
		}
		return scram.Auth{User: username, Pass: pass}, nil
	}
	switch name {
	case ScramSHA256:
		return scram.Sha256(auth), nil
	case ScramSHA512:
		return scram.Sha512(auth), nil
	case Plain:
		return plain.Plain(func(ctx context.Context) (plain.Auth, error) {
			a, err := auth(ctx)
			return plain.Auth{User: a.User, Pass: a.Pass}, err
		}), nil
	}
	return nil, fmt.Errorf("SASL mechanism %q is not one of %q", name, Mechanisms())
}
