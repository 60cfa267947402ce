// Package servers starts, for tests, the real servers that auditstream works with, and
// auditstream itself as processes that can be killed, stopped and continued. Everything
// listens on 127.0.0.1 only, ends with the test, and ends as well when the test's process
// is killed. What a server or process said is shown when the test fails.
//
// It needs Linux; Kafka needs Java and Maven besides.
package servers
