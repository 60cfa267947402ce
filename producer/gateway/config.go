package gateway

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"

	"github.com/auditstream/auditstream/internal/openapi"
	"github.com/auditstream/auditstream/schema"
	"github.com/auditstream/auditstream/schema/registry"
)

// Config is what a server needs. Publisher and Keys are required.
type Config struct {
	Publisher Publisher
	Keys      Keys
	Rates     Rates // nil: no bounds
	Once      Once  // nil: nothing is remembered; ids are derived all the same

	Validator schema.Validator   // of envelopes
	Registry  *registry.Registry // checks events by the schemas of their actions; nil: the envelope only

	// Begun says why no event can be taken yet; nil: it can. Until then routes of events
	// answer 503 without trying.
	Begun func() error
	// Ready says why /readyz is to say no; nil: it says yes.
	Ready func() error

	Requests int   // served at once; 0: DefaultRequests
	Memory   int64 // bytes, for bodies and what is made of them; 0: DefaultMemory

	Schemas    Schemas    // nil: no routes of schemas
	Exports    Exports    // nil: no routes of exports
	Retentions Retentions // nil: no routes of retention
	URL        string     // that callers reach the gateway by, as in https://audit.acme.example; "": as each request has it

	Extra []Extra // routes of others

	Metrics prometheus.Registerer // nil: none
	Traces  trace.TracerProvider  // nil: the trace of a caller goes on in the record, without spans of ours
	Log     *zap.Logger
}

// Defaults of Config.
const (
	DefaultRequests = 256
	DefaultMemory   = 64 << 20
)

// Publisher publishes events: *producer.Client, or what stands in front of one. It returns when
// each of the events is accepted or has failed, nil or a *producer.PublishError.
type Publisher interface {
	Publish(ctx context.Context, events ...*schema.Event) error
}

// Keys tell whose a request is, or return an *[Error], usually of 401.
type Keys interface {
	Authenticate(r *http.Request) (Caller, error)
}

// Caller is who publishes.
type Caller struct {
	Name          string   // of the key, as the log says it
	Organizations []string // whose events it may publish; "*" is every one
	Actions       []string // that it may publish, as in user.*; empty: all
	Allow         []string // of Allowances; empty: AllowPublish
}

// Knows says whether there is such an organization for the caller. One that is not its own is
// not found, whether it exists or not.
func (c Caller) Knows(organization string) bool {
	return slices.Contains(c.Organizations, "*") || slices.Contains(c.Organizations, organization)
}

// May says whether the caller may publish such an event.
func (c Caller) May(organization, action string) bool {
	return c.Knows(organization) && c.Allows(AllowPublish) && c.Does(action)
}

// matches says whether action is as glob has it; a star is any run of characters.
func matches(glob, action string) bool {
	parts := strings.Split(glob, "*")
	if len(parts) == 1 {
		return glob == action
	}
	rest, ok := strings.CutPrefix(action, parts[0])
	if !ok {
		return false
	}
	for _, part := range parts[1 : len(parts)-1] {
		_, after, found := strings.Cut(rest, part)
		if !found {
			return false
		}
		rest = after
	}
	return strings.HasSuffix(rest, parts[len(parts)-1])
}

// Rates bound how many events a key and an organization publish.
type Rates interface {
	// Take takes events from what is left. It returns 0, or how long to wait until they would
	// be let through; then nothing was taken.
	Take(caller Caller, organization string, events int) (wait time.Duration)
}

// Once remembers what was accepted by idempotency key and content.
type Once interface {
	// Claim is that of a request on its key and content. It returns ErrConflict if the key was
	// used with other content. An empty key stands for one that is derived from the content.
	// While another request claims the same, it waits for what becomes of that until ctx ends,
	// or for a while, and returns ErrBusy then; with a ctx that has ended, at once.
	Claim(ctx context.Context, organization, key string, content []byte) (Claim, error)
}

// ErrConflict says that the idempotency key was used with other content.
var ErrConflict = errors.New("the idempotency key was used with other content")

// ErrBusy says that another request publishes the same, and what became of it was not waited
// for to the end.
var ErrBusy = errors.New("another request publishes the same")

// Claim is a request's claim on a key and content. Unless it is Done, exactly one of Accepted
// and Failed is called.
type Claim interface {
	ID() string // that the event has: see schema.DeriveID
	Done() bool // the same was accepted before: there is nothing to publish
	Accepted()  // Kafka has it
	Failed()    // it was not accepted, as far as is known: it may be tried again
}

// Extra is a route of others. It is not authenticated, and reads its body itself; slots, log
// and figures are those of every route.
type Extra struct {
	Method, Path string
	Handler      http.Handler

	About, More  string           // what it does, for the OpenAPI document; "": it does not stand there
	Body, Answer openapi.Object   // schemas of what is sent and of success, in JSON
	Headers      []openapi.Object // parameters
	Refused      []int            // statuses of errors, which have message and code as all others
}

// derived is a Once that remembers nothing.
type derived struct{}

func (derived) Claim(_ context.Context, organization, key string, content []byte) (Claim, error) {
	return derivedClaim(schema.DeriveID(organization, key, content)), nil
}

type derivedClaim string

func (c derivedClaim) ID() string { return string(c) }
func (derivedClaim) Done() bool   { return false }
func (derivedClaim) Accepted()    {}
func (derivedClaim) Failed()      {}
