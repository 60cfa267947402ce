package app

import (
	"errors"
	"testing"
	"testing/synctest"

	"go.uber.org/zap"

	"github.com/auditstream/auditstream/internal/kafka"
)

// A cluster that is starting has few brokers at first: a process that came before it waits.
func TestAProcessWaitsForBrokersThatAreStillStarting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tries := 0
		err := gathered(t.Context(), zap.NewNop(), nil, func() error {
			if tries++; tries < 4 {
				return &kafka.TooFewBrokers{Topics: []string{"audit.events"}, Replication: 3, Brokers: tries - 1}
			}
			return nil
		})
		if err != nil || tries != 4 {
			t.Errorf("%v after %d tries", err, tries)
		}
	})
}

// One that has as many brokers as it will ever have is told of in the end.
func TestAProcessDoesNotWaitForEverForBrokersThatNobodyStarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		told := ""
		err := gathered(t.Context(), zap.NewNop(), func(why string) { told = why }, func() error {
			return &kafka.TooFewBrokers{Topics: []string{"audit.events"}, Replication: 3, Brokers: 1}
		})
		if _, few := errors.AsType[*kafka.TooFewBrokers](err); !few {
			t.Errorf("got %v", err)
		}
		if told == "" {
			t.Error("nobody was told what it waits for")
		}
	})
}
