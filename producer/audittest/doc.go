// Package audittest helps services to test that they publish the audit events that they
// should.
//
// [Recorder] takes the place of the client: it checks events as the client does and keeps
// what it accepted. [StartKafka] is a Kafka in the test's own process, for tests of the
// whole way. [Golden] compares events with a file.
//
// Services see the client through an interface of their own, which a Recorder and a
// *producer.Client both are:
//
//	type Publisher interface {
//		Publish(ctx context.Context, events ...*schema.Event) error
//	}
package audittest
