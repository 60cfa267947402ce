package producer

import (
	"encoding/binary"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/auditstream/auditstream/schema"
)

// Headers of an event's record.
const (
	// HeaderVersion names the version of the record's format.
	HeaderVersion = "version"
	// HeaderEncoding says that the value is in canonical form, which spares delivery to
	// decode it. A record without it is decoded, validated in full and encoded again.
	HeaderEncoding = "encoding"
	// Version is the version that this package writes.
	Version = "1"
	// EncodingJCS is canonical JSON after RFC 8785.
	EncodingJCS = "jcs"
)

// Record is the record of an event, as Publish would send it, for programs that write it in
// a transaction of their own. It sets the event's ID if it has none. The error lists every
// violation.
func Record(topic string, event *schema.Event, valid schema.Validator) (*kgo.Record, error) {
	if event.ID == "" {
		event.ID = schema.NewID(time.Now())
	}
	value, violations := valid.Encode(nil, event)
	if err := violations.Err(); err != nil {
		return nil, err
	}
	return newRecord(topic, event.OrganizationID, value), nil
}

// newRecord is the record of an event in its final form.
func newRecord(topic, organization string, canonical []byte) *kgo.Record {
	return &kgo.Record{
		Topic: topic,
		Key:   []byte(organization),
		Value: canonical,
		Headers: []kgo.RecordHeader{
			{Key: HeaderVersion, Value: []byte(Version)},
			{Key: HeaderEncoding, Value: []byte(EncodingJCS)},
		},
	}
}

// batchOverhead is what a batch needs beside its records, in bytes: 61 of the batch's
// header (Kafka protocol, RecordBatch v2) and 4 of its length in the request, which the
// client library counts too.
const batchOverhead = 61 + 4

// wireSize is what r needs as the only one of a batch, in bytes, before compression.
// Kafka compares max.message.bytes with the size of a batch.
func wireSize(r *kgo.Record) int {
	size := 1 + // attributes
		1 + 1 + // timestamp and offset, relative to the batch's: both 0
		bytesSize(len(r.Key)) + bytesSize(len(r.Value)) + varintSize(len(r.Headers))
	for _, h := range r.Headers {
		size += bytesSize(len(h.Key)) + bytesSize(len(h.Value))
	}
	return batchOverhead + varintSize(size) + size
}

func bytesSize(n int) int { return varintSize(n) + n }

// varintSize is the size of n in Kafka's zigzag encoding.
func varintSize(n int) int {
	var buf [binary.MaxVarintLen64]byte
	return binary.PutVarint(buf[:], int64(n))
}

// memorySize is what a record is counted with against the buffer's bound: its bytes, and a
// round figure for the structures around it in this package and the client library.
func memorySize(r *kgo.Record, bound int64) int64 {
	const structures = 512
	// What is larger than the whole buffer may pass when it has the buffer for itself.
	return min(int64(len(r.Key)+len(r.Value)+structures), bound)
}
