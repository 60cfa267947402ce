// Package secret holds references to secrets. A configuration, a log, a page and a
// record in Kafka hold the reference; only Resolve ever holds the value.
package secret

import "context"

// Ref names where a secret is kept. Exactly one field is set.
type Ref struct {
	Env  string   `json:"env,omitempty"`
	File string   `json:"file,omitempty"`
	Exec []string `json:"exec,omitempty"`
}

// Resolve reads the secret anew. Errors name the reference, never the value.
func (r Ref) Resolve(ctx context.Context) (string, error) { panic("not yet written") }
