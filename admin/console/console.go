// Package console is the web console: pages over [admin.Service] for people who look after
// streams.
//
// A page shows what the service says and does nothing by itself: what a caller may see and do
// is decided in the service that it is given, and asked a second time here, before a form is
// shown or taken. Pages are whole without scripts; scripts refresh them, draw the plots and
// follow the live tail. Everything is embedded, and nothing is fetched from elsewhere.
//
// Whatever events, destinations and people say is text to it: escaped, without characters
// that would hide or reorder other text, and bounded.
package console

import (
	"crypto/sha256"
	"net/http"
	"time"

	"go.uber.org/zap"

	"github.com/auditstream/auditstream/admin"
)

// Config is what the console needs.
type Config struct {
	// Service is the control plane as a caller may use it, or why there is none at present.
	Service func(admin.Caller) (admin.Service, error)
	// Caller says whose token has a digest; false: nobody's. It is asked at each request, so
	// that a session ends with the token that it was begun with. The token itself is not kept.
	Caller  func(digest [sha256.Size]byte) (admin.Caller, bool)
	Version string
	Metrics *admin.Metrics // nil: nobody counts
	Log     *zap.Logger
}

// Bounds of what a page waits for and takes.
const (
	answerTime = 20 * time.Second // for what the service is asked to build a page
	deedTime   = time.Minute      // for what it is asked to do
	maxForm    = 256 << 10        // bytes of a form: a stream's document is the largest
)

// console serves the pages.
type console struct {
	config   Config
	assets   *assets
	sessions *sessions
	attempts *attempts
	tails    chan struct{} // has room for each live tail
	log      *zap.Logger
}

// New returns the console, to be served at the root: its pages have absolute paths. It takes
// none below /v1, which are the API's.
func New(c Config) (http.Handler, error) {
	files, err := loadAssets()
	if err != nil {
		return nil, err
	}
	if c.Log == nil {
		c.Log = zap.NewNop()
	}
	s := &console{
		config: c, assets: files, sessions: newSessions(), attempts: newAttempts(),
		tails: make(chan struct{}, maxTails), log: c.Log,
	}
	mux := http.NewServeMux()
	mux.Handle("GET /assets/{hash}/{name...}", files)
	mux.HandleFunc("GET /login", s.loginPage)
	mux.HandleFunc("POST /login", s.login)
	mux.HandleFunc("POST /logout", s.logout)
	for _, r := range routes() {
		mux.HandleFunc(r.pattern, s.visited(r, answerTime))
	}
	mux.HandleFunc("GET /tail/events", s.visited(route{needs: admin.RoleViewer, serve: (*visit).tail}, tailTime))
	origins := http.NewCrossOriginProtection()
	origins.SetDenyHandler(http.HandlerFunc(s.foreign))
	return s.guarded(counted(c.Metrics, origins.Handler(mux))), nil
}

// route is a page, or a form that is sent.
type route struct {
	pattern string
	needs   admin.Role
	serve   func(*visit) error
}

// everythingElse is the pattern of paths that are no page.
const everythingElse = "GET /"

// routes are all that need a session. What changes something is a POST.
func routes() []route {
	return []route{
		{"GET /{$}", admin.RoleViewer, (*visit).overview},
		{"GET /search", admin.RoleViewer, (*visit).search},
		{"GET /history", admin.RoleViewer, (*visit).history},
		{"GET /streams", admin.RoleViewer, (*visit).streams},
		{"GET /streams/new", admin.RoleAdmin, (*visit).newPage},
		{"POST /streams/plan", admin.RoleAdmin, (*visit).plan},
		{"POST /streams/apply", admin.RoleAdmin, (*visit).apply},
		{"POST /streams/test-draft", admin.RoleAdmin, (*visit).testDraft},
		{"POST /streams/try-draft", admin.RoleAdmin, (*visit).tryDraft},
		{"GET /streams/{id}/edit", admin.RoleAdmin, (*visit).editPage},
		{"GET /streams/{id}", admin.RoleViewer, (*visit).stream},
		{"GET /streams/{id}/pause", admin.RoleOperator, (*visit).pausePage},
		{"POST /streams/{id}/pause", admin.RoleOperator, (*visit).pause},
		{"GET /streams/{id}/resume", admin.RoleOperator, (*visit).resumePage},
		{"POST /streams/{id}/resume", admin.RoleOperator, (*visit).resume},
		{"GET /streams/{id}/skip", admin.RoleOperator, (*visit).skipPage},
		{"POST /streams/{id}/skip", admin.RoleOperator, (*visit).skip},
		{"GET /streams/{id}/test", admin.RoleOperator, (*visit).testPage},
		{"POST /streams/{id}/test", admin.RoleOperator, (*visit).test},
		{"GET /streams/{id}/try", admin.RoleOperator, (*visit).tryPage},
		{"POST /streams/{id}/try", admin.RoleOperator, (*visit).try},
		{"GET /streams/{id}/replay", admin.RoleOperator, (*visit).replayPage},
		{"POST /streams/{id}/replay", admin.RoleOperator, (*visit).replay},
		{"GET /streams/{id}/report", admin.RoleOperator, (*visit).reportPage},
		{"GET /streams/{id}/delete", admin.RoleAdmin, (*visit).deletePage},
		{"POST /streams/{id}/delete", admin.RoleAdmin, (*visit).delete},
		{"GET /dead-letters", admin.RoleViewer, (*visit).letters},
		{"GET /dead-letters/{at}", admin.RoleViewer, (*visit).letter},
		{"GET /dead-letters/{at}/record", admin.RoleOperator, (*visit).record},
		{"POST /dead-letters/decide", admin.RoleOperator, (*visit).decide},
		{"POST /dead-letters/redrive", admin.RoleOperator, (*visit).redrive},
		{"POST /dead-letters/discard", admin.RoleOperator, (*visit).discard},
		{"GET /jobs", admin.RoleViewer, (*visit).jobs},
		{"GET /jobs/{uid}", admin.RoleViewer, (*visit).job},
		{"POST /jobs/{uid}", admin.RoleOperator, (*visit).decideJob},
		{"GET /tail", admin.RoleViewer, (*visit).tailPage},
		{"GET /explain", admin.RoleViewer, (*visit).explain},
		{"GET /schemas", admin.RoleViewer, (*visit).schemas},
		{"GET /schemas/{action}", admin.RoleViewer, (*visit).schema},
		{"GET /topics", admin.RoleViewer, (*visit).topics},
		{everythingElse, admin.RoleViewer, (*visit).nowhere},
	}
}
