//go:build integration

package integration

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"github.com/auditstream/auditstream/integration/servers"
	"github.com/auditstream/auditstream/internal/kafka"
	"github.com/auditstream/auditstream/internal/secret"
	"github.com/auditstream/auditstream/producer"
)

// Every way to log in that we offer, with and without TLS, to publish and to read.
func TestLoggingInToKafka(t *testing.T) {
	broker := servers.NewKafka(t, servers.KafkaConfig{Brokers: 1, Secure: true})
	broker.Start(t)
	t.Setenv("KAFKA_PASSWORD", "alice-secret")
	t.Setenv("WRONG_PASSWORD", "bob-secret")
	for _, mechanism := range []string{"plain", "scram-sha-256", "scram-sha-512"} {
		for _, transport := range []struct {
			name  string
			addrs []string
			tls   *kafka.TLS
		}{
			{"TLS", broker.TLSAddrs, &kafka.TLS{CAFile: broker.CAFile}},
			{"no TLS", broker.SASLAddrs, nil},
		} {
			t.Run(mechanism+" over "+transport.name, func(t *testing.T) {
				config := kafka.Config{Brokers: transport.addrs, TLS: transport.tls, SASL: &kafka.SASL{
					Mechanism: mechanism, Username: "alice", Password: secret.Ref{Env: "KAFKA_PASSWORD"},
				}}
				publishAndRead(t, config)
				config.SASL.Password = secret.Ref{Env: "WRONG_PASSWORD"}
				refusesPassword(t, config)
			})
		}
	}

	t.Run("a certificate of an unknown authority is refused", func(t *testing.T) {
		config := kafka.Config{Brokers: broker.TLSAddrs, TLS: &kafka.TLS{}, SASL: &kafka.SASL{
			Mechanism: "plain", Username: "alice", Password: secret.Ref{Env: "KAFKA_PASSWORD"},
		}}
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		if err := newClient(t, clientOptions(t, config)...).Ping(ctx); err == nil {
			t.Error("connected to a broker that nobody vouches for")
		}
	})
}

func clientOptions(t *testing.T, config kafka.Config) []kgo.Opt {
	t.Helper()
	opts, err := config.Options(zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	return opts
}

func publishAndRead(t *testing.T, config kafka.Config) {
	t.Helper()
	topics := kafka.Topics{Partitions: 2, Replication: 1}
	client := newClient(t, append(clientOptions(t, config), kgo.ConsumeTopics(topics.Events()))...)
	if err := kafka.EnsureTopics(t.Context(), kadm.NewClient(client), topics, zap.NewNop()); err != nil {
		t.Fatal(err)
	}
	tlsConfig, err := config.TLS.Client()
	if err != nil {
		t.Fatal(err)
	}
	events := newFeed(newRand(t), 10, 2)
	events.publish(t, newProducer(t, producer.Config{
		Brokers: config.Brokers, Topic: topics.Events(), TLS: tlsConfig,
		SASL: &producer.SASL{Mechanism: config.SASL.Mechanism, Username: config.SASL.Username, Password: config.SASL.Password.Resolve},
	}), 10)
	found := map[string]bool{}
	for len(found) < 10 {
		fetches := client.PollFetches(t.Context())
		if err := fetches.Err(); err != nil {
			t.Fatal(err)
		}
		fetches.EachRecord(func(r *kgo.Record) { found[idOf(t, r.Value)] = true })
	}
}

func refusesPassword(t *testing.T, config kafka.Config) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	err := newClient(t, clientOptions(t, config)...).Ping(ctx)
	if err == nil {
		t.Error("logged in with a wrong password")
	}
	if errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a wrong password is not reported but tried until the end of time: %v", err)
	}
}
