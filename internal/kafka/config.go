package kafka

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/auditstream/auditstream/internal/kafka/dial"
	"github.com/auditstream/auditstream/internal/secret"
)

// Config says how to reach a Kafka cluster.
type Config struct {
	Brokers  []string `json:"brokers,omitempty"`   // host:port of some brokers; the others are learnt from them
	ClientID string   `json:"client_id,omitempty"` // what brokers log and account for; default auditstream
	TLS      *TLS     `json:"tls,omitempty"`       // absent: no TLS; empty: the system's roots
	SASL     *SASL    `json:"sasl,omitempty"`      // absent: no authentication
}

// TLS says how a broker is recognised, and how we show who we are.
type TLS struct {
	CAFile     string `json:"ca_file,omitempty"`     // PEM; default: the system's roots
	CertFile   string `json:"cert_file,omitempty"`   // PEM, of the client; with KeyFile
	KeyFile    string `json:"key_file,omitempty"`    // PEM
	ServerName string `json:"server_name,omitempty"` // expected in the broker's certificate; default: the host dialled
}

// SASL says how we authenticate.
type SASL struct {
	Mechanism string     `json:"mechanism"` // plain, scram-sha-256 or scram-sha-512
	Username  string     `json:"username"`
	Password  secret.Ref `json:"password"` // resolved anew at each authentication
}

// defaultClientID is used when a Config names none.
const defaultClientID = "auditstream"

// FieldError is a violation in a Config or in Topics.
type FieldError struct {
	Field   string // path of json names, as in "sasl.mechanism"
	Message string // what is wrong and what to do
}

func (e *FieldError) Error() string { return e.Field + ": " + e.Message }

// Validate reports every violation, joined; each is a *FieldError. It reads no file and
// resolves no secret.
func (c Config) Validate() error {
	var errs []error
	bad := func(field, format string, args ...any) {
		errs = append(errs, &FieldError{field, fmt.Sprintf(format, args...)})
	}
	if len(c.Brokers) == 0 {
		bad("brokers", "name at least one broker as host:port")
	}
	for i, b := range c.Brokers {
		if msg := checkBroker(b); msg != "" {
			bad(fmt.Sprintf("brokers[%d]", i), "%s", msg)
		}
	}
	// 256 bytes is the limit of the client library.
	if len(c.ClientID) > 256 {
		bad("client_id", "has %d bytes; at most 256 are allowed", len(c.ClientID))
	}
	if t := c.TLS; t != nil && (t.CertFile == "") != (t.KeyFile == "") {
		bad("tls", "cert_file and key_file belong together: give both, or neither")
	}
	if s := c.SASL; s != nil {
		if !slices.Contains(dial.Mechanisms(), s.Mechanism) {
			bad("sasl.mechanism", "%q is not one of %s", s.Mechanism, strings.Join(dial.Mechanisms(), ", "))
		}
		if s.Username == "" {
			bad("sasl.username", "required")
		}
		if err := s.Password.Check(); err != nil {
			bad("sasl.password", "%v", err)
		}
	}
	return errors.Join(errs...)
}

// checkBroker says what is wrong with an address, or nothing.
func checkBroker(addr string) string {
	host, port, err := net.SplitHostPort(addr)
	if err != nil || host == "" {
		return fmt.Sprintf("%q is not host:port", addr)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return fmt.Sprintf("%q has no port between 1 and 65535", addr)
	}
	return ""
}
