package workos

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"golang.org/x/sync/semaphore"
)

// MaxWebhook bounds the body of a webhook, in bytes: twice the largest audit event.
const MaxWebhook = 2_000_000

// DefaultMemory bounds the bodies that are read at once, in bytes.
const DefaultMemory = 32 << 20

// readTimeout bounds how long a body may take.
const readTimeout = 10 * time.Second

// WebhookConfig says whose webhooks are taken in. Secrets and Intake are required.
type WebhookConfig struct {
	// Secrets reads the secrets of the endpoints in WorkOS's dashboard. All of them are valid:
	// a new one stands beside the old one for a while. They are read again every ten seconds.
	Secrets   func(context.Context) ([]string, error)
	Tolerance time.Duration // of a signature's time; default DefaultTolerance
	MaxBody   int64         // bytes; default MaxWebhook
	Memory    int64         // bytes, for the bodies of all requests together; default DefaultMemory
	// Begun says why no event can be taken yet; nil: it can.
	Begun func() error
	// RetryAfter is what is asked for when Kafka does not take the event; default 10s.
	RetryAfter time.Duration
	Intake     *Intake

	Log     *zap.Logger           // nil: no log
	Metrics prometheus.Registerer // nil: none
}

// Webhook is an HTTP handler that takes WorkOS's webhooks in. It answers 200 only when Kafka
// has the event on all in-sync replicas. An event that can never become an audit event goes
// to the dead letters and is answered 200 too: WorkOS would send it again in vain, and give
// up. What is not signed with one of the secrets is answered 401, whatever the reason.
type Webhook struct {
	cfg      WebhookConfig
	requests *prometheus.CounterVec // by answer
	memory   *semaphore.Weighted

	mu      sync.Mutex
	secrets []string  // guarded by mu
	readAt  time.Time // when; guarded by mu
	said    time.Time // when a refusal was logged last; guarded by mu
}

// Answers to webhooks, as the metric names them.
const (
	answerAccepted    = "accepted"
	answerUnsigned    = "unsigned"
	answerStale       = "stale"
	answerTooLarge    = "too_large"
	answerUnread      = "unread"
	answerUnavailable = "unavailable"
)

// NewWebhook makes the handler. It fails when the secrets cannot be read.
func NewWebhook(ctx context.Context, c WebhookConfig) (*Webhook, error) {
	if c.Tolerance == 0 {
		c.Tolerance = DefaultTolerance
	}
	if c.MaxBody == 0 {
		c.MaxBody = MaxWebhook
	}
	if c.Memory == 0 {
		c.Memory = DefaultMemory
	}
	if c.RetryAfter == 0 {
		c.RetryAfter = 10 * time.Second
	}
	if c.Log == nil {
		c.Log = zap.NewNop()
	}
	h := &Webhook{cfg: c, memory: semaphore.NewWeighted(c.Memory), requests: prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: "auditstream", Subsystem: "workos", Name: "webhooks_total",
		Help: "Webhooks of WorkOS by answer: accepted, unsigned (no valid signature), stale (signed at a time too far from ours), too_large, unread (the body could not be read), unavailable (Kafka did not take the event).",
	}, []string{"answer"})}
	for _, answer := range []string{answerAccepted, answerUnsigned, answerStale, answerTooLarge, answerUnread, answerUnavailable} {
		h.requests.WithLabelValues(answer)
	}
	if _, err := h.current(ctx); err != nil {
		return nil, err
	}
	if c.Metrics != nil {
		if err := c.Metrics.Register(h.requests); err != nil {
			return nil, err
		}
	}
	return h, nil
}

// secretsFor is how long secrets are used before they are read again.
const secretsFor = 10 * time.Second

// current are the secrets as they are now.
func (h *Webhook) current(ctx context.Context) ([]string, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.secrets != nil && time.Since(h.readAt) < secretsFor {
		return h.secrets, nil
	}
	secrets, err := h.cfg.Secrets(ctx)
	if err == nil && len(secrets) == 0 {
		err = errors.New("there is no secret: anybody could send events")
	}
	if err != nil {
		return nil, err
	}
	h.secrets, h.readAt = secrets, time.Now()
	return secrets, nil
}

