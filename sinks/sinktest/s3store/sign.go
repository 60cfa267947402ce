package s3store

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// maxSkew is how far a request's clock may be off:
// https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html (RequestTimeTooSkewed).
const maxSkew = 15 * time.Minute

const amzTime = "20060102T150405Z"

// authenticate checks Signature Version 4 as
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
// describes it. That the body has the signed hash is checked where the body is read.
func (s *Server) authenticate(r *http.Request) *failure {
	fields, ok := strings.CutPrefix(r.Header.Get("Authorization"), "AWS4-HMAC-SHA256 ")
	if !ok {
		return accessDenied()
	}
	part := map[string]string{}
	for f := range strings.SplitSeq(fields, ",") {
		k, v, _ := strings.Cut(strings.TrimSpace(f), "=")
		part[k] = v
	}
	scope := strings.Split(part["Credential"], "/") // key id, date, region, service, aws4_request
	if len(scope) != 5 || scope[3] != "s3" || scope[4] != "aws4_request" {
		return badRequest("AuthorizationHeaderMalformed", "The authorization header is malformed.")
	}
	who, f := s.identify(scope[0], r.Header.Get("X-Amz-Security-Token"))
	if f != nil {
		return f
	}
	if scope[2] != s.cfg.Region {
		return &failure{
			status: http.StatusBadRequest, code: "AuthorizationHeaderMalformed", region: s.cfg.Region,
			message: "The authorization header is malformed; the region '" + scope[2] + "' is wrong; expecting '" + s.cfg.Region + "'",
		}
	}
	date := r.Header.Get("X-Amz-Date")
	at, err := time.Parse(amzTime, date)
	if err != nil || !strings.HasPrefix(date, scope[1]) {
		return accessDenied()
	}
	if s.now().Sub(at).Abs() > maxSkew {
		return &failure{status: http.StatusForbidden, code: "RequestTimeTooSkewed", message: "The difference between the request time and the current time is too large."}
	}
	signed := strings.Split(part["SignedHeaders"], ";")
	if !slices.Contains(signed, "host") {
		return accessDenied()
	}
	canonical := sha256.Sum256([]byte(canonicalRequest(r, signed)))
	toSign := strings.Join([]string{
		"AWS4-HMAC-SHA256", date, strings.Join(scope[1:], "/"), hex.EncodeToString(canonical[:]),
	}, "\n")
	key := []byte("AWS4" + who.secret)
	for _, p := range scope[1:] {
		key = mac(key, p)
	}
	given, err := hex.DecodeString(part["Signature"])
	if err != nil || !hmac.Equal(given, mac(key, toSign)) {
		return &failure{
			status: http.StatusForbidden, code: "SignatureDoesNotMatch",
			message: "The request signature we calculated does not match the signature you provided. Check your key and signing method.",
		}
	}
	return nil
}

func mac(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}

func canonicalRequest(r *http.Request, signed []string) string {
	var b strings.Builder
	b.WriteString(r.Method + "\n" + encode(r.URL.Path, true) + "\n")
	var query []string
	for k, vs := range r.URL.Query() {
		for _, v := range vs {
			query = append(query, encode(k, false)+"="+encode(v, false))
		}
	}
	slices.Sort(query)
	b.WriteString(strings.Join(query, "&") + "\n")
	for _, h := range signed {
		b.WriteString(h + ":" + canonicalHeader(r, h) + "\n")
	}
	b.WriteString("\n" + strings.Join(signed, ";") + "\n")
	b.WriteString(cmp.Or(r.Header.Get("X-Amz-Content-Sha256"), emptyHash))
	return b.String()
}

// emptyHash is SHA-256 of nothing, in hex.
const emptyHash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

// canonicalHeader is a header's value as it is signed. net/http keeps two of them
// outside of Header.
func canonicalHeader(r *http.Request, name string) string {
	switch name {
	case "host":
		return r.Host
	case "content-length":
		return strconv.FormatInt(r.ContentLength, 10)
	}
	values := slices.Clone(r.Header.Values(name))
	for i, v := range values {
		values[i] = strings.Join(strings.Fields(v), " ")
	}
	return strings.Join(values, ",")
}

// encode is the percent-encoding of Signature Version 4: all but RFC 3986's unreserved
// characters, and the slashes of a path.
func encode(s string, path bool) string {
	s = strings.ReplaceAll(url.QueryEscape(s), "+", "%20")
	s = strings.ReplaceAll(s, "%7E", "~")
	if path {
		s = strings.ReplaceAll(s, "%2F", "/")
	}
	return s
}
