package s3store

import (
	"fmt"
	"net/http"
	"slices"
	"time"
)

// identity is what requests are signed with.
type identity struct{ keyID, secret, token string }

// Rotate makes other credentials the ones that are taken, as a role's owner or the end of
// a session does. Requests with the former ones are answered ExpiredToken if they are
// temporary, and else InvalidAccessKeyId.
func (s *Server) Rotate(keyID, secret, token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expired = append(s.expired, s.present)
	s.present = identity{keyID, secret, token}
}

// identify finds out whose request it is that brings keyID and token.
func (s *Server) identify(keyID, token string) (identity, *failure) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if keyID == s.present.keyID && token == s.present.token {
		return s.present, nil
	}
	for _, was := range s.expired {
		if was.token != "" && keyID == was.keyID && token == was.token {
			return identity{}, badRequest("ExpiredToken", "The provided token has expired.")
		}
	}
	if keyID != s.present.keyID {
		return identity{}, &failure{
			status: http.StatusForbidden, code: "InvalidAccessKeyId",
			message: "The AWS Access Key Id you provided does not exist in our records.",
		}
	}
	return identity{}, badRequest("InvalidToken", "The provided token is malformed or otherwise invalid.")
}

// permit refuses what the caller lacks, in the words that S3 has for it.
func (s *Server) permit(action, bucket, key string) *failure {
	if !slices.Contains(s.cfg.Deny, action) {
		return nil
	}
	resource := "arn:aws:s3:::" + bucket
	if key != "" {
		resource += "/" + key
	}
	f := accessDenied()
	f.message = fmt.Sprintf("User: arn:aws:iam::%s:user/auditstream is not authorized to perform: %s on resource: %q "+
		"because no identity-based policy allows the %s action", s.cfg.Owner, action, resource, action)
	return f
}

// now is the endpoint's clock.
func (s *Server) now() time.Time { return time.Now().Add(s.cfg.Skew) }
