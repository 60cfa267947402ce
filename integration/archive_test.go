//go:build integration

package integration

import (
	"bufio"
	"compress/gzip"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/auditstream/auditstream/integration/servers"
)

// archive reads what is in a bucket. An object never changes, so each is read once.
type archive struct {
	store   *servers.S3
	objects map[string]archived
}

// archived is one object.
type archived struct {
	ids      []string          // of its events, in their order
	metadata map[string]string // as its writer set it
	modified time.Time         // as the server has it, to the second
}

func newArchive(store *servers.S3) *archive {
	return &archive{store: store, objects: map[string]archived{}}
}

// refresh reads the objects that are new.
func (a *archive) refresh(t *testing.T) {
	t.Helper()
	client := a.store.Client()
	pages := awss3.NewListObjectsV2Paginator(client, &awss3.ListObjectsV2Input{Bucket: &a.store.Bucket})
	for pages.HasMorePages() {
		page, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range page.Contents {
			if _, ok := a.objects[*o.Key]; !ok && strings.HasSuffix(*o.Key, ".ndjson.gz") {
				read := a.read(t, client, *o.Key)
				read.modified = *o.LastModified
				a.objects[*o.Key] = read
			}
		}
	}
}

func (a *archive) read(t *testing.T, client *awss3.Client, key string) archived {
	t.Helper()
	got, err := client.GetObject(t.Context(), &awss3.GetObjectInput{Bucket: &a.store.Bucket, Key: &key})
	if err != nil {
		t.Fatalf("%s: %v", key, err)
	}
	defer got.Body.Close() //nolint:errcheck // read to its end
	unpacked, err := gzip.NewReader(got.Body)
	if err != nil {
		t.Fatalf("%s: %v", key, err)
	}
	object := archived{metadata: got.Metadata}
	lines := bufio.NewScanner(unpacked)
	lines.Buffer(nil, 4<<20)
	for lines.Scan() {
		object.ids = append(object.ids, idOf(t, lines.Bytes()))
	}
	if err := lines.Err(); err != nil {
		t.Fatalf("%s: %v", key, err)
	}
	return object
}

// ids are those of all events, object after object. Their names sort the objects of one
// chain by slot.
func (a *archive) ids() []string {
	var ids []string
	for _, key := range slices.Sorted(maps.Keys(a.objects)) {
		ids = append(ids, a.objects[key].ids...)
	}
	return ids
}

// judgeChains checks that the objects of each stream, epoch, partition and day form one
// chain: the first slot is 0, and every other is the next of the object before. So a
// reader who knows nothing of Kafka sees that no object is missing between.
func (a *archive) judgeChains(t *testing.T) {
	t.Helper()
	next := map[string]string{}
	for _, key := range slices.Sorted(maps.Keys(a.objects)) {
		object := a.objects[key]
		chain := key[:strings.LastIndexByte(strings.TrimSuffix(key, ".ndjson.gz"), '.')]
		want, begun := next[chain]
		if !begun {
			want = "0"
		}
		if slot := object.metadata["auditstream-slot"]; slot != want {
			t.Errorf("%s has slot %s, want %s", key, slot, want)
		}
		if count := object.metadata["auditstream-count"]; count != strconv.Itoa(len(object.ids)) {
			t.Errorf("%s claims %s events and holds %d", key, count, len(object.ids))
		}
		next[chain] = object.metadata["auditstream-next"]
	}
	t.Logf("S3: %d objects in %d chains", len(a.objects), len(next))
}
