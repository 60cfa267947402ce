// Package s3store is an S3 endpoint for tests and for evaluation. It behaves as Amazon
// S3 does where the difference decides over lost or doubled events:
//
//   - every request is signed: the access key must be the configured one, and the whole
//     Signature Version 4, payload hash included, must be right;
//   - PutObject with If-None-Match: * is atomic; of any number of racing creations one
//     wins, and the others are answered 412;
//   - whatever checksum a client sends, in a header or behind an aws-chunked body, is
//     compared with what arrived;
//   - user metadata beyond 2 KB, keys beyond 1,024 bytes, a foreign region and a wrong
//     bucket owner are refused with the codes that S3 uses;
//   - encryption, storage class and Object Lock are kept with the object and told by HEAD;
//     a locked version cannot be deleted, and a lock needs a check sum and a bucket for it;
//   - what the caller may not do is refused by the action's name; credentials expire and
//     are rotated while requests are under way.
//
// It speaks path-style addresses only, and of the API: CreateBucket, HeadBucket,
// GetObjectLockConfiguration, PutObject, HeadObject, GetObject, DeleteObject and
// ListObjectsV2. Chunk-signed bodies (STREAMING-AWS4-HMAC-SHA256-…) are answered 501,
// never passed unchecked.
//
// [Server.Fail] makes it fail in S3's own words; package faults, put before it, in all
// other ways; [Config.IgnoreCondition] makes it a store that loses events.
package s3store

import (
	"cmp"
	"encoding/xml"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Config is what an endpoint is made of. Only the access key is required.
type Config struct {
	// Dir keeps the objects: each is the plain file Dir/bucket/key, its metadata lie
	// under Dir/.meta, and the next New with the same Dir finds all of them again. They
	// outlive the process, not a loss of power. Empty: in memory.
	Dir string

	AccessKeyID     string
	SecretAccessKey string
	SessionToken    string // required of requests when set, as for temporary credentials

	Region  string        // that requests have to be signed for; default us-east-1
	Moved   string        // region that the buckets are in, if this endpoint is not of that
	Skew    time.Duration // how much this endpoint's clock is ahead of the machine's
	Owner   string        // account that owns every bucket; default 000000000000
	Buckets []string      // created by New unless they are there

	// MaxObjectBytes bounds an object; default 64 MiB. A larger one is EntityTooLarge,
	// as it is with S3 beyond 5 GiB.
	MaxObjectBytes int64

	// IgnoreCondition makes PutObject overwrite what is there whatever If-None-Match says,
	// as S3-compatible stores do that do not know the condition.
	IgnoreCondition bool

	// HideMissing answers 403 for an object that is not there, as S3 does to a caller
	// without s3:ListBucket.
	HideMissing bool

	// Deny are actions that the caller lacks, as in a policy: s3:PutObject, s3:GetObject,
	// s3:DeleteObject, s3:GetBucketObjectLockConfiguration, s3:PutObjectRetention,
	// s3:ListBucket (of lists), kms:GenerateDataKey.
	Deny []string

	// KMSKeys are the keys that there are, each by what requests call it. A request that
	// names none uses the account's own, which is always there.
	KMSKeys []string

	// ObjectLock makes every bucket one with versions and Object Lock; in memory only.
	// DefaultLock is the mode (GOVERNANCE, COMPLIANCE) and DefaultRetention the time for
	// objects that bring none of their own.
	ObjectLock       bool
	DefaultLock      string
	DefaultRetention time.Duration

	// BodyTimeout is how long the server waits for a body; default a minute.
	BodyTimeout time.Duration
}

// Server is the endpoint. It is an [http.Handler], safe for concurrent use.
type Server struct {
	cfg   Config
	ids   atomic.Int64 // of requests
	close sync.Once

	mu       sync.Mutex
	disk     *disk                         // nil in memory; guarded by mu
	buckets  map[string]map[string]*object // by bucket and key, what is there now; guarded by mu
	versions map[string][]*object          // by bucket/key, oldest first, delete markers too; with Object Lock; guarded by mu
	present  identity                      // whose requests are taken; guarded by mu
	expired  []identity                    // whose were; guarded by mu
	failing  []string                      // codes of the next answers; guarded by mu
}

// New opens the endpoint. It fails when the access key is missing, a bucket's name is
// none, or Dir cannot be read.
func New(cfg Config) (*Server, error) {
	if cfg.AccessKeyID == "" || cfg.SecretAccessKey == "" {
		return nil, errors.New("s3store: AccessKeyID and SecretAccessKey are required")
	}
	cfg.Region = cmp.Or(cfg.Region, "us-east-1")
	cfg.Owner = cmp.Or(cfg.Owner, "000000000000")
	cfg.MaxObjectBytes = cmp.Or(cfg.MaxObjectBytes, 64<<20)
	if cfg.ObjectLock && cfg.Dir != "" {
		return nil, errors.New("s3store: Object Lock is kept in memory only")
	}
	cfg.BodyTimeout = cmp.Or(cfg.BodyTimeout, time.Minute)
	s := &Server{
		cfg: cfg, buckets: map[string]map[string]*object{}, versions: map[string][]*object{},
		present: identity{cfg.AccessKeyID, cfg.SecretAccessKey, cfg.SessionToken},
	}
	if cfg.Dir != "" {
		d, found, err := openDisk(cfg.Dir)
		if err != nil {
			return nil, fmt.Errorf("s3store: %w", err)
		}
		s.disk, s.buckets = d, found
	}
	for _, b := range cfg.Buckets {
		if f := s.createBucket(b); f != nil && f.code != "BucketAlreadyOwnedByYou" {
			return nil, errors.Join(fmt.Errorf("s3store: bucket %q: %s", b, f.message), s.Close())
		}
	}
	return s, nil
}

// Close lets go of Dir. What was stored stays there.
func (s *Server) Close() error {
	var err error
	s.close.Do(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.disk != nil {
			err = s.disk.root.Close()
		}
	})
	return err
}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Server", "AmazonS3")
	w.Header().Set("Date", s.now().UTC().Format(http.TimeFormat))
	w.Header().Set("X-Amz-Request-Id", fmt.Sprintf("%016X", s.ids.Add(1)))
	if f := s.route(w, r); f != nil {
		f.write(w, r)
	}
}

