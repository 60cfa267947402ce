// Package integration holds the tests against real servers: Apache Kafka, a real S3 server,
// and kafka-go as a second Kafka client that shares no code with ours. They are behind the
// build tag "integration"; "make integration" runs them.
package integration
