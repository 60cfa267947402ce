// Package integration holds the tests against real servers: Apache Kafka, a real S3 server,
// PostgreSQL, kafka-go as a second Kafka client that shares no code with ours, and OCSF's definitions as
// a library of others (in Python) has them. They are behind the
// build tag "integration"; "make integration" runs them.
package integration
