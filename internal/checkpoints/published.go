package checkpoints

import (
	"context"
	"encoding/json"
	"net/http"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"github.com/auditstream/auditstream/integrity"
	"github.com/auditstream/auditstream/internal/kafka"
)

// Times of what is published.
const (
	publishedFor   = time.Minute     // until Kafka is asked again
	publishedAgain = 5 * time.Second // likewise, where it did not answer
	publishedWait  = 5 * time.Second // for its answer
)

// Publisher tells the public keys to whoever asks. Nobody needs a token for them, so Kafka
// is asked rarely, by one at a time, however many ask here.
type Publisher struct {
	Client *kgo.Client
	Topics kafka.Topics
	Log    *zap.Logger

	mu    sync.Mutex
	known integrity.Published // guarded by mu
	any   bool                // guarded by mu: known is something
	again time.Time           // guarded by mu
	err   error               // guarded by mu: of the last question
}

// Published are the public keys. Without Kafka they are those that were known last.
func (p *Publisher) Published(ctx context.Context) (integrity.Published, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if now := time.Now(); now.After(p.again) {
		// Whoever asks may go away; those who wait behind him want the answer all the same.
		asking, cancel := context.WithTimeout(context.WithoutCancel(ctx), publishedWait)
		defer cancel()
		var known integrity.Published
		if known, p.err = p.ask(asking); p.err == nil {
			p.known, p.any, p.again = known, true, now.Add(publishedFor)
		} else {
			p.again = now.Add(publishedAgain)
			p.Log.Warn("the public keys of checkpoints cannot be read", zap.Error(p.err))
		}
	}
	if !p.any {
		return integrity.Published{}, p.err
	}
	return p.known, nil
}

func (p *Publisher) ask(ctx context.Context) (integrity.Published, error) {
	statements, err := ReadStatements(ctx, p.Client, p.Topics)
	if err != nil {
		return integrity.Published{}, err
	}
	return Published(statements, p.Log), nil
}

// Published is what the statements add up to. Those that contradict each other are told of,
// and published: who verifies has to see them.
func Published(statements []Statement, log *zap.Logger) integrity.Published {
	keys, err := Trusted(statements)
	if err != nil {
		log.Error("statements about the keys of checkpoints contradict each other", zap.Error(err))
	}
	signed := make([][]byte, len(statements))
	for i, st := range statements {
		signed[i] = st.Signed
	}
	if keys == nil {
		return integrity.Published{Keys: []integrity.PublishedKey{}, Statements: []string{}}
	}
	return keys.Publish(signed)
}

// ServeHTTP serves them as JSON.
func (p *Publisher) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	known, err := p.Published(r.Context())
	body, status := any(known), http.StatusOK
	if err != nil {
		status, body = http.StatusServiceUnavailable, map[string]string{"message": "Kafka does not tell the public keys now.", "code": "unavailable"}
		w.Header().Set("Retry-After", "5")
	}
	text, err := json.Marshal(body)
	if err != nil {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(text, '\n'))
}
