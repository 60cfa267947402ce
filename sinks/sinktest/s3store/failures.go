package s3store

import (
	"fmt"
	"net/http"
)

// Fail makes the next n requests that are properly signed end with one of S3's errors, by
// its code: SlowDown, InternalError, ServiceUnavailable, RequestTimeout,
// ConditionalRequestConflict, OperationAborted, KMS.DisabledException,
// KMS.KMSInvalidStateException or ThrottlingException. Nothing is stored. It panics at a
// code that it does not know: the test would test nothing.
func (s *Server) Fail(code string, n int) {
	if failureOf(code) == nil {
		panic(fmt.Sprintf("s3store: no such error of S3: %s", code))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for range n {
		s.failing = append(s.failing, code)
	}
}

func (s *Server) nextFailure() *failure {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.failing) == 0 {
		return nil
	}
	f := failureOf(s.failing[0])
	s.failing = s.failing[1:]
	return f
}

// failureOf is S3's error with that code:
// https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html.
func failureOf(code string) *failure {
	switch code {
	case "SlowDown":
		return &failure{status: http.StatusServiceUnavailable, code: code, message: "Please reduce your request rate."}
	case "ServiceUnavailable":
		return &failure{status: http.StatusServiceUnavailable, code: code, message: "Service is unable to handle request."}
	case "InternalError":
		return &failure{status: http.StatusInternalServerError, code: code, message: "We encountered an internal error. Please try again."}
	case "RequestTimeout":
		return badRequest(code, "Your socket connection to the server was not read from or written to within the timeout period. Idle connections will be closed.")
	case "ConditionalRequestConflict":
		return &failure{
			status: http.StatusConflict, code: code,
			message: "The conditional request cannot succeed due to a conflicting operation against this resource.",
		}
	case "OperationAborted":
		return &failure{
			status: http.StatusConflict, code: code,
			message: "A conflicting conditional operation is currently in progress against this resource. Please try again.",
		}
	case "KMS.DisabledException":
		return badRequest(code, "arn:aws:kms:us-east-1:000000000000:key/audit is disabled.")
	case "KMS.KMSInvalidStateException":
		return badRequest(code, "arn:aws:kms:us-east-1:000000000000:key/audit is pending deletion.")
	case "ThrottlingException":
		return badRequest(code, "You have exceeded the rate at which you may call KMS. Reduce the frequency of your calls.")
	default:
		return nil
	}
}
