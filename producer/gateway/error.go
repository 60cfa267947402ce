package gateway

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"time"
)

// Codes of errors: those of WorkOS where it has one. Figures count by them.
const (
	CodeInvalidEvent   = "invalid_audit_log_event"  // 400: by the envelope or the action's schema
	CodeMalformed      = "malformed"                // 400: the body or a header cannot be read
	CodeUnauthorized   = "unauthorized"             // 401
	CodeForbidden      = "forbidden"                // 403: the key does not allow it
	CodeNotFound       = "not_found"                // 404: there is nothing at this path
	CodeNoOrganization = "organization_not_found"   // 404: none that the key knows
	CodeNoMethod       = "method_not_allowed"       // 405, with Allow
	CodeConflict       = "idempotency_key_conflict" // 409: the key came with other content
	CodeBreaking       = "breaking_schema"          // 409: only with breaking=refuse
	CodeGone           = "gone"                     // 410: Kafka has the events of an export no more
	CodeTooLarge       = "too_large"                // 413
	CodeMediaType      = "unsupported_media_type"   // 415: of the body, or its encoding
	CodeValidation     = "validation_failed"        // 422: a member is missing, or of another type
	CodeRate           = "rate_limit_exceeded"      // 429, with Retry-After
	CodeInternal       = "internal"                 // 500: a mistake of auditstream
	CodeBusy           = "busy"                     // 503: too many requests at once
	CodeUnavailable    = "unavailable"              // 503: Kafka does not take events
	CodeUncertain      = "uncertain"                // 503: Kafka may have taken the event
	CodeNotTried       = "not_tried"                // 503: of a batch, one before it has failed
)

// Codes are all of them.
func Codes() []string {
	return []string{
		CodeInvalidEvent, CodeMalformed, CodeUnauthorized, CodeForbidden, CodeNotFound, CodeNoOrganization, CodeNoMethod, CodeConflict, CodeBreaking, CodeGone,
		CodeTooLarge, CodeMediaType, CodeValidation, CodeRate, CodeInternal, CodeBusy, CodeUnavailable, CodeUncertain, CodeNotTried,
	}
}

// Error is why a request, or an event of it, was refused or has failed. Its JSON is the body of
// the answer: message, code and errors as WorkOS has them, and what helps beside.
type Error struct {
	Status  int      `json:"-"`
	Message string   `json:"message"`
	Code    string   `json:"code"`
	Errors  []Detail `json:"errors,omitempty"`
	Remedy  string   `json:"remedy,omitempty"` // what to do about it

	RetryAfter time.Duration `json:"-"` // 0: none
	Cause      error         `json:"-"` // for the log only
}

// Detail is one thing that is wrong.
type Detail struct {
	Code         string  `json:"code"`
	Message      string  `json:"message"`
	Field        string  `json:"field,omitempty"`        // of 422: as in event.action
	InstancePath *string `json:"instancePath,omitempty"` // of 400: JSON pointer within the event
	Pointer      string  `json:"pointer"`                // JSON pointer within the body
}

func (e *Error) Error() string {
	if e.Cause != nil {
		return fmt.Sprintf("%s: %v", e.Message, e.Cause)
	}
	return e.Message
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Cause }

// Errorf makes an error.
func Errorf(status int, code, format string, args ...any) *Error {
	return &Error{Status: status, Code: code, Message: fmt.Sprintf(format, args...)}
}

// retryAfter is how long a caller should wait who was sent away because of Kafka or for want of
// room.
const retryAfter = 2 * time.Second

func unavailable(code, message string, cause error) *Error {
	return &Error{Status: http.StatusServiceUnavailable, Code: code, Message: message, RetryAfter: retryAfter, Cause: cause}
}

func busy(message string) *Error {
	e := unavailable(CodeBusy, message, nil)
	e.Remedy = "Repeat the request later, with growing pauses."
	return e
}

// Unauthorized is the error of a request that nobody has a key for.
func Unauthorized(remedy string) *Error {
	return &Error{Status: http.StatusUnauthorized, Code: CodeUnauthorized, Message: "Unauthorized", Remedy: remedy}
}

// errorOf is err as an *Error. Any other is a mistake of ours.
func errorOf(err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	return &Error{Status: http.StatusInternalServerError, Code: CodeInternal, Message: "A mistake of auditstream: its log says more.", Cause: err}
}

// seconds is a wait as the header Retry-After has it: whole seconds, at least one.
func seconds(wait time.Duration) string {
	return strconv.Itoa(max(1, int(math.Ceil(wait.Seconds()))))
}

// writeError answers with an error.
func writeError(w http.ResponseWriter, e *Error) {
	h := w.Header()
	if e.Status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", `Bearer realm="auditstream"`)
	}
	if e.RetryAfter > 0 {
		h.Set("Retry-After", seconds(e.RetryAfter))
	}
	writeJSON(w, e.Status, e)
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(v) // the client is gone: nobody is left to be told
}
