package s3store_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"
	"github.com/google/go-cmp/cmp"

	"github.com/auditstream/auditstream/sinks/sinktest/s3store"
)

// The tests speak to the store through the AWS SDK: an independent client, that the real
// service understands.

const (
	bucket = "acme-audit"
	keyID  = "AKIAEXAMPLE"
	secret = "a/secret+key"
)

func start(t *testing.T, cfg s3store.Config) (*s3store.Server, string) {
	t.Helper()
	cfg.AccessKeyID, cfg.SecretAccessKey = keyID, secret
	if cfg.Buckets == nil {
		cfg.Buckets = []string{bucket}
	}
	s, err := s3store.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(s)
	t.Cleanup(func() {
		server.Close()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s, server.URL
}

func client(t *testing.T, url string, change ...func(*awss3.Options)) *awss3.Client {
	t.Helper()
	o := awss3.Options{
		Region: "us-east-1", BaseEndpoint: &url, UsePathStyle: true, Retryer: aws.NopRetryer{},
		Credentials: credentials.NewStaticCredentialsProvider(keyID, secret, ""),
	}
	for _, c := range change {
		c(&o)
	}
	return awss3.New(o)
}

func put(ctx context.Context, c *awss3.Client, key, body string, change ...func(*awss3.PutObjectInput)) error {
	in := &awss3.PutObjectInput{Bucket: aws.String(bucket), Key: &key, Body: strings.NewReader(body)}
	for _, f := range change {
		f(in)
	}
	_, err := c.PutObject(ctx, in)
	return err
}

func onlyNew(in *awss3.PutObjectInput) { in.IfNoneMatch = aws.String("*") }

func code(err error) string {
	if e, ok := errors.AsType[smithy.APIError](err); ok {
		return e.ErrorCode()
	}
	return fmt.Sprint(err)
}

func TestAnObjectComesBackAsItWent(t *testing.T) {
	for name, dir := range map[string]string{"in memory": "", "on disk": t.TempDir()} {
		t.Run(name, func(t *testing.T) {
			_, url := start(t, s3store.Config{Dir: dir})
			c := client(t, url)
			const key = "a b/ü=1/ö+~*'().txt"
			err := put(t.Context(), c, key, "hello", func(in *awss3.PutObjectInput) {
				in.ContentType, in.Metadata = aws.String("text/plain"), map[string]string{"Slot": "12", "next": "x y"}
			})
			if err != nil {
				t.Fatal(err)
			}
			o, err := c.GetObject(t.Context(), &awss3.GetObjectInput{Bucket: aws.String(bucket), Key: aws.String(key)})
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(o.Body)
			if err != nil || string(body) != "hello" {
				t.Errorf("body %q, %v", body, err)
			}
			h, err := c.HeadObject(t.Context(), &awss3.HeadObjectInput{Bucket: aws.String(bucket), Key: aws.String(key)})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(map[string]string{"slot": "12", "next": "x y"}, h.Metadata); diff != "" {
				t.Errorf("metadata (-want +got):\n%s", diff)
			}
			if *h.ContentLength != 5 || *h.ContentType != "text/plain" || *h.ETag != `"5d41402abc4b2a76b9719d911017c592"` {
				t.Errorf("HEAD says %d bytes, %s, %s", *h.ContentLength, *h.ContentType, *h.ETag)
			}
		})
	}
}

func TestOneOfManyRacingCreationsWins(t *testing.T) {
	for name, dir := range map[string]string{"in memory": "", "on disk": t.TempDir()} {
		t.Run(name, func(t *testing.T) {
			s, url := start(t, s3store.Config{Dir: dir})
			c := client(t, url)
			var won atomic.Int64
			var winner atomic.Value
			var wg sync.WaitGroup
			for i := range 20 {
				wg.Go(func() {
					body := strings.Repeat(string(rune('a'+i)), 1000)
					switch err := put(t.Context(), c, "k", body, onlyNew); {
					case err == nil:
						won.Add(1)
						winner.Store(body)
					case code(err) != "PreconditionFailed":
						t.Errorf("a loser hears %v", err)
					}
				})
			}
			wg.Wait()
			if won.Load() != 1 {
				t.Fatalf("%d creations succeeded", won.Load())
			}
			if _, data, _ := s.Get(bucket, "k"); string(data) != winner.Load() {
				t.Error("the object is not the winner's")
			}
		})
	}
}

func TestConditions(t *testing.T) {
	s, url := start(t, s3store.Config{})
	c := client(t, url)
	if err := errors.Join(put(t.Context(), c, "k", "1"), put(t.Context(), c, "k", "2")); err != nil {
		t.Fatalf("without a condition: %v", err)
	}
	if _, data, _ := s.Get(bucket, "k"); string(data) != "2" {
		t.Errorf("an overwritten object is %q", data)
	}
	err := put(t.Context(), c, "k", "3", func(in *awss3.PutObjectInput) { in.IfMatch = aws.String("x") })
	if code(err) != "NotImplemented" {
		t.Errorf("a condition that the store does not know: %v", err)
	}
	_, bad := start(t, s3store.Config{IgnoreCondition: true})
	c = client(t, bad)
	if err := errors.Join(put(t.Context(), c, "k", "1", onlyNew), put(t.Context(), c, "k", "2", onlyNew)); err != nil {
		t.Errorf("a store that ignores conditions heeds them: %v", err)
	}
}

func TestRefusals(t *testing.T) {
	head := func(t *testing.T, c *awss3.Client) error {
		t.Helper()
		_, err := c.HeadObject(t.Context(), &awss3.HeadObjectInput{Bucket: aws.String(bucket), Key: aws.String("k")})
		return err
	}
	anyPut := func(t *testing.T, c *awss3.Client) error {
		t.Helper()
		return put(t.Context(), c, "k", "hello")
	}
	putWith := func(change func(*awss3.PutObjectInput)) func(*testing.T, *awss3.Client) error {
		return func(t *testing.T, c *awss3.Client) error {
			t.Helper()
			return put(t.Context(), c, "k", "hello", change)
		}
	}
	as := func(id, secret, token string) func(*awss3.Options) {
		return func(o *awss3.Options) { o.Credentials = credentials.NewStaticCredentialsProvider(id, secret, token) }
	}
	cases := []struct {
		name string
		cfg  s3store.Config
		as   func(*awss3.Options)
		do   func(*testing.T, *awss3.Client) error
		want string
	}{
		{"anonymous", s3store.Config{}, func(o *awss3.Options) { o.Credentials = aws.AnonymousCredentials{} }, anyPut, "AccessDenied"},
		{"unknown key", s3store.Config{}, as("AKIAOTHER", secret, ""), anyPut, "InvalidAccessKeyId"},
		{"wrong secret", s3store.Config{}, as(keyID, "wrong", ""), anyPut, "SignatureDoesNotMatch"},
		{"token missing", s3store.Config{SessionToken: "x"}, nil, anyPut, "InvalidToken"},
		{"wrong token", s3store.Config{SessionToken: "x"}, as(keyID, secret, "y"), anyPut, "InvalidToken"},
		{"right token", s3store.Config{SessionToken: "x"}, as(keyID, secret, "x"), anyPut, ""},
		{"wrong region", s3store.Config{Region: "eu-west-1"}, nil, anyPut, "AuthorizationHeaderMalformed"},
		{"no bucket", s3store.Config{Buckets: []string{"other-bucket"}}, nil, anyPut, "NoSuchBucket"},
		{"no object", s3store.Config{}, nil, head, "NotFound"},
		{"no object and no permission to list", s3store.Config{HideMissing: true}, nil, head, "Forbidden"},
		{"too large", s3store.Config{MaxObjectBytes: 4}, nil, anyPut, "EntityTooLarge"},
		{"just not too large", s3store.Config{MaxObjectBytes: 5}, nil, anyPut, ""},
		{"key too long", s3store.Config{}, nil, putWith(func(in *awss3.PutObjectInput) { in.Key = aws.String(strings.Repeat("k", 1025)) }), "KeyTooLongError"},
		{"metadata too large", s3store.Config{}, nil, putWith(func(in *awss3.PutObjectInput) {
			in.Metadata = map[string]string{"x": strings.Repeat("y", 2048)}
		}), "MetadataTooLarge"},
		{"another owner", s3store.Config{Owner: "111122223333"}, nil, putWith(func(in *awss3.PutObjectInput) { in.ExpectedBucketOwner = aws.String("444455556666") }), "AccessDenied"},
		{"wrong MD5", s3store.Config{}, nil, putWith(func(in *awss3.PutObjectInput) { in.ContentMD5 = aws.String("1B2M2Y8AsgTpgAmY7PhCfg==") }), "BadDigest"},
		{"wrong CRC32", s3store.Config{}, nil, putWith(func(in *awss3.PutObjectInput) { in.ChecksumCRC32 = aws.String("AAAAAA==") }), "BadDigest"},
		{"wrong SHA-256", s3store.Config{}, nil, putWith(func(in *awss3.PutObjectInput) {
			in.ChecksumSHA256 = aws.String("47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=")
		}), "BadDigest"},
		{"right CRC64", s3store.Config{}, nil, putWith(func(in *awss3.PutObjectInput) {
			in.Body, in.ChecksumCRC64NVME = strings.NewReader("123456789"), aws.String("rosUhgp5mIg=") // AE8B14860A799888, the check value of CRC-64/NVME
		}), ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s, url := start(t, c.cfg)
			var change []func(*awss3.Options)
			if c.as != nil {
				change = append(change, c.as)
			}
			err := c.do(t, client(t, url, change...))
			if c.want == "" {
				if err != nil {
					t.Errorf("refused: %v", err)
				}
				return
			}
			if code(err) != c.want {
				t.Errorf("answer %q, want %s", code(err), c.want)
			}
			if n := len(s.Objects(bucket, "")); n != 0 {
				t.Errorf("%d objects were stored all the same", n)
			}
		})
	}
}

// Over TLS the SDK sends an aws-chunked body with the checksum behind it, else a plain
// one with the checksum in a header.
func TestEveryChecksumOfTheSDKIsUnderstood(t *testing.T) {
	for _, algorithm := range []types.ChecksumAlgorithm{
		types.ChecksumAlgorithmCrc32, types.ChecksumAlgorithmCrc32c, types.ChecksumAlgorithmCrc64nvme, types.ChecksumAlgorithmSha1, types.ChecksumAlgorithmSha256,
	} {
		for _, chunked := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s chunked=%v", algorithm, chunked), func(t *testing.T) {
				s, url := start(t, s3store.Config{})
				var seen string
				handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					seen = r.Header.Get("X-Amz-Content-Sha256")
					s.ServeHTTP(w, r)
				})
				var change []func(*awss3.Options)
				if chunked {
					secure := httptest.NewTLSServer(handler)
					defer secure.Close()
					url = secure.URL
					change = append(change, func(o *awss3.Options) { o.HTTPClient = secure.Client() })
				}
				body := strings.Repeat("hello", 50_000)
				err := put(t.Context(), client(t, url, change...), "k", body, func(in *awss3.PutObjectInput) {
					in.ChecksumAlgorithm, in.ContentEncoding = algorithm, aws.String("x")
				})
				if err != nil {
					t.Fatal(err)
				}
				if chunked && seen != "STREAMING-UNSIGNED-PAYLOAD-TRAILER" {
					t.Errorf("the SDK sends %q: this test tests nothing", seen)
				}
				if o, data, _ := s.Get(bucket, "k"); string(data) != body || o.Encoding != "x" {
					t.Errorf("stored %d bytes of encoding %q", len(data), o.Encoding)
				}
			})
		}
	}
}

