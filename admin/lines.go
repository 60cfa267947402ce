package admin

import (
	"encoding/json"
	"mime"
	"net/http"
	"strings"
	"sync"
	"time"
)

// beatEvery is how often a sign of life is sent while nothing else is, so that each side finds
// out that the other has gone.
const beatEvery = 15 * time.Second

// lines are an answer that comes bit by bit: JSON, a value a line, or, for who accepts that
// only, server-sent events. Empty lines, or comments, are signs of life.
type lines struct {
	r      *request
	events bool
	stop   chan struct{}
	done   chan struct{}

	mu    sync.Mutex
	wrote bool  // guarded by mu
	err   error // the first of writing; guarded by mu
}

// lines begins such an answer. Nothing is sent before the first line, or sign of life.
func (r *request) lines() *lines {
	l := &lines{r: r, stop: make(chan struct{}), done: make(chan struct{})}
	for accepted := range strings.SplitSeq(r.Header.Get("Accept"), ",") {
		kind, _, err := mime.ParseMediaType(accepted)
		if err == nil && kind == typeEvents {
			l.events = true
		}
	}
	go l.beat()
	return l
}

// end returns when nothing more is sent.
func (l *lines) end() {
	close(l.stop)
	<-l.done
}

func (l *lines) beat() {
	defer close(l.done)
	tick := time.NewTicker(beatEvery)
	defer tick.Stop()
	for {
		select {
		case <-l.stop:
			return
		case <-tick.C:
		}
		life := "\n"
		if l.events {
			life = ":\n\n"
		}
		if l.write([]byte(life)) != nil {
			return
		}
	}
}

// begun says whether something was sent.
func (l *lines) begun() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.wrote
}

// start sends the head.
func (l *lines) start() error { return l.write(nil) }

// put sends a value.
func (l *lines) put(v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if l.events {
		return l.write([]byte("data: " + string(b) + "\n\n"))
	}
	return l.write(append(b, '\n'))
}

// fail sends, in place of a status that it is too late for, why there is no more.
func (l *lines) fail(err error) error {
	p := problemOf(err, l.r.w.Header().Get(headerRequest))
	if l.events {
		b, marshalled := json.Marshal(p)
		if marshalled != nil {
			return marshalled
		}
		return l.write([]byte("event: error\ndata: " + string(b) + "\n\n"))
	}
	return l.put(map[string]ProblemDocument{"error": p})
}

func (l *lines) write(b []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		return l.err
	}
	if !l.wrote {
		l.wrote = true
		kind := typeNDJSON
		if l.events {
			kind = typeEvents
		}
		l.r.w.Header().Set("Content-Type", kind)
		l.r.w.Header().Set("X-Accel-Buffering", "no") // proxies are not to collect it
		l.r.w.WriteHeader(http.StatusOK)
	}
	if len(b) > 0 {
		_, l.err = l.r.w.Write(b)
	}
	if l.err == nil {
		l.err = l.r.w.Control.Flush()
	}
	return l.err
}
