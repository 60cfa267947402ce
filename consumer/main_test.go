package consumer_test

import (
	"testing"

	"go.uber.org/goleak"
)

// Whoever starts a goroutine waits for it: none is left when all tests have ended.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
