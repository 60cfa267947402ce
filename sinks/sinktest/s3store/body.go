package s3store

import (
	"bufio"
	"bytes"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"hash"
	"hash/crc32"
	"hash/crc64"
	"io"
	"maps"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

// checksumHeader is what every checksum's header or trailer begins with.
const checksumHeader = "x-amz-checksum-"

// checksums are those that are compared; a client that sends another is told so.
//
//nolint:gochecknoglobals // a constant in all but name
var checksums = map[string]func() hash.Hash{
	"crc32":     func() hash.Hash { return crc32.NewIEEE() },
	"crc32c":    func() hash.Hash { return crc32.New(crc32.MakeTable(crc32.Castagnoli)) },
	"crc64nvme": func() hash.Hash { return crc64.New(crc64.MakeTable(0x9a6c9329ac4bc9b5)) },
	"sha1":      sha1.New,
	"sha256":    sha256.New,
}

// readBody returns an upload's content once everything that the client said about it
// has been found true.
func (s *Server) readBody(w http.ResponseWriter, r *http.Request) ([]byte, *failure) {
	limit := s.cfg.MaxObjectBytes
	// Without a connection below there is no deadline, and no client that is slow.
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(s.cfg.BodyTimeout))
	defer func() { _ = http.NewResponseController(w).SetReadDeadline(time.Time{}) }()
	if r.ContentLength < 0 {
		return nil, &failure{status: http.StatusLengthRequired, code: "MissingContentLength", message: "You must provide the Content-Length HTTP header."}
	}
	claims := http.Header{}
	for name, values := range r.Header {
		if strings.HasPrefix(strings.ToLower(name), checksumHeader) {
			claims[name] = values
		}
	}
	delete(claims, http.CanonicalHeaderKey("x-amz-checksum-algorithm"))
	var body []byte
	var err error
	hashed := r.Header.Get("X-Amz-Content-Sha256")
	switch hashed {
	case "":
		return nil, badRequest("InvalidRequest", "Missing required header for this request: x-amz-content-sha256")
	case "STREAMING-UNSIGNED-PAYLOAD-TRAILER":
		var trailer http.Header
		body, trailer, err = decodeChunks(r.Body, limit)
		if err == nil && strconv.Itoa(len(body)) != r.Header.Get("X-Amz-Decoded-Content-Length") {
			err = io.ErrUnexpectedEOF
		}
		if want := r.Header.Get("X-Amz-Trailer"); err == nil && trailer.Get(want) == "" {
			return nil, badRequest("MalformedTrailerError", "The trailer "+want+" was announced and did not come.")
		}
		maps.Copy(claims, trailer)
	default:
		if strings.HasPrefix(hashed, "STREAMING-") {
			return nil, notImplemented(hashed)
		}
		body, err = io.ReadAll(io.LimitReader(r.Body, limit+1))
	}
	switch {
	case errors.Is(err, errTooLarge) || int64(len(body)) > limit:
		return nil, badRequest("EntityTooLarge", "Your proposed upload exceeds the maximum allowed size.")
	case errors.Is(err, os.ErrDeadlineExceeded):
		w.Header().Set("Connection", "close")
		return nil, badRequest("RequestTimeout",
			"Your socket connection to the server was not read from or written to within the timeout period. Idle connections will be closed.")
	case err != nil:
		return nil, badRequest("IncompleteBody", "The body is not what its headers announce.")
	}
	if sum := sha256.Sum256(body); len(hashed) == 64 && hashed != hex.EncodeToString(sum[:]) {
		return nil, badRequest("XAmzContentSHA256Mismatch", "The provided 'x-amz-content-sha256' header does not match what was computed.")
	}
	if want := r.Header.Get("Content-MD5"); want != "" {
		if sum := md5.Sum(body); want != base64.StdEncoding.EncodeToString(sum[:]) {
			return nil, badRequest("BadDigest", "The Content-MD5 you specified did not match what we received.")
		}
	}
	return body, compare(body, claims)
}

// compare holds every x-amz-checksum-… against body.
func compare(body []byte, claims http.Header) *failure {
	for name := range claims {
		algorithm, ok := strings.CutPrefix(strings.ToLower(name), checksumHeader)
		if !ok {
			continue
		}
		if algorithm == "type" {
			continue
		}
		make, ok := checksums[algorithm]
		if !ok {
			return notImplemented("the checksum " + algorithm)
		}
		h := make()
		h.Write(body)
		if claims.Get(name) != base64.StdEncoding.EncodeToString(h.Sum(nil)) {
			return badRequest("BadDigest", "The "+strings.ToUpper(algorithm)+" you specified did not match the calculated checksum.")
		}
	}
	return nil
}

var (
	errTooLarge = errors.New("body too large")
	errChunks   = errors.New("not aws-chunked")
)

// decodeChunks reads an unsigned aws-chunked body of at most limit bytes, and its
// trailer: https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming-trailers.html.
func decodeChunks(r io.Reader, limit int64) ([]byte, http.Header, error) {
	in := bufio.NewReader(r)
	var body bytes.Buffer
	for {
		head, err := line(in)
		if err != nil {
			return nil, nil, err
		}
		size, err := strconv.ParseInt(head, 16, 64)
		if err != nil || size < 0 {
			return nil, nil, errChunks
		}
		if size == 0 {
			trailer, err := readTrailer(in)
			return body.Bytes(), trailer, err
		}
		if size > limit-int64(body.Len()) {
			return nil, nil, errTooLarge
		}
		if _, err := io.CopyN(&body, in, size); err != nil {
			return nil, nil, errors.Join(io.ErrUnexpectedEOF, err)
		}
		if end, err := line(in); err != nil || end != "" {
			return nil, nil, errChunks
		}
	}
}

// maxTrailers bounds the trailer; a client sends one or two.
const maxTrailers = 16

func readTrailer(in *bufio.Reader) (http.Header, error) {
	trailer := http.Header{}
	for range maxTrailers {
		text, err := line(in)
		if errors.Is(err, io.EOF) || err == nil && text == "" {
			return trailer, nil
		}
		name, value, ok := strings.Cut(text, ":")
		if err != nil || !ok {
			return nil, errChunks
		}
		trailer.Set(strings.TrimSpace(name), strings.TrimSpace(value))
	}
	return nil, errChunks
}

// line reads up to CRLF, at most a bufio.Reader's buffer of it.
func line(in *bufio.Reader) (string, error) {
	text, err := in.ReadSlice('\n')
	if err != nil {
		if errors.Is(err, io.EOF) && len(text) == 0 {
			return "", io.EOF
		}
		return "", errChunks
	}
	out, ok := strings.CutSuffix(string(text), "\r\n")
	if !ok {
		return "", errChunks
	}
	return out, nil
}