// ServeHTTP takes one webhook in.
func (h *Webhook) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		answer(w, http.StatusMethodNotAllowed, "method_not_allowed", "Send the webhook with POST.")
		return
	}
	// What is signed are the bytes that WorkOS sent, and it sends them as they are. To unpack
	// them before they are known to be WorkOS's would be work for anybody who asks.
	if encoding := r.Header.Get("Content-Encoding"); encoding != "" && !strings.EqualFold(encoding, "identity") {
		h.requests.WithLabelValues(answerUnread).Inc()
		answer(w, http.StatusUnsupportedMediaType, "unsupported_content_encoding", "Webhooks are taken as WorkOS sends and signs them, without Content-Encoding.")
		return
	}
	// What nobody has signed is not read: it would be memory for anybody who asks.
	if _, _, err := parseSignature(r.Header.Get(HeaderSignature)); err != nil {
		h.unsigned(w, err)
		return
	}
	if h.cfg.Begun != nil {
		if err := h.cfg.Begun(); err != nil {
			h.requests.WithLabelValues(answerUnavailable).Inc()
			h.unavailable(w)
			return
		}
	}
	body, taken, err := h.read(w, r)
	defer h.memory.Release(taken)
	if tooLarge, ok := errors.AsType[*http.MaxBytesError](err); ok {
		h.requests.WithLabelValues(answerTooLarge).Inc()
		h.complain(err)
		answer(w, http.StatusRequestEntityTooLarge, "payload_too_large", "The webhook is larger than "+strconv.FormatInt(tooLarge.Limit, 10)+" bytes.")
		return
	}
	if errors.Is(err, errNoMemory) {
		h.requests.WithLabelValues(answerUnavailable).Inc()
		h.complain(err)
		h.unavailable(w)
		return
	}
	if err != nil {
		h.requests.WithLabelValues(answerUnread).Inc()
		answer(w, http.StatusBadRequest, "unreadable_body", "The body could not be read to its end.")
		return
	}
	secrets, err := h.current(r.Context())
	if err != nil {
		h.requests.WithLabelValues(answerUnavailable).Inc()
		h.cfg.Log.Error("the secrets of webhooks cannot be read", zap.Error(err))
		h.unavailable(w)
		return
	}
	if err := verify(r.Header.Get(HeaderSignature), body, secrets, time.Now(), h.cfg.Tolerance); err != nil {
		h.unsigned(w, err)
		return
	}
	if err := h.cfg.Intake.Take(context.WithoutCancel(r.Context()), SourceWebhook, body); err != nil { // it may be on its way when WorkOS no longer waits
		h.requests.WithLabelValues(answerUnavailable).Inc()
		h.cfg.Log.Warn("a webhook was not taken: WorkOS sends it again", zap.Error(err))
		h.unavailable(w)
		return
	}
	h.requests.WithLabelValues(answerAccepted).Inc()
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, `{"success":true}`+"\n")
}

// errNoMemory says that the bodies under way take all there is for them.
var errNoMemory = errors.New("too many webhooks are being read at once")

// chunk is what is taken of the memory at a time, so that a body which is slow to come holds
// no more than what has come of it.
const chunk = 64 << 10

// read reads the body. What it took of the memory is the caller's to give back.
func (h *Webhook) read(w http.ResponseWriter, r *http.Request) (body []byte, taken int64, err error) {
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Now().Add(readTimeout)) // where there is none, the body is in memory
	defer func() { _ = control.SetReadDeadline(time.Time{}) }()
	from := http.MaxBytesReader(w, r.Body, h.cfg.MaxBody)
	for {
		if len(body) == cap(body) {
			// Twice: what is copied is there twice for a moment.
			more := int64(max(chunk, cap(body)))
			if !h.memory.TryAcquire(more) {
				return nil, taken, errNoMemory
			}
			taken += more
			body = slices.Grow(body, int(more))
		}
		n, err := from.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		if errors.Is(err, io.EOF) {
			return body, taken, nil
		}
		if err != nil {
			return nil, taken, err
		}
	}
}

// unsigned answers what is not WorkOS's. The log has the reason, which names no secret.
func (h *Webhook) unsigned(w http.ResponseWriter, err error) {
	message := "The webhook has no valid WorkOS-Signature."
	if skew, ok := errors.AsType[*skewError](err); ok {
		// It is signed, so whoever sent it may know.
		h.requests.WithLabelValues(answerStale).Inc()
		message = "The webhook is not of now: " + skew.Error() + "."
	} else {
		h.requests.WithLabelValues(answerUnsigned).Inc()
	}
	h.complain(err)
	answer(w, http.StatusUnauthorized, "invalid_signature", message)
}

// complainEvery spaces what is logged about refusals: anybody can cause them.
const complainEvery = 10 * time.Second

// complain logs a refusal, unless one was logged just before. The metric counts all of them.
func (h *Webhook) complain(why error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.said.IsZero() && time.Since(h.said) < complainEvery {
		return
	}
	h.said = time.Now()
	h.cfg.Log.Warn("a webhook was refused", zap.Error(why))
}

func (h *Webhook) unavailable(w http.ResponseWriter) {
	w.Header().Set("Retry-After", strconv.Itoa(int(h.cfg.RetryAfter/time.Second)))
	answer(w, http.StatusServiceUnavailable, "unavailable", "The event is not in Kafka yet; send it again.")
}

// answer writes an error in WorkOS's form.
func answer(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"message": message, "code": code}) // who does not read on learns nothing
}
