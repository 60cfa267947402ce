package admin

import (
	"encoding/json"
	"errors"
	"net/http"
)

// Classes of errors that HTTP adds to those of a [Service].
const (
	CodeMalformed       Code = "malformed"              // the request cannot be read: 400
	CodeUnauthenticated Code = "unauthenticated"        // there is no token, or none that is valid: 401
	CodeNoMethod        Code = "method_not_allowed"     // 405, with Allow
	CodeTooLarge        Code = "too_large"              // the body is larger than is read: 413
	CodeMediaType       Code = "unsupported_media_type" // 415
	CodeNoCondition     Code = "precondition_required"  // If-Match is missing: 428
	CodeTooMany         Code = "too_many_requests"      // too many failures to log in: 429, with Retry-After
	CodeInternal        Code = "internal"               // a mistake of auditstream: 500
	CodeBusy            Code = "busy"                   // too many such requests at once: 503, with Retry-After
)

// Status is the HTTP status of errors of a class.
func (c Code) Status() int {
	switch c {
	case CodeMalformed:
		return http.StatusBadRequest
	case CodeUnauthenticated:
		return http.StatusUnauthorized
	case CodeForbidden:
		return http.StatusForbidden
	case CodeNotFound:
		return http.StatusNotFound
	case CodeNoMethod:
		return http.StatusMethodNotAllowed
	case CodeExists, CodeConflict, CodeFileOwned, CodeNothing, CodeExpired:
		return http.StatusConflict
	case CodeChanged:
		return http.StatusPreconditionFailed
	case CodeTooLarge:
		return http.StatusRequestEntityTooLarge
	case CodeMediaType:
		return http.StatusUnsupportedMediaType
	case CodeInvalid:
		return http.StatusUnprocessableEntity
	case CodeNoCondition:
		return http.StatusPreconditionRequired
	case CodeTooMany:
		return http.StatusTooManyRequests
	case CodeUnavailable, CodeBusy:
		return http.StatusServiceUnavailable
	case CodeNotInForce:
		return http.StatusAccepted
	case CodeInternal:
	}
	return http.StatusInternalServerError
}

// Title says what a class of errors is, in a few words.
func (c Code) Title() string {
	switch c {
	case CodeMalformed:
		return "The request cannot be read"
	case CodeUnauthenticated:
		return "There is no valid token"
	case CodeForbidden:
		return "The token does not allow it"
	case CodeNotFound:
		return "There is no such thing"
	case CodeNoMethod:
		return "This is not done by that method"
	case CodeExists:
		return "The id is taken"
	case CodeConflict:
		return "It cannot be done as it stands"
	case CodeFileOwned:
		return "A configuration file owns it"
	case CodeNothing:
		return "There is nothing to send"
	case CodeExpired:
		return "A part of it has expired"
	case CodeChanged:
		return "It was changed meanwhile"
	case CodeTooLarge:
		return "The body is too large"
	case CodeMediaType:
		return "The body is of another type"
	case CodeInvalid:
		return "What was sent is wrong"
	case CodeNoCondition:
		return "The version is missing"
	case CodeTooMany:
		return "Too many failures to log in"
	case CodeUnavailable:
		return "Kafka does not answer"
	case CodeBusy:
		return "Too many such requests at once"
	case CodeNotInForce:
		return "It is not in force everywhere yet"
	case CodeInternal:
	}
	return "A mistake of auditstream"
}

// ProblemType is what the type of a problem document begins with; the class follows.
const ProblemType = "urn:auditstream:problem:"

// ProblemDocument is an error over HTTP (RFC 9457, application/problem+json).
type ProblemDocument struct {
	Type      string    `json:"type"` // ProblemType and the code
	Title     string    `json:"title"`
	Status    int       `json:"status"`
	Detail    string    `json:"detail,omitempty"`
	Code      Code      `json:"code"`
	Problems  []Problem `json:"problems,omitempty"`
	RequestID string    `json:"request_id,omitempty"` // as the log has it
}

// problemOf is err as a document. Whatever is no *[Error] means that Kafka could not be
// asked; see [Service].
func problemOf(err error, requestID string) ProblemDocument {
	e, ok := errors.AsType[*Error](err)
	if !ok {
		e = &Error{Code: CodeUnavailable, Message: err.Error()}
	}
	return ProblemDocument{
		Type: ProblemType + string(e.Code), Title: e.Code.Title(), Status: e.Code.Status(), Detail: e.Message,
		Code: e.Code, Problems: e.Problems, RequestID: requestID,
	}
}

// retryAfter is how many seconds a caller should wait who was sent away.
const retryAfter = "5"

// writeProblem answers with an error.
func writeProblem(w http.ResponseWriter, err error) {
	p := problemOf(err, w.Header().Get(headerRequest))
	h := w.Header()
	h.Set("Content-Type", "application/problem+json")
	switch p.Code { //nolint:exhaustive // the others need no header
	case CodeUnauthenticated:
		h.Set("WWW-Authenticate", `Bearer realm="auditstream"`)
	case CodeTooMany, CodeBusy, CodeUnavailable:
		h.Set("Retry-After", retryAfter)
	}
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p) // the client is gone: nobody is left to be told
}
