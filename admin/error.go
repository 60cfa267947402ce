package admin

import "fmt"

// Code is the class of an [Error]; what it means over HTTP stands behind it.
type Code string

// Classes of errors.
const (
	CodeInvalid     Code = "invalid"      // what was sent is wrong: 422, with Problems; 400 if it cannot be read
	CodeNotFound    Code = "not_found"    // 404
	CodeExists      Code = "exists"       // the id is taken: 409
	CodeConflict    Code = "conflict"     // it cannot be done to it as it stands: 409
	CodeChanged     Code = "changed"      // it has another version than the caller knows: 412
	CodeForbidden   Code = "forbidden"    // the caller's role or organizations do not allow it: 403
	CodeUnavailable Code = "unavailable"  // Kafka does not answer: 503
	CodeFileOwned   Code = "file_owned"   // its settings are those of a file, and are changed there: 409
	CodeNotInForce  Code = "not_in_force" // it is written, and not every process has taken it over yet: 202
	CodeNothing     Code = "nothing"      // there is nothing that a job could send: 409
	CodeExpired     Code = "expired"      // Kafka has given up a part of what a job is to send: 409, with Problems
)

// Error is an error that the caller can do something about. Its text says what.
type Error struct {
	Code     Code      `json:"code"`
	Message  string    `json:"message"`
	Problems []Problem `json:"problems,omitempty"`
}

func (e *Error) Error() string { return e.Message }

// Is says that errors of the same code are alike, for [errors.Is] with [Code.Err].
func (e *Error) Is(target error) bool {
	other, ok := target.(*Error)
	return ok && other.Message == "" && other.Code == e.Code
}

// Err is for errors.Is: it matches every error of the code.
func (c Code) Err() error { return &Error{Code: c} }

// Errorf makes an error of the code.
func (c Code) Errorf(format string, args ...any) *Error {
	return &Error{Code: c, Message: fmt.Sprintf(format, args...)}
}

// Problem is one thing that is wrong with a document.
type Problem struct {
	Pointer string `json:"pointer"`        // JSON pointer
	Line    int    `json:"line,omitempty"` // from 1
	Column  int    `json:"column,omitempty"`
	Message string `json:"message"`
}
