//go:build integration

package integration

import (
	"bytes"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/auditstream/auditstream/integration/servers"
	"github.com/auditstream/auditstream/producer"
)

// Checkpoints that are in the archive stay there: delivery's credentials, with the rights that
// the documentation gives them, can neither take them away nor put others in their place, and
// before the retention ends nor can the owner of the bucket.
func TestArchivedCheckpointsAreOutOfReach(t *testing.T) {
	broker := servers.StartKafka(t, 1)
	n := &notary{dir: t.TempDir(), to: startDestinations(t), vault: newVault(t), client: newClient(t, kgo.SeedBrokers(broker.Addrs...))}
	run := delivery{binary: servers.BuildBinary(t), brokers: broker.Addrs, replication: 1, destinations: n.to, vault: n.vault}
	run.integrity, n.public = n.makeKey(t, run.binary, "first")
	p := run.start(t, "a")
	servers.Await(t, time.Minute, "the process delivers", func() bool { p.Running(t); return p.ready(t) })
	f := newFeed(newRand(t), 200, 5)
	f.publish(t, newProducer(t, producer.Config{Brokers: broker.Addrs}), len(f.events))
	n.to.awaitAll(t, f)
	servers.Await(t, 2*time.Minute, "a checkpoint with events in the archive", func() bool {
		p.Running(t)
		return slices.ContainsFunc(slices.Collect(maps.Values(n.vault.notes(t))), func(note []byte) bool { return parsed(t, note).Size > 0 })
	})
	t.Run("doctor sees the lock", func(t *testing.T) {
		if said := n.doctor(t, run); !strings.Contains(said, "each object is locked (compliance) for 2d") || !strings.Contains(said, "it can be written there") {
			t.Errorf("doctor says:\n%s", said)
		}
	})
	p.end(t)

	kept := n.vault.notes(t)
	key := slices.Sorted(maps.Keys(kept))[0]
	bucket := &n.vault.store.Bucket
	owner := n.vault.store.Client()
	first, err := owner.HeadObject(t.Context(), &awss3.HeadObjectInput{Bucket: bucket, Key: &key})
	if err != nil {
		t.Fatal(err)
	}
	if first.ObjectLockMode != types.ObjectLockModeCompliance || time.Until(*first.ObjectLockRetainUntilDate) < 47*time.Hour {
		t.Errorf("%s is locked %s until %v, want two days of compliance", key, first.ObjectLockMode, first.ObjectLockRetainUntilDate)
	}
	for name, client := range map[string]*awss3.Client{
		"delivery's credentials": n.vault.store.ClientOf(n.vault.accessKey, n.vault.secretKey), "the bucket's owner": owner,
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := client.DeleteObject(t.Context(), &awss3.DeleteObjectInput{Bucket: bucket, Key: &key, VersionId: first.VersionId}); err == nil {
				t.Error("the object was deleted")
			}
			bypass := true
			if _, err := client.DeleteObject(t.Context(), &awss3.DeleteObjectInput{Bucket: bucket, Key: &key, VersionId: first.VersionId, BypassGovernanceRetention: &bypass}); err == nil {
				t.Error("the object was deleted, and the lock passed over")
			}
			soon := time.Now().Add(time.Minute)
			if _, err := client.PutObjectRetention(t.Context(), &awss3.PutObjectRetentionInput{
				Bucket: bucket, Key: &key, VersionId: first.VersionId,
				Retention: &types.ObjectLockRetention{Mode: types.ObjectLockRetentionModeCompliance, RetainUntilDate: &soon},
			}); err == nil {
				t.Error("the retention was made shorter")
			}
			// Where there are versions a PUT makes another: that of before stays, and is found.
			_, err := client.PutObject(t.Context(), &awss3.PutObjectInput{Bucket: bucket, Key: &key, Body: strings.NewReader("forged")})
			t.Logf("a PUT of the same key: %v", err)
			got, err := owner.GetObject(t.Context(), &awss3.GetObjectInput{Bucket: bucket, Key: &key, VersionId: first.VersionId})
			if err != nil {
				t.Fatal(err)
			}
			var body bytes.Buffer
			if _, err := body.ReadFrom(got.Body); err != nil || !bytes.Equal(body.Bytes(), kept[key]) {
				t.Errorf("%s is %q now, %v", key, body.Bytes(), err)
			}
		})
	}
	t.Run("delivery's credentials read nothing", func(t *testing.T) {
		client := n.vault.store.ClientOf(n.vault.accessKey, n.vault.secretKey)
		if _, err := client.GetObject(t.Context(), &awss3.GetObjectInput{Bucket: bucket, Key: &key}); err == nil {
			t.Error("they can read what is there")
		}
		if _, err := client.DeleteObject(t.Context(), &awss3.DeleteObjectInput{Bucket: bucket, Key: &key}); err == nil {
			t.Error("they can hide what is there")
		}
	})
	t.Run("doctor warns of a bucket without a lock", func(t *testing.T) {
		open := run
		open.vault = &vault{store: n.to.archive.store, accessKey: n.to.archive.store.AccessKey, secretKey: n.to.archive.store.SecretKey}
		if said := n.doctor(t, open); !strings.Contains(said, "the bucket has no Object Lock") {
			t.Errorf("doctor says:\n%s", said)
		}
	})
}

// doctor is what the command says of an installation, whatever its exit code.
func (n *notary) doctor(t *testing.T, run delivery) string {
	t.Helper()
	cmd := n.prepare(t, run, "doctor", "--destinations", "--write")
	said, _ := cmd.CombinedOutput() // other findings may be there, and are not asked about
	return string(said)
}
