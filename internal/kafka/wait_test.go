package kafka_test

import (
	"context"
	"errors"
	"net"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/auditstream/auditstream/internal/closedport"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/auditstream/auditstream/internal/kafka"
)

func TestWaitReadyUntilKafkaIsThere(t *testing.T) {
	port := closedport.Find(t)
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
	go func() { done <- kafka.WaitReady(t.Context(), client, log, nil) }()
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
	addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(closedport.Find(t)))
	client := newClient(t, addr)
	ctx, cancel := context.WithCancel(t.Context())
	core, _ := observer.New(zapcore.WarnLevel)
	log := zap.New(core, zap.Hooks(func(zapcore.Entry) error { cancel(); return nil }))
	told := ""
	err := kafka.WaitReady(ctx, client, log, func(why string) { told = why })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
	if want := "gave up waiting for Kafka at " + addr + " (connection refused)"; err != nil && !strings.HasPrefix(err.Error(), want) {
		t.Errorf("got %q, want %q", err, want)
	}
	if want := "waiting for Kafka at " + addr + ": connection refused"; told != want {
		t.Errorf("told %q, want %q", told, want)
	}
}

func TestWaitReadyUntilTheClusterHasABroker(t *testing.T) {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	var counted atomic.Bool
	cluster.ControlKey(int16(kmsg.Metadata), func(req kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		if counted.Load() {
			return nil, nil, false
		}
		return req.ResponseKind(), nil, true // a broker that the cluster does not count yet
	})
	var told []string
	err = kafka.WaitReady(t.Context(), newClient(t, cluster.ListenAddrs()[0]), zap.NewNop(), func(why string) {
		told = append(told, why)
		counted.Store(true)
	})
	if err != nil {
		t.Fatal(err)
	}
	if want := "names no broker"; len(told) != 1 || !strings.Contains(told[0], want) {
		t.Errorf("told %q, want one that contains %q", told, want)
	}
}