func TestABodyChangedOnTheWayIsRefused(t *testing.T) {
	s, url := start(t, s3store.Config{})
	c := client(t, url, func(o *awss3.Options) {
		o.HTTPClient = roundTrip(func(r *http.Request) (*http.Response, error) {
			r.Body = io.NopCloser(strings.NewReader("jello"))
			return http.DefaultClient.Do(r)
		})
	})
	if err := put(t.Context(), c, "k", "hello"); code(err) != "XAmzContentSHA256Mismatch" {
		t.Errorf("answer: %v", err)
	}
	if n := len(s.Objects(bucket, "")); n != 0 {
		t.Error("stored all the same")
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) Do(r *http.Request) (*http.Response, error) { return f(r) }

func TestWhatWasStoredIsFoundAgain(t *testing.T) {
	dir := t.TempDir()
	func() {
		s, err := s3store.New(s3store.Config{Dir: dir, AccessKeyID: keyID, SecretAccessKey: secret, Buckets: []string{bucket}})
		if err != nil {
			t.Fatal(err)
		}
		server := httptest.NewServer(s)
		defer server.Close()
		for key, body := range map[string]string{"day=1/a.ndjson.gz": "1\n2\n", "day=2/b.ndjson.gz": "3\n"} {
			err := put(t.Context(), client(t, server.URL), key, gzipped(t, body), func(in *awss3.PutObjectInput) { in.Metadata = map[string]string{"slot": "0"} })
			if err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	if err := os.WriteFile(filepath.Join(dir, bucket, "stranger"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s, url := start(t, s3store.Config{Dir: dir})
	if s.Len() != 3 {
		t.Errorf("%d events were found, want 3", s.Len())
	}
	if o, _, ok := s.Get(bucket, "day=1/a.ndjson.gz"); !ok || o.Metadata["slot"] != "0" || o.Size == 0 {
		t.Errorf("found %+v, %v", o, ok)
	}
	if err := put(t.Context(), client(t, url), "day=1/a.ndjson.gz", "", onlyNew); code(err) != "PreconditionFailed" {
		t.Errorf("created over what was there: %v", err)
	}
	if n := len(s.Objects(bucket, "")); n != 2 {
		t.Errorf("%d objects", n)
	}
}

func TestNoKeyLeavesTheDirectory(t *testing.T) {
	dir := t.TempDir()
	_, url := start(t, s3store.Config{Dir: filepath.Join(dir, "store")})
	for _, key := range []string{"../../escaped", "a/../../../escaped", "a//b", "."} {
		if err := put(t.Context(), client(t, url), key, "x"); err == nil {
			t.Errorf("%q was stored", key)
		}
	}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if e != nil && e.Type().IsRegular() {
			t.Errorf("there is a file %s", path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func gzipped(t *testing.T, text string) string {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestEvents(t *testing.T) {
	cases := []struct {
		name    string
		objects map[string]string
		want    []string
		bad     bool
	}{
		{name: "of all objects in the order of keys", objects: map[string]string{"b.ndjson.gz": gzipped(t, "3\n"), "a.ndjson.gz": gzipped(t, "1\n2\n"), "c.ndjson": "4\n"}, want: []string{"1", "2", "3", "4"}},
		{name: "but not of other files", objects: map[string]string{".auditstream-probe": "hello\n"}},
		{name: "an empty line is one", objects: map[string]string{"a.ndjson": "1\n\n"}, want: []string{"1", ""}},
		{name: "none in an empty object", objects: map[string]string{"a.ndjson": ""}},
		{name: "half a line", objects: map[string]string{"a.ndjson.gz": gzipped(t, "1\n2")}, bad: true},
		{name: "no gzip", objects: map[string]string{"a.ndjson.gz": "1\n"}, bad: true},
		{name: "cut off", objects: map[string]string{"a.ndjson.gz": gzipped(t, "1\n")[:20]}, bad: true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s, url := start(t, s3store.Config{})
			for key, body := range c.objects {
				if err := put(t.Context(), client(t, url), key, body); err != nil {
					t.Fatal(err)
				}
			}
			events, err := s.Events()
			if (err != nil) != c.bad {
				t.Errorf("error: %v", err)
			}
			var got []string
			for _, e := range events {
				got = append(got, string(e))
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("events (-want +got):\n%s", diff)
			}
			if s.Len() != len(c.want) {
				t.Errorf("Len is %d, want %d", s.Len(), len(c.want))
			}
		})
	}
}

func TestList(t *testing.T) {
	_, url := start(t, s3store.Config{})
	c := client(t, url)
	for _, key := range []string{"a/1", "a/2", "a/b/3", "a/b/4", "c", "d/5"} {
		if err := put(t.Context(), c, key, "x"); err != nil {
			t.Fatal(err)
		}
	}
	cases := []struct {
		prefix, delimiter string
		want              []string
	}{
		{"", "", []string{"a/1", "a/2", "a/b/3", "a/b/4", "c", "d/5"}},
		{"a/", "", []string{"a/1", "a/2", "a/b/3", "a/b/4"}},
		{"a/", "/", []string{"a/1", "a/2", "[a/b/]"}},
		{"", "/", []string{"[a/]", "c", "[d/]"}},
		{"x", "", nil},
	}
	for _, tc := range cases {
		for _, size := range []int32{1, 2, 1000} {
			t.Run(fmt.Sprintf("%q %q %d a page", tc.prefix, tc.delimiter, size), func(t *testing.T) {
				in := &awss3.ListObjectsV2Input{Bucket: aws.String(bucket), Prefix: &tc.prefix, MaxKeys: &size}
				if tc.delimiter != "" {
					in.Delimiter = &tc.delimiter
				}
				seen := map[string]bool{}
				n := 0
				for pages := awss3.NewListObjectsV2Paginator(c, in); pages.HasMorePages(); {
					page, err := pages.NextPage(t.Context())
					if err != nil {
						t.Fatal(err)
					}
					for _, o := range page.Contents {
						seen[*o.Key] = true
					}
					for _, p := range page.CommonPrefixes {
						seen["["+*p.Prefix+"]"] = true
					}
					n += len(page.Contents) + len(page.CommonPrefixes)
				}
				want := map[string]bool{}
				for _, k := range tc.want {
					want[k] = true
				}
				if diff := cmp.Diff(want, seen); diff != "" || n != len(want) {
					t.Errorf("%d entries listed (-want +got):\n%s", n, diff)
				}
			})
		}
	}
}

func TestBuckets(t *testing.T) {
	_, url := start(t, s3store.Config{})
	c := client(t, url)
	create := func(name string) string {
		_, err := c.CreateBucket(t.Context(), &awss3.CreateBucketInput{Bucket: &name})
		if err == nil {
			return ""
		}
		return code(err)
	}
	for name, want := range map[string]string{"new-bucket": "", bucket: "BucketAlreadyOwnedByYou", "Capitals": "InvalidBucketName"} {
		if got := create(name); got != want {
			t.Errorf("create %s: %q, want %q", name, got, want)
		}
	}
	for name, there := range map[string]bool{"new-bucket": true, "other-bucket": false} {
		if _, err := c.HeadBucket(t.Context(), &awss3.HeadBucketInput{Bucket: &name}); (err == nil) != there {
			t.Errorf("head %s: %v", name, err)
		}
	}
}

func TestNewRefusesWhatCannotWork(t *testing.T) {
	for name, cfg := range map[string]s3store.Config{
		"no secret":        {AccessKeyID: keyID},
		"no bucket's name": {AccessKeyID: keyID, SecretAccessKey: secret, Buckets: []string{"B"}},
		"no directory":     {AccessKeyID: keyID, SecretAccessKey: secret, Dir: "/dev/null/x"},
	} {
		if _, err := s3store.New(cfg); err == nil {
			t.Errorf("%s: opened", name)
		}
	}
}
