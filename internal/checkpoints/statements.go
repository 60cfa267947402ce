package checkpoints

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/auditstream/auditstream/integrity"
	"github.com/auditstream/auditstream/internal/kafka"
)

// StatementKey is the key of a statement's record.
const StatementKey = "keys"

// Statement is a key statement that stands in Kafka.
type Statement struct {
	integrity.KeyStatement
	Signed []byte // the note
}

// maxStatements bounds what is kept of them: a key a day for ten years.
const maxStatements = 4096

// ReadStatements reads the statements about keys, in the order in which they were written,
// each once. What is none, or is not signed by the keys that it is about, is left out: it
// says nothing to anybody.
func ReadStatements(ctx context.Context, client *kgo.Client, topics kafka.Topics) ([]Statement, error) {
	var out []Statement
	reader := &kafka.Reader{Client: client}
	_, err := reader.ReadToEnd(ctx, topics.Checkpoints(), kafka.KeysPartition, func(r *kgo.Record) {
		if string(r.Key) != StatementKey || len(out) == maxStatements {
			return
		}
		st, err := integrity.OpenKeyStatement(r.Value)
		if err != nil || slices.ContainsFunc(out, func(have Statement) bool { return have.New == st.New && have.Old == st.Old }) {
			return
		}
		out = append(out, Statement{*st, r.Value})
	})
	if err != nil {
		return nil, fmt.Errorf("statements about keys: %w", err)
	}
	return out, nil
}

// Trusted are the keys that the first statement's key has handed its trust on to.
func Trusted(statements []Statement) (*integrity.Keys, error) {
	if len(statements) == 0 {
		return integrity.NewKeys()
	}
	root := statements[0].New
	if statements[0].Old != "" {
		root = statements[0].Old
	}
	keys, err := integrity.NewKeys(root)
	if err != nil {
		return nil, err
	}
	return keys, Follow(keys, statements)
}

// Follow has keys trust those too that statements, signed by one that they trust, have put in
// its place.
func Follow(keys *integrity.Keys, statements []Statement) error {
	signed := make([][]byte, len(statements))
	for i, st := range statements {
		signed[i] = st.Signed
	}
	return keys.AddAll(signed)
}

// writeTimeout bounds the writing of a statement.
const writeTimeout = 30 * time.Second

// WriteStatement writes a statement and returns when all replicas have it.
func WriteStatement(ctx context.Context, opts []kgo.Opt, topics kafka.Topics, signed []byte) error {
	client, err := kgo.NewClient(append(slices.Clone(opts),
		kgo.RequiredAcks(kgo.AllISRAcks()), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.RecordDeliveryTimeout(writeTimeout))...)
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	r := &kgo.Record{Topic: topics.Checkpoints(), Partition: kafka.KeysPartition, Key: []byte(StatementKey), Value: signed}
	if err := client.ProduceSync(ctx, r).FirstErr(); err != nil {
		return fmt.Errorf("write a statement about keys to %s: %w", topics.Checkpoints(), err)
	}
	return nil
}

// Prepare readies s for signing: it says in Kafka that the key is used, if nobody has yet,
// and knows until when an old one signs too. wrong is why those who trust the keys of before
// do not trust this one; it signs all the same.
func Prepare(ctx context.Context, opts []kgo.Opt, topics kafka.Topics, s *Signing) (ready *Signing, wrong, err error) {
	client, err := kgo.NewClient(opts...)
	if err != nil {
		return nil, nil, err
	}
	defer client.Close()
	statements, err := ReadStatements(ctx, client, topics)
	if err != nil {
		return nil, nil, err
	}
	first, err := s.Introduce(statements, time.Now())
	if err != nil {
		return nil, nil, err
	}
	if first != nil {
		if err := WriteStatement(ctx, opts, topics, first); err != nil {
			return nil, nil, err
		}
	}
	return s.After(statements), s.Linked(statements, time.Now()), nil
}

// ErrRotated says that a key has taken over already.
var ErrRotated = errors.New("the key has taken over from the old one already")

// Rotate writes the statement by which the key of s takes over from the old one.
func Rotate(ctx context.Context, opts []kgo.Opt, topics kafka.Topics, s *Signing, overlap time.Duration) (Statement, error) {
	client, err := kgo.NewClient(opts...)
	if err != nil {
		return Statement{}, err
	}
	defer client.Close()
	statements, err := ReadStatements(ctx, client, topics)
	if err != nil {
		return Statement{}, err
	}
	if i := s.handOver(statements); i >= 0 {
		return statements[i], ErrRotated
	}
	signed, err := s.Rotate(time.Now(), overlap)
	if err != nil {
		return Statement{}, err
	}
	if err := rotates(statements, s, signed); err != nil {
		return Statement{}, err
	}
	if err := WriteStatement(ctx, opts, topics, signed); err != nil {
		return Statement{}, err
	}
	st, err := integrity.OpenKeyStatement(signed)
	if err != nil {
		return Statement{}, err
	}
	return Statement{*st, signed}, nil
}

// rotates refuses a statement that those who verify would refuse: one of a key that was
// replaced before, or that is no successor of the first.
func rotates(statements []Statement, s *Signing, signed []byte) error {
	if len(statements) == 0 {
		return nil
	}
	keys, err := Trusted(statements)
	if err != nil {
		return err
	}
	if err := keys.Add(signed); err != nil {
		return fmt.Errorf("the key cannot take over from %s: %w", s.old.public, err)
	}
	return nil
}
