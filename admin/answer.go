package admin

import "github.com/auditstream/auditstream/internal/httpserver"

// answer is an answer under way, and what the log says of it.
type answer struct {
	httpserver.Answer
	route  string
	caller string
	err    error
}
