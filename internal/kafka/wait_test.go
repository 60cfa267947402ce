package kafka_test

import (
	"context"
	"errors"
	"net"
	"strconv"
	"strings"
	"testing"

	"github.com/auditstream/auditstream/internal/kafka"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
)

// freePort is one that nothing listens on.
func freePort(t *testing.T) int {
	t.Helper()
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() //nolint:errcheck // nothing was written
	return l.Addr().(*net.TCPAddr).Port
}

func TestWaitReadyUntilKafkaIsThere(t *testing.T) {
	port := freePort(t)
	addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	client := newClient(t, addr)
	// The broker is started when we have said that we wait for it.
	waiting := make(chan struct{}, 1)
	core, logs := observer.New(zapcore.WarnLevel)
	log := zap.New(core, zap.Hooks(func(zapcore.Entry) error {
		select {
		case waiting <- struct{}{}:
		default:
		}
		return nil
	}))
	done := make(chan error, 1)
	go func() { done <- kafka.WaitReady(t.Context(), client, log) }()
	<-waiting
	startBroker(t, kafka.EmbeddedConfig{Port: port})
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if got, want := logs.All()[0].Message, "waiting for Kafka at "+addr+": connection refused"; got != want {
		t.Errorf("logged %q, want %q", got, want)
	}
}

func TestWaitReadyUntilTheContextEnds(t *testing.T) {
	addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(freePort(t)))
	client := newClient(t, addr)
	ctx, cancel := context.WithCancel(t.Context())
	core, _ := observer.New(zapcore.WarnLevel)
	log := zap.New(core, zap.Hooks(func(zapcore.Entry) error { cancel(); return nil }))
	err := kafka.WaitReady(ctx, client, log)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
	if want := "gave up waiting for Kafka at " + addr + " (connection refused)"; err != nil && !strings.HasPrefix(err.Error(), want) {
		t.Errorf("got %q, want %q", err, want)
	}
}