func (s *Server) route(w http.ResponseWriter, r *http.Request) *failure {
	if f := s.authenticate(r); f != nil {
		return f
	}
	bucket, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	if f := s.nextFailure(); f != nil {
		return f
	}
	if s.cfg.Moved != "" {
		w.Header().Set("X-Amz-Bucket-Region", s.cfg.Moved)
		return &failure{
			status: http.StatusMovedPermanently, code: "PermanentRedirect",
			message: "The bucket you are attempting to access must be addressed using the specified endpoint. Please send all future requests to this endpoint.",
		}
	}
	if owner := r.Header.Get("X-Amz-Expected-Bucket-Owner"); owner != "" && owner != s.cfg.Owner {
		return accessDenied()
	}
	if key == "" {
		return s.routeBucket(w, r, bucket)
	}
	switch r.Method {
	case http.MethodPut:
		if f := s.permit("s3:PutObject", bucket, key); f != nil {
			return f
		}
		return s.putObject(w, r, bucket, key)
	case http.MethodHead, http.MethodGet:
		if f := s.permit("s3:GetObject", bucket, key); f != nil {
			return f
		}
		return s.getObject(w, r, bucket, key)
	case http.MethodDelete:
		return s.deleteObject(w, r, bucket, key)
	default:
		return notImplemented(r.Method + " of an object")
	}
}

func (s *Server) routeBucket(w http.ResponseWriter, r *http.Request, bucket string) *failure {
	switch r.Method {
	case http.MethodPut:
		if f := s.createBucket(bucket); f != nil {
			return f
		}
		w.Header().Set("Location", "/"+bucket)
		w.WriteHeader(http.StatusOK)
		return nil
	case http.MethodHead:
		s.mu.Lock()
		_, ok := s.buckets[bucket]
		s.mu.Unlock()
		if !ok {
			return noSuchBucket(bucket)
		}
		w.Header().Set("X-Amz-Bucket-Region", s.cfg.Region)
		w.WriteHeader(http.StatusOK)
		return nil
	case http.MethodGet:
		if r.URL.Query().Has("object-lock") {
			return s.lockConfiguration(w, bucket)
		}
		if r.URL.Query().Get("list-type") != "2" {
			return notImplemented("GET of a bucket without list-type=2")
		}
		if f := s.permit("s3:ListBucket", bucket, ""); f != nil {
			return f
		}
		return s.list(w, r, bucket)
	default:
		return notImplemented(r.Method + " of a bucket")
	}
}

// bucketName is the form of general purpose bucket names:
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html.
var bucketName = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)

func (s *Server) createBucket(name string) *failure {
	if !bucketName.MatchString(name) {
		return &failure{status: http.StatusBadRequest, code: "InvalidBucketName", message: "The specified bucket is not valid."}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.buckets[name]; ok {
		return &failure{status: http.StatusConflict, code: "BucketAlreadyOwnedByYou", message: "The bucket you tried to create already exists, and you own it."}
	}
	if s.disk != nil {
		if err := s.disk.createBucket(name); err != nil {
			return internalError(err)
		}
	}
	s.buckets[name] = map[string]*object{}
	return nil
}

// failure is a refusal in S3's own words.
type failure struct {
	status  int
	code    string
	message string
	region  string // that the request should have been signed for
}

func accessDenied() *failure {
	return &failure{status: http.StatusForbidden, code: "AccessDenied", message: "Access Denied"}
}

func noSuchBucket(name string) *failure {
	return &failure{status: http.StatusNotFound, code: "NoSuchBucket", message: "The specified bucket does not exist: " + name}
}

func notImplemented(what string) *failure {
	return &failure{status: http.StatusNotImplemented, code: "NotImplemented", message: "This endpoint does not implement " + what + "."}
}

func internalError(err error) *failure {
	return &failure{status: http.StatusInternalServerError, code: "InternalError", message: err.Error()}
}

func badRequest(code, message string) *failure {
	return &failure{status: http.StatusBadRequest, code: code, message: message}
}

func (f *failure) write(w http.ResponseWriter, r *http.Request) {
	body, err := xml.Marshal(struct {
		XMLName   xml.Name `xml:"Error"`
		Code      string
		Message   string
		Region    string `xml:",omitempty"`
		Resource  string
		RequestID string `xml:"RequestId"`
	}{Code: f.code, Message: f.message, Region: f.region, Resource: r.URL.Path, RequestID: w.Header().Get("X-Amz-Request-Id")})
	if err != nil { // strings always marshal
		body = nil
	}
	body = append([]byte(xml.Header), body...)
	w.Header().Set("Content-Type", "application/xml")
	if r.Method == http.MethodHead {
		w.WriteHeader(f.status)
		return
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(f.status)
	_, _ = w.Write(body) // a client that has gone away needs no answer
}
