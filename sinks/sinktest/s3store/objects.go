package s3store

import (
	"bytes"
	"cmp"
	"crypto/md5"
	"encoding/hex"
	"encoding/xml"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Object is what the store knows of one object. Keys of Metadata are in lower case and
// without x-amz-meta-.
type Object struct {
	Bucket      string            `json:"-"`
	Key         string            `json:"-"`
	Size        int64             `json:"size"`
	ETag        string            `json:"etag"` // MD5 in hex, without quotes
	ContentType string            `json:"content_type"`
	Encoding    string            `json:"content_encoding,omitempty"`
	Modified    time.Time         `json:"modified"`
	Metadata    map[string]string `json:"metadata"`

	Encryption string    `json:"encryption,omitempty"` // AES256, aws:kms or aws:kms:dsse
	KMSKey     string    `json:"kms_key,omitempty"`    // as the request called it
	BucketKey  bool      `json:"bucket_key,omitempty"`
	Class      string    `json:"storage_class,omitempty"` // empty: STANDARD
	Checksum   string    `json:"checksum,omitempty"`      // name of the algorithm that the body was compared by
	Lock       string    `json:"lock,omitempty"`          // GOVERNANCE or COMPLIANCE
	Until      time.Time `json:"until,omitzero"`          // the lock's end
	LegalHold  bool      `json:"legal_hold,omitempty"`
	Version    string    `json:"-"` // with Object Lock
}

// object is an Object and, in memory, its content.
type object struct {
	Object
	data   []byte
	lines  int  // events in it, -1 while nobody has counted; guarded by Server.mu
	marker bool // a delete marker: there is no object while it is the latest version
}

// Limits of S3: https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html
// and …/UsingMetadata.html.
const (
	maxKey      = 1024
	maxMetadata = 2048
)

func (s *Server) putObject(w http.ResponseWriter, r *http.Request, bucket, key string) *failure {
	if len(key) > maxKey {
		return badRequest("KeyTooLongError", "Your key is too long.")
	}
	condition := r.Header.Get("If-None-Match")
	if condition != "" && condition != "*" || r.Header.Get("If-Match") != "" {
		return notImplemented("this condition")
	}
	metadata := map[string]string{}
	size := 0
	for name, values := range r.Header {
		if k, ok := strings.CutPrefix(strings.ToLower(name), "x-amz-meta-"); ok {
			metadata[k] = strings.Join(values, ",")
			size += len(k) + len(metadata[k])
		}
	}
	if size > maxMetadata {
		return badRequest("MetadataTooLarge", "Your metadata headers exceed the maximum allowed metadata size.")
	}
	kept, f := s.keeping(r, bucket, key)
	if f != nil {
		return f
	}
	body, f := s.readBody(w, r)
	if f != nil {
		return f
	}
	sum := md5.Sum(body)
	o := &object{
		Object: Object{
			Bucket: bucket, Key: key, Size: int64(len(body)), ETag: hex.EncodeToString(sum[:]),
			ContentType: cmp.Or(r.Header.Get("Content-Type"), "binary/octet-stream"),
			Encoding:    contentEncoding(r), Modified: s.now().UTC().Truncate(time.Second), Metadata: metadata,
		},
		data: body, lines: -1,
	}
	kept.apply(&o.Object)
	if f := s.store(o, condition == "*" && !s.cfg.IgnoreCondition); f != nil {
		return f
	}
	w.Header().Set("ETag", `"`+o.ETag+`"`)
	o.tell(w.Header(), false)
	w.WriteHeader(http.StatusOK)
	return nil
}

// contentEncoding is the header without aws-chunked, which belongs to the transfer.
func contentEncoding(r *http.Request) string {
	var kept []string
	for e := range strings.SplitSeq(r.Header.Get("Content-Encoding"), ",") {
		if e = strings.TrimSpace(e); e != "" && e != "aws-chunked" {
			kept = append(kept, e)
		}
	}
	return strings.Join(kept, ",")
}

// store makes o durable. The look at what is there and the creation are one step under
// the lock: that is what If-None-Match promises.
func (s *Server) store(o *object, onlyNew bool) *failure {
	s.mu.Lock()
	defer s.mu.Unlock()
	keys, ok := s.buckets[o.Bucket]
	if !ok {
		return noSuchBucket(o.Bucket)
	}
	if _, ok := keys[o.Key]; ok && onlyNew {
		return &failure{status: http.StatusPreconditionFailed, code: "PreconditionFailed", message: "At least one of the pre-conditions you specified did not hold"}
	}
	if s.disk != nil {
		if err := s.disk.write(o); err != nil {
			return internalError(err)
		}
		o.data = nil
	}
	keys[o.Key] = o
	if s.cfg.ObjectLock {
		s.addVersion(o)
	}
	return nil
}

func (s *Server) getObject(w http.ResponseWriter, r *http.Request, bucket, key string) *failure {
	s.mu.Lock()
	keys, ok := s.buckets[bucket]
	o := keys[key]
	var data []byte
	var err error
	if o != nil && r.Method == http.MethodGet {
		data, err = s.content(o)
	}
	s.mu.Unlock()
	switch {
	case !ok:
		return noSuchBucket(bucket)
	case o == nil && s.cfg.HideMissing:
		return accessDenied()
	case o == nil:
		return &failure{status: http.StatusNotFound, code: "NoSuchKey", message: "The specified key does not exist."}
	case err != nil:
		return internalError(err)
	}
	h := w.Header()
	for k, v := range o.Metadata {
		h.Set("X-Amz-Meta-"+k, v)
	}
	h.Set("ETag", `"`+o.ETag+`"`)
	h.Set("Content-Type", o.ContentType)
	o.tell(h, true)
	if o.Encoding != "" {
		h.Set("Content-Encoding", o.Encoding)
	}
	if r.Method == http.MethodHead {
		h.Set("Last-Modified", o.Modified.Format(http.TimeFormat))
		h.Set("Content-Length", strconv.FormatInt(o.Size, 10))
		w.WriteHeader(http.StatusOK)
		return nil
	}
	http.ServeContent(w, r, "", o.Modified, bytes.NewReader(data))
	return nil
}

// content is o's bytes. The caller holds mu.
func (s *Server) content(o *object) ([]byte, error) {
	if s.disk != nil {
		return s.disk.root.ReadFile(o.Bucket + "/" + o.Key)
	}
	return o.data, nil
}

// Get is an object and its bytes, or false.
func (s *Server) Get(bucket, key string) (Object, []byte, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o := s.buckets[bucket][key]
	if o == nil {
		return Object{}, nil, false
	}
	data, err := s.content(o)
	if err != nil {
		return Object{}, nil, false
	}
	return o.Object, data, true
}

// Objects are those of a bucket whose key begins with prefix, in the order of keys.
func (s *Server) Objects(bucket, prefix string) []Object {
	s.mu.Lock()
	defer s.mu.Unlock()
	var found []Object
	for _, key := range slices.Sorted(maps.Keys(s.buckets[bucket])) {
		if strings.HasPrefix(key, prefix) {
			found = append(found, s.buckets[bucket][key].Object)
		}
	}
	return found
}

// maxListed is S3's and the default of max-keys.
const maxListed = 1000

type listedObject struct {
	Key          string
	LastModified string
	ETag         string
	Size         int64
	StorageClass string
}

type listedPrefix struct{ Prefix string }

type listing struct {
	XMLName               xml.Name `xml:"http://s3.amazonaws.com/doc/2006-03-01/ ListBucketResult"`
	Name                  string
	Prefix                string
	Delimiter             string `xml:",omitempty"`
	MaxKeys               int
	KeyCount              int
	IsTruncated           bool
	NextContinuationToken string `xml:",omitempty"`
	Contents              []listedObject
	CommonPrefixes        []listedPrefix
}

// list answers ListObjectsV2. A continuation token is the last key or common prefix of
// the page before.
func (s *Server) list(w http.ResponseWriter, r *http.Request, bucket string) *failure {
	q := r.URL.Query()
	limit := maxListed
	if text := q.Get("max-keys"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 0 {
			return badRequest("InvalidArgument", "max-keys is not a number.")
		}
		limit = min(n, maxListed)
	}
	s.mu.Lock()
	_, ok := s.buckets[bucket]
	s.mu.Unlock()
	if !ok {
		return noSuchBucket(bucket)
	}
	out := listing{Name: bucket, Prefix: q.Get("prefix"), Delimiter: q.Get("delimiter"), MaxKeys: limit}
	after := cmp.Or(q.Get("continuation-token"), q.Get("start-after"))
	last := ""
	for _, o := range s.Objects(bucket, out.Prefix) {
		entry := o.Key
		rest := strings.TrimPrefix(o.Key, out.Prefix)
		if i := strings.Index(rest, out.Delimiter); out.Delimiter != "" && i >= 0 {
			entry = out.Prefix + rest[:i+len(out.Delimiter)]
		}
		if entry <= after || entry == last {
			continue
		}
		if out.KeyCount == limit {
			out.IsTruncated, out.NextContinuationToken = true, last
			break
		}
		out.KeyCount++
		last = entry
		if entry != o.Key {
			out.CommonPrefixes = append(out.CommonPrefixes, listedPrefix{entry})
			continue
		}
		out.Contents = append(out.Contents, listedObject{
			Key: o.Key, LastModified: o.Modified.Format(time.RFC3339), ETag: `"` + o.ETag + `"`, Size: o.Size, StorageClass: "STANDARD",
		})
	}
	body, err := xml.Marshal(out)
	if err != nil {
		return internalError(err)
	}
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write(append([]byte(xml.Header), body...)) // a client that has gone away needs no answer
	return nil
}
