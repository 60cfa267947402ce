package checkpoints_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"github.com/auditstream/auditstream/config"
	"github.com/auditstream/auditstream/integrity"
	"github.com/auditstream/auditstream/internal/checkpoints"
	"github.com/auditstream/auditstream/internal/kafka"
	"github.com/auditstream/auditstream/internal/secret"
)

// rig is a Kafka with the topics, and keys in files.
type rig struct {
	opts   []kgo.Opt
	client *kgo.Client
	topics kafka.Topics
	dir    string
}

func newRig(t *testing.T) *rig {
	t.Helper()
	broker, err := kafka.StartEmbedded(kafka.EmbeddedConfig{})
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{topics: kafka.Topics{Partitions: 1, Replication: 1}, dir: t.TempDir()}
	if r.opts, err = (kafka.Config{Brokers: []string{broker.Addr()}}).Options(zap.NewNop()); err != nil {
		t.Fatal(err)
	}
	if r.client, err = kgo.NewClient(r.opts...); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		r.client.Close()
		if err := broker.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := kafka.EnsureTopics(t.Context(), kadm.NewClient(r.client), r.topics, zap.NewNop()); err != nil {
		t.Fatal(err)
	}
	return r
}

// key makes a key in a file and returns where it is, and the public one.
func (r *rig) key(t *testing.T, name string) (secret.Ref, string) {
	t.Helper()
	private, public, err := integrity.GenerateKey("audit.example.com")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(r.dir, name)
	if err := os.WriteFile(path, []byte(private+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return secret.Ref{File: path}, public
}

func load(t *testing.T, key, old secret.Ref) *checkpoints.Signing {
	t.Helper()
	s, err := checkpoints.Load(t.Context(), config.Integrity{Key: key, OldKey: old})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (r *rig) prepare(t *testing.T, s *checkpoints.Signing) *checkpoints.Signing {
	t.Helper()
	ready, _, err := checkpoints.Prepare(t.Context(), r.opts, r.topics, s)
	if err != nil {
		t.Fatal(err)
	}
	return ready
}

func (r *rig) statements(t *testing.T) []checkpoints.Statement {
	t.Helper()
	out, err := checkpoints.ReadStatements(t.Context(), r.client, r.topics)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func empty(at time.Time) *integrity.Checkpoint {
	origin := integrity.Origin{Stream: "acme", UID: "u", TopicID: "t", Epoch: 1, Revision: 1}.String()
	return &integrity.Checkpoint{Origin: origin, Chain: integrity.Begin(origin).Hash, Root: new(integrity.Tree).Root(), Time: at}
}

func TestKeysTakeOverFromEachOther(t *testing.T) {
	r := newRig(t)
	first, firstPublic := r.key(t, "first")
	second, secondPublic := r.key(t, "second")
	for range 2 { // each start says that the key is used, once
		r.prepare(t, load(t, first, secret.Ref{}))
	}
	if got := r.statements(t); len(got) != 1 || got[0].New != firstPublic || got[0].Old != "" {
		t.Fatalf("statements of the first key: %+v", got)
	}
	st, err := checkpoints.Rotate(t.Context(), r.opts, r.topics, load(t, second, first), time.Hour)
	if err != nil || st.New != secondPublic || st.Old != firstPublic || st.Until.Sub(st.Time) != time.Hour {
		t.Fatalf("Rotate = %+v, %v", st, err)
	}
	if again, err := checkpoints.Rotate(t.Context(), r.opts, r.topics, load(t, second, first), 5*time.Hour); !errors.Is(err, checkpoints.ErrRotated) || again.Until != st.Until {
		t.Errorf("the second time: %+v, %v", again, err)
	}

	both := r.prepare(t, load(t, second, first))
	if err := both.Linked(r.statements(t), time.Now()); err != nil {
		t.Errorf("the new key: %v", err)
	}
	keys, err := integrity.NewKeys(firstPublic) // what a receiver trusts
	if err != nil {
		t.Fatal(err)
	}
	var signed [][]byte
	for _, st := range r.statements(t) {
		signed = append(signed, st.Signed)
	}
	if err := keys.AddAll(signed); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		at         time.Time
		signatures int
	}{{st.Time.Add(time.Minute), 2}, {st.Until.Add(time.Minute), 1}} {
		text, err := both.Sign(empty(c.at))
		if err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(string(text), "\n— "); n != c.signatures {
			t.Errorf("at %s: %d signatures, want %d", c.at, n, c.signatures)
		}
		if _, err := keys.Open(text); err != nil {
			t.Errorf("at %s: %v", c.at, err)
		}
	}
}

func TestAKeyThatNobodyHandedTrustToIsTold(t *testing.T) {
	r := newRig(t)
	first, _ := r.key(t, "first")
	other, _ := r.key(t, "other")
	r.prepare(t, load(t, first, secret.Ref{}))
	s := r.prepare(t, load(t, other, secret.Ref{}))
	if err := s.Linked(r.statements(t), time.Now()); err == nil {
		t.Error("a key was put in place of another, without a word, and nothing is said")
	}
	// It is mended by a rotation, though the key has been in use.
	if _, err := checkpoints.Rotate(t.Context(), r.opts, r.topics, load(t, other, first), time.Hour); err != nil {
		t.Fatal(err)
	}
	if err := s.Linked(r.statements(t), time.Now()); err != nil {
		t.Error(err)
	}
}

func TestAKeyThatWasReplacedDoesNotComeBack(t *testing.T) {
	r := newRig(t)
	first, _ := r.key(t, "first")
	second, _ := r.key(t, "second")
	third, _ := r.key(t, "third")
	r.prepare(t, load(t, first, secret.Ref{}))
	if _, err := checkpoints.Rotate(t.Context(), r.opts, r.topics, load(t, second, first), time.Hour); err != nil {
		t.Fatal(err)
	}
	for name, s := range map[string]*checkpoints.Signing{"the first again": load(t, first, second), "another in its place": load(t, third, first)} {
		if _, err := checkpoints.Rotate(t.Context(), r.opts, r.topics, s, time.Hour); err == nil {
			t.Errorf("%s: a statement was written that everybody who verifies refuses", name)
		}
	}
	if n := len(r.statements(t)); n != 2 {
		t.Errorf("%d statements, want 2", n)
	}
}

func TestWhatIsNoStatementIsLeftOut(t *testing.T) {
	r := newRig(t)
	first, _ := r.key(t, "first")
	for _, value := range []string{"", "nonsense", "auditstream/keys\nnew x\n\n— x x\n"} {
		if err := checkpoints.WriteStatement(t.Context(), r.opts, r.topics, []byte(value)); err != nil {
			t.Fatal(err)
		}
	}
	r.prepare(t, load(t, first, secret.Ref{}))
	if n := len(r.statements(t)); n != 1 {
		t.Errorf("%d statements, want the one that is signed", n)
	}
}

func TestKeysOfAnotherFormAreRefusedAndNotShown(t *testing.T) {
	r := newRig(t)
	good, public := r.key(t, "good")
	const marker = "MARKER5f0c8a1e9b7d43c2"
	path := filepath.Join(r.dir, "bad")
	if err := os.WriteFile(path, []byte("PRIVATE+KEY+"+marker), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []config.Integrity{{Key: secret.Ref{File: path}}, {Key: good, OldKey: secret.Ref{File: path}}, {Key: good, OldKey: good}} {
		if _, err := checkpoints.Load(t.Context(), c); err == nil || strings.Contains(err.Error(), marker) {
			t.Errorf("Load = %v", err)
		}
	}
	private, err := os.ReadFile(good.File)
	if err != nil {
		t.Fatal(err)
	}
	s := load(t, good, secret.Ref{})
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		if shown := fmt.Sprintf(verb, s); strings.Contains(shown, strings.TrimSpace(string(private))) || !strings.Contains(shown, public) {
			t.Errorf("printed by %s it is %s", verb, shown)
		}
	}
	if s, err := checkpoints.Load(t.Context(), config.Integrity{}); s != nil || err != nil || s.Public() != nil {
		t.Errorf("without a key: %v, %v", s, err)
	}
}

// The command of a KMS prints what it has decrypted in base64: the key with its line's end.
func TestAKeyComesFromAKMSInBase64(t *testing.T) {
	r := newRig(t)
	good, public := r.key(t, "good")
	s := load(t, secret.Ref{Exec: []string{"base64", "-w", "0", good.File}}, secret.Ref{})
	if got := s.Public(); len(got) != 1 || got[0] != public {
		t.Errorf("the keys are %q, want %q", got, public)
	}
	_, err := checkpoints.Load(t.Context(), config.Integrity{Key: secret.Ref{Exec: []string{"echo", "bm8ga2V5IGF0IGFsbA=="}}})
	if err == nil || strings.Contains(err.Error(), "bm8ga2V5") {
		t.Errorf("base64 of something else: %v", err)
	}
}

func TestPublicKeysAreServed(t *testing.T) {
	r := newRig(t)
	first, firstPublic := r.key(t, "first")
	second, secondPublic := r.key(t, "second")
	r.prepare(t, load(t, first, secret.Ref{}))
	if _, err := checkpoints.Rotate(t.Context(), r.opts, r.topics, load(t, second, first), time.Hour); err != nil {
		t.Fatal(err)
	}
	answer := httptest.NewRecorder()
	publisher := &checkpoints.Publisher{Client: r.client, Topics: r.topics, Log: zap.NewNop()}
	publisher.ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), "GET", integrity.WellKnown, nil))
	var got integrity.Published
	if err := json.Unmarshal(answer.Body.Bytes(), &got); err != nil || answer.Code != 200 {
		t.Fatalf("%d %s: %v", answer.Code, answer.Body, err)
	}
	var public []string
	for _, k := range got.Keys {
		public = append(public, k.Key)
		if replaced := k.Until != nil; replaced != (k.Key == firstPublic) {
			t.Errorf("%+v: only the first was replaced", k)
		}
	}
	want := []string{firstPublic, secondPublic}
	slices.Sort(want)
	if !slices.Equal(public, want) {
		t.Errorf("keys %q, want %q", public, want)
	}
	statements, err := integrity.ParsePublished(answer.Body.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	keys, err := integrity.NewKeys(firstPublic)
	if err != nil {
		t.Fatal(err)
	}
	if err := keys.AddAll(statements); err != nil || !slices.Equal(keys.Public(), want) {
		t.Errorf("who trusts the first key trusts %q, %v", keys.Public(), err)
	}

	// Once it is known it is told, also while Kafka is away.
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := publisher.Published(ended); err != nil {
		t.Errorf("asked again at once: %v", err)
	}
}
