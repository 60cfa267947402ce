package verify

import (
	"context"
	"encoding/xml"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/auditstream/auditstream/integrity"
)

// bucketServer is as much of S3 as a reader sees, and refuses what it is told to.
type bucketServer struct {
	objects kept
	page    int // keys of a page of a listing

	mu     sync.Mutex
	refuse func(r *http.Request, nth int) *refusal // guarded by mu
	heard  map[string]int                          // requests by path; guarded by mu
}

// refusal is an answer in S3's form.
type refusal struct {
	XMLName xml.Name `xml:"Error"`
	Code    string
	Message string
	status  int
	region  string
}

func (b *bucketServer) refused(w http.ResponseWriter, r *http.Request) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.heard[r.URL.Path]++
	if b.refuse == nil {
		return false
	}
	no := b.refuse(r, b.heard[r.URL.Path])
	if no == nil {
		return false
	}
	if no.region != "" {
		w.Header().Set("X-Amz-Bucket-Region", no.region)
	}
	w.WriteHeader(no.status)
	_ = xml.NewEncoder(w).Encode(no)
	return true
}

func (b *bucketServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if b.refused(w, r) {
		return
	}
	key := strings.TrimPrefix(r.URL.Path, "/acme/")
	if r.URL.Query().Get("list-type") == "2" {
		b.list(w, r)
		return
	}
	o, ok := b.objects[key]
	if !ok {
		w.WriteHeader(http.StatusNotFound)
		_ = xml.NewEncoder(w).Encode(refusal{Code: "NoSuchKey"})
		return
	}
	for name, value := range o.metadata {
		w.Header().Set("X-Amz-Meta-"+name, value)
	}
	_, _ = w.Write(o.content)
}

func (b *bucketServer) list(w http.ResponseWriter, r *http.Request) {
	type content struct {
		Key  string
		Size int
	}
	var result struct {
		XMLName               xml.Name `xml:"ListBucketResult"`
		IsTruncated           bool
		NextContinuationToken string
		Contents              []content
	}
	for _, key := range slices.Sorted(maps.Keys(b.objects)) {
		if key <= r.URL.Query().Get("continuation-token") || !strings.HasPrefix(key, r.URL.Query().Get("prefix")) {
			continue
		}
		if len(result.Contents) == b.page {
			result.IsTruncated, result.NextContinuationToken = true, result.Contents[b.page-1].Key
			break
		}
		result.Contents = append(result.Contents, content{key, len(b.objects[key].content)})
	}
	_ = xml.NewEncoder(w).Encode(result)
}

// startBucket is a bucket with what the sink for S3 would have written of f, and the
// environment in which it is read.
func startBucket(t *testing.T, f *feed) (*bucketServer, BucketOptions) {
	t.Helper()
	b := &bucketServer{objects: bucketOf(t, f, 2, true), page: 2, heard: map[string]int{}}
	server := httptest.NewServer(b)
	t.Cleanup(server.Close)
	t.Setenv("AWS_ACCESS_KEY_ID", "reader")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret-of-reader")
	t.Setenv("AWS_CONFIG_FILE", "/nowhere")
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
	return b, BucketOptions{Endpoint: server.URL, Region: "eu-central-1"}
}

func readBucket(ctx context.Context, t *testing.T, o BucketOptions) (*Report, error) {
	t.Helper()
	s, err := OpenBucket(ctx, "s3://acme/audit/", o)
	if err != nil {
		return nil, err
	}
	return Run(ctx, Options{Options: integrity.Options{Keys: keysOf(t)}}, s)
}

// What passes is tried again, and listings have pages.
func TestABucketThatIsBusy(t *testing.T) {
	b, o := startBucket(t, newFeed().seal(t).add(15).seal(t))
	b.refuse = func(_ *http.Request, nth int) *refusal {
		if nth == 1 {
			return &refusal{status: http.StatusServiceUnavailable, Code: "SlowDown", Message: "Reduce your request rate."}
		}
		return nil
	}
	r, err := readBucket(t.Context(), t, o)
	if err != nil || r.Verdict != integrity.Complete || r.Feeds[0].Events != 15 {
		t.Errorf("%v: %+v", err, r)
	}
}

// The environment may name the store.
func TestABucketOfTheEnvironment(t *testing.T) {
	_, o := startBucket(t, newFeed().seal(t).add(15).seal(t))
	t.Setenv("AWS_ENDPOINT_URL_S3", o.Endpoint)
	t.Setenv("AWS_REGION", "eu-central-1")
	r, err := readBucket(t.Context(), t, BucketOptions{})
	if err != nil || r.Verdict != integrity.Complete {
		t.Errorf("%v: %+v", err, r)
	}
}

