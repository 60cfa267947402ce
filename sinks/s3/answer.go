package s3

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/auditstream/auditstream/sinks"
)

// answer is why a request did not succeed.
type answer struct {
	store  *store
	what   string // method and key
	status int    // 0: no answer came
	code   string // of S3's error, if it gave one
	text   string // S3's message, or what happened on the way; without secrets
	header http.Header

	ended      error // the caller's context
	timedOut   bool  // our own time-out
	unsent     bool  // nothing of it has left this machine
	credential bool  // it failed before it was sent, for want of credentials
	away       bool  // and those who would give them could not be asked
	keys       int   // generation of the credentials that it was signed with
	class      sinks.Class
	advice     string
}

// read makes an answer of what the SDK returned for a request that was signed with the
// credentials of generation keys. ctx is the caller's, inner has our own time-out.
func (s *store) read(ctx, inner context.Context, what string, keys int, err error) *answer {
	a := &answer{store: s, what: what, ended: ctx.Err(), keys: keys}
	a.timedOut = a.ended == nil && inner.Err() != nil
	if c, ok := errors.AsType[*credentialsError](err); ok {
		a.credential, a.away = true, c.away()
	}
	if r, ok := errors.AsType[*smithyhttp.ResponseError](err); ok && r.Response != nil {
		a.status, a.header = r.HTTPStatusCode(), r.Response.Header
	}
	if api, ok := errors.AsType[smithy.APIError](err); ok && a.status != 0 {
		a.code, a.text = api.ErrorCode(), api.ErrorMessage()
	}
	network := sinks.Unavailable
	if a.status == 0 {
		l := lostBy(err)
		a.text, a.unsent, network = l.Text, l.Unsent, l.Class
	}
	a.text = s.keys.scrub(a.text)
	a.code = s.keys.scrub(a.code)
	a.class, a.advice = a.classify(network)
	return a
}

// ambiguous: the request may have been carried out, or may still be.
func (a *answer) ambiguous() bool {
	switch {
	case a.credential, a.unsent:
		return false
	case a.status == 0, a.ended != nil:
		return true
	case a.status == http.StatusServiceUnavailable:
		// SlowDown: S3 has not looked at the request. If another server on the way
		// says so, the next attempt hears 412; a further request now would be wrong.
		return false
	default:
		return a.status >= 500 || a.status < 300
	}
}

// classify decides by what S3 documents:
// https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html. Nothing but a
// body that is too large is the events' fault; what is not known is tried again.
//
// network is the class of a request that got no answer.
func (a *answer) classify(network sinks.Class) (sinks.Class, string) {
	switch {
	case a.ended != nil:
		return sinks.Unavailable, ""
	case a.credential:
		return a.classifyCredentials(network)
	case a.status == 0:
		return network, ""
	}
	switch a.code {
	case "EntityTooLarge":
		return sinks.Rejected, ""
	case "ExpiredToken", "TokenRefreshRequired":
		if a.store.keys.renew(a.keys) {
			return sinks.Unavailable, "the credentials have expired, the next attempt is made with fresh ones"
		}
		return sinks.Misconfigured, "the credentials have expired, and those that were read anew as well: see that whoever gives them out renews them"
	case "InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken", "NotSignedUp", "InvalidSecurity":
		return sinks.Misconfigured, "check access_key_id and secret_access_key, or the role's"
	case "RequestTimeTooSkewed":
		return sinks.Misconfigured, clockAdvice(a.header.Get("Date"), time.Now())
	case "AccessDenied", "AllAccessDisabled", "AccountProblem":
		return sinks.Misconfigured, accessAdvice(a.text)
	case "NoSuchBucket":
		return sinks.Misconfigured, "create the bucket, or correct bucket"
	case "PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException":
		return sinks.Misconfigured, a.regionAdvice()
	case "InvalidRequest":
		if strings.Contains(a.text, "Object Lock") {
			return sinks.Misconfigured, "switch Object Lock on for the bucket, or leave object_lock out"
		}
		return sinks.Misconfigured, badForm
	case "NotImplemented", "MethodNotAllowed", "InvalidArgument", "MissingContentLength", "InvalidBucketName", "MetadataTooLarge", "KeyTooLongError":
		return sinks.Misconfigured, badForm
	case "InvalidStorageClass":
		return sinks.Misconfigured, "the store does not have this class: correct storage_class"
	case "InvalidEncryptionAlgorithmError":
		return sinks.Misconfigured, "the store does not know this encryption: correct encryption"
	case "InvalidBucketState", "InvalidObjectState", "ObjectLockConfigurationNotFoundError":
		return sinks.Misconfigured, "look at the bucket's settings"
	}
	switch {
	case strings.HasPrefix(a.code, "KMS."):
		if strings.Contains(a.code, "Throttling") || strings.Contains(a.code, "Internal") || strings.Contains(a.code, "Timeout") {
			return sinks.Unavailable, ""
		}
		return sinks.Misconfigured, "look at the key of KMS that kms_key_id names, or that the bucket encrypts with: it must be there, enabled, and in the bucket's region"
	case a.status == http.StatusRequestEntityTooLarge:
		return sinks.Rejected, ""
	case a.status == http.StatusUnauthorized, a.status == http.StatusForbidden:
		return sinks.Misconfigured, "check the credentials, and allow them s3:PutObject and s3:GetObject on the prefix"
	case a.status == http.StatusNotFound, a.status == http.StatusMethodNotAllowed, a.status == http.StatusNotImplemented:
		return sinks.Misconfigured, "no bucket of an S3 store is here: check bucket, endpoint and path_style"
	case a.status == http.StatusMovedPermanently:
		return sinks.Misconfigured, a.regionAdvice()
	}
	return sinks.Unavailable, ""
}

