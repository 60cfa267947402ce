package producer_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/auditstream/auditstream/producer"
	"github.com/twmb/franz-go/pkg/kfake"
)

func TestCloseFlushes(t *testing.T) {
	t.Parallel()
	k := startKafka(t)
	p := newProducer(t, to(k))
	var accepted atomic.Int64
	for i := range 100 {
		p.PublishAsync(t.Context(), event(i), func(err error) {
			if err == nil {
				accepted.Add(1)
			}
		})
	}
	if err := p.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := accepted.Load(); got != 100 {
		t.Errorf("%d callbacks had been called with nil when Close returned, want 100", got)
	}
	if got := len(records(t, k)); got != 100 {
		t.Errorf("%d events in Kafka, want 100", got)
	}
	if err := p.Publish(t.Context(), event(1)); !errors.Is(err, producer.ErrClosed) || producer.Uncertain(err) {
		t.Errorf("after Close: got %v, want a certain ErrClosed", err)
	}
	if err := p.Close(t.Context()); err != nil {
		t.Errorf("the second Close: %v", err)
	}
}

func TestCloseWithoutTime(t *testing.T) {
	t.Parallel()
	k := startKafka(t)
	conf := to(k)
	conf.MaxBufferedBytes = 1
	p := newProducer(t, conf)
	if err := p.Publish(t.Context(), event(1)); err != nil {
		t.Fatal(err)
	}
	held, release := hold(t, k)
	defer release()
	var sent, waiting error
	p.PublishAsync(t.Context(), event(1), func(err error) { sent = err })
	<-held
	blocked := make(chan struct{})
	go func() {
		defer close(blocked)
		waiting = p.Publish(t.Context(), event(2))
	}()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := p.Close(ctx); !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "1 events are not acknowledged") {
		t.Errorf("Close: got %v", err)
	}
	if !errors.Is(sent, producer.ErrClosed) || !producer.Uncertain(sent) {
		t.Errorf("the event under way: got %v, want an uncertain ErrClosed", sent)
	}
	<-blocked
	if !errors.Is(waiting, producer.ErrClosed) || producer.Uncertain(waiting) {
		t.Errorf("the event that waited for room: got %v, want a certain ErrClosed", waiting)
	}
}

func TestFlushGivesUpWithItsContext(t *testing.T) {
	t.Parallel()
	k := startKafka(t)
	p := newProducer(t, to(k))
	if err := p.Publish(t.Context(), event(1)); err != nil {
		t.Fatal(err)
	}
	_, release := hold(t, k)
	done := make(chan error, 1)
	p.PublishAsync(t.Context(), event(1), func(err error) { done <- err })
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := p.Flush(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
	release()
	if err := p.Flush(t.Context()); err != nil {
		t.Error(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestConfig(t *testing.T) {
	t.Parallel()
	password := func(context.Context) (string, error) { return "x", nil }
	brokers := []string{"k:9092"}
	tests := []struct {
		name string
		conf producer.Config
		want string
	}{
		{"no brokers", producer.Config{}, "producer.Config.Brokers: name at least one broker as host:port"},
		{"time-out too short", producer.Config{Brokers: brokers, DeliveryTimeout: time.Millisecond}, "producer.Config.DeliveryTimeout: 1ms is less than a second"},
		{"negative buffer", producer.Config{Brokers: brokers, MaxBufferedBytes: -1}, "producer.Config.MaxBufferedBytes: -1 is negative"},
		{"unknown mechanism", producer.Config{Brokers: brokers, SASL: &producer.SASL{Mechanism: "x", Username: "u", Password: password}}, `producer.Config.SASL: SASL mechanism "x" is not one of`},
		{
			"every violation at once",
			producer.Config{SASL: &producer.SASL{}},
			"producer.Config.Brokers: name at least one broker as host:port\nproducer.Config.SASL.Username: required\nproducer.Config.SASL.Password: required",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := producer.New(tt.conf); err == nil || !strings.HasPrefix(err.Error(), tt.want) {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
}

func TestTLSAndSASL(t *testing.T) {
	t.Parallel()
	// A certificate for 127.0.0.1, as the standard library has one for tests.
	server := httptest.NewUnstartedServer(nil)
	server.StartTLS()
	cert, roots := server.TLS.Certificates[0], x509.NewCertPool()
	roots.AddCert(server.Certificate())
	server.Close()

	for name, broker := range map[string]string{"plain": "PLAIN", "scram-sha-256": "SCRAM-SHA-256", "scram-sha-512": "SCRAM-SHA-512"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := startKafka(t, kfake.TLS(&tls.Config{Certificates: []tls.Certificate{cert}}), kfake.EnableSASL(), kfake.Superuser(broker, "billing", "right"))
			password := "wrong"
			conf := producer.Config{
				Brokers: k.ListenAddrs(), DeliveryTimeout: quick, TLS: &tls.Config{RootCAs: roots},
				SASL: &producer.SASL{Mechanism: name, Username: "billing", Password: func(context.Context) (string, error) { return password, nil }},
			}
			p := newProducer(t, conf)
			err := p.Publish(t.Context(), event(1))
			// This broker hangs up; Apache Kafka says SASL_AUTHENTICATION_FAILED.
			if !errors.Is(err, producer.ErrUnavailable) || producer.Uncertain(err) || !strings.Contains(err.Error(), "connect to 127.0.0.1:") {
				t.Errorf("with a wrong password: got %v, want a certain ErrUnavailable that names the broker", err)
			}
			password, conf.DeliveryTimeout = "right", time.Minute
			p = newProducer(t, conf)
			if err := p.Publish(t.Context(), event(1)); err != nil {
				t.Errorf("with the right one: %v", err)
			}
			conf.TLS, conf.DeliveryTimeout = &tls.Config{}, quick
			if err := newProducer(t, conf).Publish(t.Context(), event(1)); err == nil || !strings.Contains(err.Error(), "certificate") {
				t.Errorf("a broker of unknown origin: got %v", err)
			}
		})
	}
}
