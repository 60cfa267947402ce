package console

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"sync"
	"time"
)

// Bounds of sessions.
const (
	idleTime    = time.Hour      // without a request that a person made
	sessionTime = 12 * time.Hour // whatever is done meanwhile
	maxSessions = 1000           // beyond which the one that was idle the longest ends
)

// session is a browser that has brought a token.
type session struct {
	id     [sha256.Size]byte // of its cookie's value, which is kept nowhere
	digest [sha256.Size]byte // of the token
	csrf   string
	began  time.Time

	mu     sync.Mutex
	seen   time.Time // guarded by mu
	notice *notice   // what the next page says once; guarded by mu
	tails  int       // live tails that it has open; guarded by mu
	draft  *draft    // whose plan was shown last; guarded by mu
}

// notice is what became of a deed.
type notice struct {
	bad  bool
	text string
}

// say leaves word for the session's next page.
func (s *session) say(n *notice) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.notice = n
}

// take opens a live tail, if the session may have another; give closes it.
func (s *session) take() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.tails >= maxMine {
		return false
	}
	s.tails++
	return true
}

func (s *session) give() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tails--
}

func (s *session) told() *notice {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.notice
	s.notice = nil
	return n
}

// matches says whether a form carries the session's own secret.
func (s *session) matches(csrf string) bool {
	return subtle.ConstantTimeCompare([]byte(csrf), []byte(s.csrf)) == 1
}

func (s *session) over(now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return now.Sub(s.seen) > idleTime || now.Sub(s.began) > sessionTime
}

// sessions are those that last. They are in memory only: a restart asks for tokens again.
type sessions struct {
	mu   sync.Mutex
	byID map[[sha256.Size]byte]*session // guarded by mu
}

func newSessions() *sessions { return &sessions{byID: map[[sha256.Size]byte]*session{}} }

// begin makes a session and returns it with the value of its cookie.
func (t *sessions) begin(digest [sha256.Size]byte) (*session, string) {
	value, now := rand.Text(), time.Now()
	s := &session{id: sha256.Sum256([]byte(value)), digest: digest, csrf: rand.Text(), began: now, seen: now}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.makeRoom(now)
	t.byID[s.id] = s
	return s, value
}

// makeRoom ends what is over, and the session that was idle the longest when all places are
// taken. The caller holds mu.
func (t *sessions) makeRoom(now time.Time) {
	if len(t.byID) < maxSessions {
		return
	}
	var oldest *session
	var since time.Time
	for id, s := range t.byID {
		if s.over(now) {
			delete(t.byID, id)
			continue
		}
		s.mu.Lock()
		seen := s.seen
		s.mu.Unlock()
		if oldest == nil || seen.Before(since) {
			oldest, since = s, seen
		}
	}
	if len(t.byID) >= maxSessions && oldest != nil {
		delete(t.byID, oldest.id)
	}
}

// find is the session of a cookie's value, if it lasts. With touch it lasts from now on:
// what a page asks for by itself is no sign of a person.
func (t *sessions) find(value string, touch bool) *session {
	now := time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.byID[sha256.Sum256([]byte(value))]
	if s == nil {
		return nil
	}
	if s.over(now) {
		delete(t.byID, s.id)
		return nil
	}
	if touch {
		s.mu.Lock()
		s.seen = now
		s.mu.Unlock()
	}
	return s
}

// lasts says whether a session is not over.
func (t *sessions) lasts(s *session) bool {
	t.mu.Lock()
	known := t.byID[s.id] == s
	t.mu.Unlock()
	return known && !s.over(time.Now())
}

func (t *sessions) end(s *session) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.byID, s.id)
}

// Names of the session's cookie. Browsers take one named __Host- only over TLS, for the whole
// host and from nobody else.
const (
	cookieName       = "auditstream_session"
	cookieNameSecure = "__Host-auditstream_session"
)

// secure says whether the browser comes over TLS, which a proxy may end before us. Whoever
// claims so without it harms nobody but himself: his browser drops the cookie.
func secure(r *http.Request) bool {
	return r.TLS != nil || r.Header.Get("X-Forwarded-Proto") == "https"
}

func cookieOf(r *http.Request, value string) *http.Cookie {
	k := &http.Cookie{
		Name: cookieName, Value: value, Path: "/", HttpOnly: true, SameSite: http.SameSiteStrictMode,
		MaxAge: int(sessionTime / time.Second),
	}
	if secure(r) {
		k.Name, k.Secure = cookieNameSecure, true
	}
	if value == "" {
		k.MaxAge = -1
	}
	return k
}

// session is the one that a request belongs to, or nil. It ends with its token.
func (c *console) session(r *http.Request, touch bool) *session {
	k, err := r.Cookie(cookieOf(r, "").Name)
	if err != nil {
		return nil
	}
	return c.sessions.find(k.Value, touch)
}