// classifyCredentials tells a service that is away from one that says no.
func (a *answer) classifyCredentials(network sinks.Class) (sinks.Class, string) {
	switch {
	case a.away && network == sinks.Misconfigured: // its certificate, or its address
		return network, ""
	case a.away, a.timedOut, a.status >= 500, a.status == http.StatusTooManyRequests:
		return sinks.Unavailable, ""
	}
	return sinks.Misconfigured, "there are no credentials to sign with: check access_key_id and secret_access_key, role_arn and external_id, or the credentials of this machine"
}

// badForm is the advice for requests that a store does not take as they are.
const badForm = "the store does not take requests of this form: it has to know If-None-Match, and perhaps needs checksum: when_required or path_style: true"

// clockAdvice says how far this machine's clock is off, by the Date of the answer.
func clockAdvice(date string, now time.Time) string {
	at, err := http.ParseTime(date)
	if err != nil {
		return "this machine's clock is wrong: set it"
	}
	behind, where := at.Sub(now), "behind"
	if behind < 0 {
		behind, where = -behind, "ahead of"
	}
	return fmt.Sprintf("this machine's clock is %v %s the store's: set it", behind.Round(time.Second), where)
}

// lacking finds the action that S3 says is missing.
var lacking = regexp.MustCompile(`not authorized to perform: ([a-z0-9-]+:[A-Za-z0-9]+)`)

func accessAdvice(text string) string {
	switch m := lacking.FindStringSubmatch(text); {
	case m != nil && strings.HasPrefix(m[1], "kms:"):
		return fmt.Sprintf("allow these credentials %s with the key that encrypts, in the key's policy too", m[1])
	case m != nil:
		return fmt.Sprintf("allow these credentials %s on the prefix", m[1])
	case strings.Contains(text, "kms:"):
		return "allow these credentials kms:GenerateDataKey with the key that encrypts, in the key's policy too"
	}
	return "allow these credentials s3:PutObject and s3:GetObject on the prefix, and look at expected_bucket_owner"
}

// expected finds the region that S3 names in the text of its refusal.
var expected = regexp.MustCompile(`expecting '([a-z0-9-]+)'`)

func (a *answer) regionAdvice() string {
	region := a.header.Get("X-Amz-Bucket-Region")
	if m := expected.FindStringSubmatch(a.text); region == "" && m != nil {
		region = m[1]
	}
	if region != "" {
		return fmt.Sprintf("the bucket is in the region %.40q, region says %q: correct region", region, a.store.region)
	}
	return fmt.Sprintf("the bucket is not in the region %q: correct region", a.store.region)
}

// refusal is a as the pipeline wants it. Before anything is held for its configuration,
// cached credentials are dropped: the next attempt may find mended ones.
func (a *answer) refusal() *sinks.Error {
	if a.class == sinks.Misconfigured {
		a.store.keys.forget()
	}
	var err error
	switch {
	case a.ended != nil:
		err = a.ended
	case a.timedOut:
		err = fmt.Errorf("no answer within %v", a.store.timeout)
	default:
		err = errors.New(strings.Join(nonEmpty(a.code, a.text), ": "))
		if a.code == "" && a.text == "" {
			err = errors.New(cmp.Or(http.StatusText(a.status), "no reason given"))
		}
	}
	if a.advice != "" {
		err = fmt.Errorf("%w: %s", err, a.advice)
	}
	e := a.store.errorf(a.class, a.what, a.status, err)
	e.Answer = clip(strings.Join(nonEmpty(a.code, a.text), ": "))
	if a.status == 0 {
		e.Answer = ""
	}
	e.RetryAfter = retryAfter(a.header.Get("Retry-After"), time.Now())
	return e
}

func (s *store) errorf(class sinks.Class, what string, status int, err error) *sinks.Error {
	return &sinks.Error{Class: class, Status: status, Err: fmt.Errorf("s3: %s in bucket %s: %w", what, s.bucket, err)}
}

func nonEmpty(texts ...string) []string {
	var kept []string
	for _, t := range texts {
		if t != "" {
			kept = append(kept, clip(t))
		}
	}
	return kept
}

// clip is the beginning of text, at most sinks.MaxAnswer bytes, as valid UTF-8.
func clip(text string) string {
	if len(text) <= sinks.MaxAnswer {
		return strings.ToValidUTF8(text, "�")
	}
	end := sinks.MaxAnswer
	for end > 0 && !utf8.RuneStart(text[end]) {
		end--
	}
	return clip(strings.ToValidUTF8(text[:end], ""))
}

// maxRetryAfter bounds what a store may ask for.
const maxRetryAfter = time.Hour

// retryAfter reads RFC 9110's Retry-After, seconds or a date; 0 for anything else.
func retryAfter(text string, now time.Time) time.Duration {
	if seconds, err := strconv.ParseUint(text, 10, 31); err == nil {
		return min(time.Duration(seconds)*time.Second, maxRetryAfter)
	}
	if at, err := http.ParseTime(text); err == nil {
		return min(max(at.Sub(now), 0), maxRetryAfter)
	}
	return 0
}
