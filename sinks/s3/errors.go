package s3

import (
	"errors"
	"fmt"
)

var (
	errNewline = errors.New("the event has a newline between its tokens, so it cannot be a line of NDJSON")
	errNotS3   = errors.New("the answer has no ETag: something other than S3 answers here; look at endpoint, and at proxies on the way")
	errIgnored = errors.New("the store ignores If-None-Match: * (it created one object twice): auditstream cannot deliver to it without " +
		"losing or doubling events; use Amazon S3 or a store with conditional writes, see that no proxy drops the header, " +
		"or choose guarantee: at_least_once")
	errLarge  = errors.New("this object is larger than any digest: who wrote it?")
	errGone   = errors.New("S3 says that this object exists, and then that it does not: was it deleted just now?")
	errNoHead = errors.New("this object exists and the credentials may not read its metadata: allow them s3:GetObject on the prefix")
)

// strangeDigest says what to do about a digest that is in the way.
func strangeDigest(why error) error {
	return fmt.Errorf("it is in the place of a digest of this stream, and %w; find out who wrote it: no digest is made that would go on from it", why)
}

// senseless says what to do about an object that is in the way.
func senseless(why error) error {
	return fmt.Errorf("it is in the place of this stream's next object, and %w; "+
		"find out who wrote it and move it away, or give the stream a prefix of its own", why)
}
