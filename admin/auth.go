package admin

import (
	"net/http"
	"strings"
	"time"

	"github.com/auditstream/auditstream/internal/login"
)

// Authenticator tells whose a token is. *[Tokens] is one.
type Authenticator interface {
	Caller(token string) (Caller, error)
}

// authenticate is whose request it is. A token stands in the header Authorization, once, and
// nowhere else: what stands in an address is kept by proxies, histories and logs.
func (s *server) authenticate(r *http.Request) (Caller, error) {
	for name := range r.URL.Query() {
		switch strings.ToLower(name) {
		case "token", "access_token", "api_key", "apikey", "authorization":
			return Caller{}, CodeMalformed.Errorf("a token does not belong into the address, where others keep it: make a new one, and send it in the header Authorization")
		}
	}
	values := r.Header.Values("Authorization")
	if len(values) == 0 {
		return Caller{}, CodeUnauthenticated.Errorf("a token is needed, in the header Authorization: Bearer TOKEN")
	}
	if len(values) > 1 {
		return Caller{}, CodeMalformed.Errorf("there are %d headers Authorization: one is needed", len(values))
	}
	scheme, token, _ := strings.Cut(values[0], " ")
	token = strings.TrimSpace(token)
	if !strings.EqualFold(scheme, "Bearer") || token == "" || len(token) > login.MaxLength {
		return Caller{}, s.failed(r, CodeUnauthenticated.Errorf("the header Authorization has to be: Bearer TOKEN"))
	}
	c, err := s.cfg.Tokens.Caller(token)
	if err != nil {
		return c, s.failed(r, err)
	}
	return c, nil
}

// failed notes a failure to log in and is err, or says that there were too many.
func (s *server) failed(r *http.Request, err error) error {
	s.cfg.Metrics.LoginFailed(DoorAPI)
	if s.failures.Add(login.Host(r), time.Now()) {
		return err
	}
	return CodeTooMany.Errorf("there were too many failures to log in from this address: wait a minute")
}