// Who cannot read is told what to do, and sees no secret.
func TestABucketThatRefuses(t *testing.T) {
	events := func(r *http.Request) bool { return strings.HasSuffix(r.URL.Path, ".gz") && r.Method == http.MethodGet }
	listing := func(r *http.Request) bool { return r.URL.Query().Has("list-type") }
	for _, tt := range []struct {
		name  string
		which func(*http.Request) bool
		no    refusal
		says  string
	}{
		{"no such bucket", listing, refusal{status: 404, Code: "NoSuchBucket"}, "there is no such bucket: check the name"},
		{"no right to list", listing, refusal{status: 403, Code: "AccessDenied", Message: "Access Denied"}, "allowed s3:ListBucket"},
		{"no right to read", events, refusal{status: 403, Code: "AccessDenied", Message: "Access Denied"}, "allowed s3:GetObject"},
		{"no right to decrypt", events, refusal{status: 400, Code: "KMS.DisabledException"}, "kms:Decrypt"},
		{"a session that has expired", listing, refusal{status: 400, Code: "ExpiredToken"}, "log in anew"},
		{"unknown credentials", listing, refusal{status: 403, Code: "InvalidAccessKeyId"}, "check them, or name others by --profile"},
		{"another region", listing, refusal{status: 301, Code: "PermanentRedirect", region: "eu-west-1"}, "--region eu-west-1"},
		{"another region, in the signature", listing, refusal{status: 400, Code: "AuthorizationHeaderMalformed"}, "name it by --region"},
		{"a clock", listing, refusal{status: 403, Code: "RequestTimeTooSkewed"}, "set the clock"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b, o := startBucket(t, newFeed().seal(t).add(15).seal(t))
			b.refuse = func(r *http.Request, _ int) *refusal {
				if tt.which(r) {
					return &tt.no
				}
				return nil
			}
			_, err := readBucket(t.Context(), t, o)
			if err == nil || !strings.Contains(err.Error(), tt.says) || strings.Contains(err.Error(), "secret-of-reader") {
				t.Errorf("%v, want %q", err, tt.says)
			}
		})
	}
}

// What lies in an archive class is said to; the rest is checked.
func TestAnObjectInAnArchiveClass(t *testing.T) {
	b, o := startBucket(t, newFeed().seal(t).add(15).seal(t))
	b.refuse = func(r *http.Request, _ int) *refusal {
		if r.URL.Path == "/acme/"+objectKey(45) && r.Method == http.MethodGet {
			return &refusal{status: 403, Code: "InvalidObjectState", Message: "The operation is not valid for the object's storage class"}
		}
		return nil
	}
	r, err := readBucket(t.Context(), t, o)
	if err != nil {
		t.Fatal(err)
	}
	if told := fmt.Sprint(r.Findings, r.Feeds[0].Findings); r.Verdict != integrity.Unchecked || !strings.Contains(told, "restore it first") {
		t.Errorf("%s", told)
	}
}

func TestABucketWithNothingOfAFeed(t *testing.T) {
	_, o := startBucket(t, newFeed())
	_, err := OpenBucket(t.Context(), "s3://acme/other/", o)
	if err == nil || !strings.Contains(err.Error(), "there is nothing of a feed") {
		t.Error(err)
	}
}

// A machine's service that refuses to give credentials is not taken for the bucket.
func TestABucketForWhichTheMachineHasNoCredentials(t *testing.T) {
	_, o := startBucket(t, newFeed())
	machine := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) }))
	t.Cleanup(machine.Close)
	t.Setenv("AWS_ACCESS_KEY_ID", "")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "")
	t.Setenv("AWS_EC2_METADATA_DISABLED", "false")
	t.Setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", machine.URL)
	_, err := OpenBucket(t.Context(), "s3://acme/audit/", o)
	if err == nil || !strings.Contains(err.Error(), "there are no credentials") || strings.Contains(err.Error(), "ListBucket") {
		t.Error(err)
	}
}

// Without credentials nothing is asked.
func TestABucketWithoutCredentials(t *testing.T) {
	_, o := startBucket(t, newFeed())
	t.Setenv("AWS_ACCESS_KEY_ID", "")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "")
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	_, err := OpenBucket(t.Context(), "s3://acme/audit/", o)
	if err == nil || !strings.Contains(err.Error(), "there are no credentials") {
		t.Error(err)
	}
}
