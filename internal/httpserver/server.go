// Package httpserver is how auditstream's servers listen: with TLS whose files are read again when
// they change, with certificates of callers where they are wanted, and with bounds for
// whatever a caller may draw out: connections, headers, requests of one connection.
package httpserver

import (
	"context"
	"errors"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"
)

// Config is what a server needs.
type Config struct {
	Address string // host:port
	TLS     *TLS   // nil: plain HTTP
	Handler http.Handler
	Bounds  Bounds
	Figures Figures
	Log     *zap.Logger

	// Endless says that requests may last as long as their callers like: their contexts end
	// when the server is told to, and not only when it gives up waiting for them.
	Endless bool
}

// Figures are about connections; one that is nil is not kept.
type Figures struct {
	Open    prometheus.Gauge   // that are open
	Evicted prometheus.Counter // that were closed for want of room
}

// Bounds of what callers may draw out. How long an answer may take to be read, the handler has
// to bound: it knows what is long for which request.
type Bounds struct {
	Connections int           // open at once; 0: any number
	Headers     time.Duration // for the handshake of TLS, and for the headers of a request
	Head        int           // bytes of headers
	Body        time.Duration // for the body of a request, where its handler says nothing else; 0: any time
	Idle        time.Duration // between two requests of a connection
	Shutdown    time.Duration // for requests under way when the server ends
	Streams     int           // requests at once of one connection, over HTTP/2; 0: HTTP/2 is not spoken
}

// Times of HTTP/2 that nobody has a reason to change.
const (
	pingAfter = 30 * time.Second // of silence on a connection on which a request is under way
	pongIn    = 15 * time.Second
	writeIn   = 30 * time.Second // for the next byte that the caller has room for
)

// Server listens.
type Server struct {
	server      *http.Server
	listener    net.Listener
	connections *connections
	shutdown    time.Duration
	scheme      string
}

// Open opens the address. An error says which setting it is about: tls or listen.
func Open(ctx context.Context, c Config) (*Server, error) {
	b := c.Bounds
	s := &Server{shutdown: b.Shutdown, scheme: "http"}
	protocols := &http.Protocols{}
	protocols.SetHTTP1(true)
	s.server = &http.Server{
		Handler: noted(timely(c.Handler, b.Body)), ReadHeaderTimeout: b.Headers, IdleTimeout: b.Idle, MaxHeaderBytes: b.Head,
		Protocols: protocols, ConnContext: connContext, ErrorLog: zap.NewStdLog(c.Log),
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams: b.Streams, SendPingTimeout: pingAfter, PingTimeout: pongIn, WriteByteTimeout: writeIn,
		},
	}
	if c.Endless {
		s.server.BaseContext = func(net.Listener) context.Context { return ctx }
	}
	if c.TLS != nil {
		s.scheme = "https"
		names := []string{"http/1.1"}
		if b.Streams > 0 {
			protocols.SetHTTP2(true)
			names = []string{"h2", "http/1.1"}
		}
		cfg, err := c.TLS.config(names, c.Log)
		if err != nil {
			return nil, &SettingError{"tls", err}
		}
		s.server.TLSConfig = cfg
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", c.Address)
	if err != nil {
		return nil, &SettingError{"listen", err}
	}
	s.connections = bounded(l, b.Connections, c.Figures)
	s.listener = s.connections
	return s, nil
}

// SettingError is about one setting of a server.
type SettingError struct {
	Setting string // as the configuration calls it, below the server's own section
	err     error
}

func (e *SettingError) Error() string {
	if e.Setting == "listen" {
		return e.Setting + ": " + e.err.Error() + "; give another address"
	}
	return e.Setting + ": " + e.err.Error()
}

func (e *SettingError) Unwrap() error { return e.err }

// URL is where the server is.
func (s *Server) URL() string { return s.scheme + "://" + s.listener.Addr().String() }

// Close ends the server at once. It is for one that is not served after all.
func (s *Server) Close() error { return s.listener.Close() }

// Serve serves until ctx ends; what is under way then may end within the bound.
func (s *Server) Serve(ctx context.Context) error {
	work, ctx := errgroup.WithContext(ctx)
	work.Go(func() error {
		var err error
		if s.server.TLSConfig != nil {
			err = s.server.ServeTLS(s.listener, "", "")
		} else {
			err = s.server.Serve(s.listener)
		}
		if !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
	work.Go(func() error {
		<-ctx.Done()
		ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.shutdown)
		defer cancel()
		if s.server.Shutdown(ending) != nil {
			_ = s.server.Close() // who is still reading has had time
		}
		return nil
	})
	return work.Wait()
}
