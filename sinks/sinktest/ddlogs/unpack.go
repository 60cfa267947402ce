package ddlogs

import (
	"compress/gzip"
	"compress/zlib"
	"errors"
	"io"
	"net/http"
)

var (
	errTooLarge = errors.New("too large")
	errEncoding = errors.New("unknown encoding")
	errPacked   = errors.New("damaged body")
)

// unpack reads the body of r up to MaxRequest bytes.
func unpack(r *http.Request) ([]byte, error) {
	var in io.Reader = r.Body
	var err error
	packed := true
	switch r.Header.Get("Content-Encoding") {
	case "", "identity":
		packed = false
	case "gzip":
		in, err = gzip.NewReader(r.Body)
	case "deflate": // which is zlib in HTTP: RFC 9110, 8.4.1.2
		in, err = zlib.NewReader(r.Body)
	default:
		return nil, errEncoding
	}
	if err != nil {
		return nil, errPacked
	}
	body, err := io.ReadAll(io.LimitReader(in, MaxRequest+1))
	switch {
	case err != nil && packed:
		return nil, errPacked
	case err != nil:
		return nil, err
	case len(body) > MaxRequest:
		return nil, errTooLarge
	}
	return body, nil
}
