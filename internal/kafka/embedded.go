package kafka

import (
	"cmp"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/auditstream/auditstream/internal/dirlock"
	"github.com/twmb/franz-go/pkg/kfake"
	"go.uber.org/zap"
)

// EmbeddedConfig says how the embedded broker runs.
type EmbeddedConfig struct {
	Dir  string      // where it keeps everything, made if need be; empty: in memory, gone after Close
	Port int         // on 127.0.0.1; 0: any free one
	Log  *zap.Logger // nil: no log

	// CleanerInterval is the time between two rounds of retention and compaction; default
	// 1 minute.
	CleanerInterval time.Duration
}

// Embedded is a Kafka broker in this process: one broker, no replication, for evaluation,
// development and tests. It listens on 127.0.0.1 only. Records that it acknowledged are
// there again after a crash of the process; after a crash of the machine the last ones
// may not be, as nothing is synced to disk.
//
// It keeps the timestamp that a producer sent also where the topic says LogAppendTime.
type Embedded struct {
	cluster *kfake.Cluster
	lock    *dirlock.Lock // nil in memory
	addr    string
}

const cleanerInterval = time.Minute

// StartEmbedded starts a broker. It fails when another process uses Dir or the port.
func StartEmbedded(c EmbeddedConfig) (*Embedded, error) {
	e := &Embedded{}
	if c.Dir != "" {
		var err error
		if e.lock, err = dirlock.Take(c.Dir); err != nil {
			if inUse, ok := errors.AsType[*dirlock.InUseError](err); ok {
				return nil, fmt.Errorf("another process uses the embedded Kafka in %s: stop it, or give another directory (%w)", c.Dir, inUse.Err)
			}
			return nil, fmt.Errorf("directory of the embedded Kafka: %w", err)
		}
	}
	opts := []kfake.Opt{
		kfake.NumBrokers(1),
		kfake.ListenFn(listen),
		// Kept with the data: another directory is another cluster.
		kfake.ClusterID(newClusterID()),
		kfake.BrokerConfigs(map[string]string{
			// Its default is an hour, between which nothing is deleted.
			"log.cleaner.backoff.ms": strconv.FormatInt(cmp.Or(c.CleanerInterval, cleanerInterval).Milliseconds(), 10),
		}),
	}
	if c.Port != 0 {
		opts = append(opts, kfake.Ports(c.Port))
	}
	if c.Dir != "" {
		opts = append(opts, kfake.DataDir(c.Dir))
	}
	if c.Log != nil {
		opts = append(opts, kfake.WithLogger(brokerLog{c.Log}))
	}
	var err error
	if e.cluster, err = kfake.NewCluster(opts...); err != nil {
		return nil, errors.Join(fmt.Errorf("start the embedded Kafka: %w", err), e.unlock())
	}
	e.addr = e.cluster.ListenAddrs()[0]
	return e, nil
}

// Addr is host:port of the broker.
func (e *Embedded) Addr() string { return e.addr }

// Close writes what is not yet written, stops the broker and frees its directory.
// Clients that are still connected are cut off.
func (e *Embedded) Close() error {
	e.cluster.Close()
	return e.unlock()
}

func (e *Embedded) unlock() error {
	if e.lock == nil {
		return nil
	}
	return e.lock.Close()
}

// listen refuses to listen anywhere but on loopback: the broker has neither
// authentication nor encryption.
func listen(network, address string) (net.Listener, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
		return nil, fmt.Errorf("the embedded Kafka listens on loopback only, not on %s", address)
	}
	return net.Listen(network, address) //nolint:noctx // kfake's hook has no context
}

// newClusterID is a random id of the form that Kafka's own tools make.
func newClusterID() string {
	var id [16]byte
	_, _ = rand.Read(id[:]) // never fails
	return base64.RawURLEncoding.EncodeToString(id[:])
}

// brokerLog passes on the broker's warnings and errors; the rest is one line a request.
type brokerLog struct{ log *zap.Logger }

func (l brokerLog) Logf(level kfake.LogLevel, format string, args ...any) {
	switch level {
	case kfake.LogLevelError:
		l.log.Error(fmt.Sprintf(format, args...))
	case kfake.LogLevelWarn:
		l.log.Warn(fmt.Sprintf(format, args...))
	case kfake.LogLevelNone, kfake.LogLevelInfo, kfake.LogLevelDebug:
	}
}
