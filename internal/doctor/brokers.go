package doctor

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/zap"

	"github.com/auditstream/auditstream/internal/kafka"
	"github.com/auditstream/auditstream/internal/units"
)

// brokers connects to each broker by itself: first to those of the configuration, then to
// those that the cluster names, which are often other addresses.
func (e *examiner) brokers(ctx context.Context) bool {
	k := e.Config.Config.Kafka.Config
	k.Brokers = e.Brokers
	if _, err := k.Options(zap.NewNop()); err != nil {
		e.fail("brokers", "mend the configuration", "%v", err)
		return false
	}
	var reached []string
	for _, addr := range e.Brokers {
		if err := e.ping(ctx, k, addr); err != nil {
			e.fail("brokers", remedyOf(err), "%s: %s", addr, reason(err))
			continue
		}
		reached = append(reached, addr)
	}
	if len(reached) == 0 {
		return false
	}
	k.Brokers = reached // one that is away would have every question wait for it
	opts, err := k.Options(zap.NewNop())
	if err != nil {
		return false
	}
	client, err := kgo.NewClient(opts...)
	if err != nil {
		e.fail("brokers", "mend the configuration", "%v", err)
		return false
	}
	e.Brokers, e.opts, e.client, e.adm = reached, opts, client, kadm.NewClient(client)
	asking, cancel := e.within(ctx)
	defer cancel()
	if e.md, err = e.adm.Metadata(asking, e.topics.Names()...); err != nil {
		e.fail("brokers", remedyOf(err), "%s does not say who is in the cluster: %s", strings.Join(reached, ", "), reason(err))
		return false
	}
	good := 0
	for _, b := range e.md.Brokers {
		req := kmsg.NewPtrApiVersionsRequest()
		req.ClientSoftwareName, req.ClientSoftwareVersion = "auditstream", "doctor"
		if _, err := client.Broker(int(b.NodeID)).Request(asking, req); err != nil {
			e.fail("brokers", "make that address reach the broker from here: it is what advertised.listeners of the broker says. "+remedyOf(err),
				"broker %d names itself %s: %s", b.NodeID, net.JoinHostPort(b.Host, strconv.Itoa(int(b.Port))), reason(err))
			continue
		}
		good++
	}
	if good == len(e.md.Brokers) && good > 0 {
		e.ok("brokers", "%s of cluster %s: each answers%s", units.Count(good, "broker", "brokers"), e.md.Cluster, securityText(k))
	}
	return good > 0
}

func securityText(k kafka.Config) string {
	text := ", without TLS"
	if k.TLS != nil {
		text = ", over TLS"
	}
	if k.SASL != nil {
		return text + ", as " + k.SASL.Username + " by " + k.SASL.Mechanism
	}
	return text
}

// ping connects to one address alone.
func (e *examiner) ping(ctx context.Context, k kafka.Config, addr string) error {
	k.Brokers = []string{addr}
	opts, err := k.Options(zap.NewNop())
	if err != nil {
		return err
	}
	client, err := kgo.NewClient(append(opts, kgo.RequestRetries(0))...)
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := e.within(ctx)
	defer cancel()
	return client.Ping(ctx)
}

// remedyOf is what to do about a broker that cannot be talked to.
func remedyOf(err error) string {
	var (
		name      *net.DNSError
		authority x509.UnknownAuthorityError
		host      x509.HostnameError
		invalid   x509.CertificateInvalidError
		record    tls.RecordHeaderError
	)
	switch {
	case errors.As(err, &name):
		return "check the name, and the DNS of this machine"
	case errors.As(err, &authority):
		return "give the authority that has signed the broker's certificate: kafka.tls.ca_file"
	case errors.As(err, &host):
		return "the certificate is for another name: dial that, or give it as kafka.tls.server_name"
	case errors.As(err, &invalid):
		return "renew the broker's certificate"
	case errors.As(err, &record):
		return "the broker speaks no TLS at this port: take kafka.tls out, or dial the port of its TLS listener"
	case errors.Is(err, kerr.SaslAuthenticationFailed):
		return "check kafka.sasl: user, password and mechanism"
	case errors.Is(err, kerr.UnsupportedSaslMechanism), errors.Is(err, kerr.IllegalSaslState):
		return "the broker takes another mechanism, or none: see kafka.sasl.mechanism and the listener's sasl.enabled.mechanisms"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "the broker hangs up: it may want TLS (kafka.tls), or another user, password or mechanism (kafka.sasl), at this port"
	case errors.Is(err, context.DeadlineExceeded):
		return "look for a firewall between here and the broker; --timeout gives it more time"
	}
	return "see that the broker runs, and listens there"
}

// leastFetch is the version of Fetch requests since which topics are known by their ids.
const leastFetch = 13 // Kafka 3.1

// versions asks each broker what it speaks.
func (e *examiner) versions(ctx context.Context) {
	ctx, cancel := e.within(ctx)
	defer cancel()
	all, err := e.adm.ApiVersions(ctx)
	if err != nil && len(all) == 0 {
		e.warn("versions", "", "the brokers do not say what they speak: %s", reason(err))
		return
	}
	seen := map[string][]string{}
	old := false
	for id, v := range all {
		if v.Err != nil {
			continue // it is told already
		}
		if most, ok := v.KeyMaxVersion(int16(kmsg.Fetch)); !ok || most < leastFetch {
			old = true
		}
		guess := v.VersionGuess()
		if strings.HasPrefix(guess, "between") || strings.HasPrefix(guess, "not") || strings.HasPrefix(guess, "unknown") {
			guess = "of a version that cannot be told by what it speaks"
		}
		seen[guess] = append(seen[guess], strconv.Itoa(int(id)))
	}
	names := strings.Join(slices.Sorted(maps.Keys(seen)), ", ")
	switch {
	case old:
		e.fail("versions", "upgrade to Kafka 3.1 or newer: a topic that is made anew cannot be told from the former one before", "Kafka %s", names)
	case len(seen) > 1:
		var parts []string
		for _, guess := range slices.Sorted(maps.Keys(seen)) {
			slices.Sort(seen[guess])
			parts = append(parts, fmt.Sprintf("%s (broker %s)", guess, strings.Join(seen[guess], ", ")))
		}
		e.warn("versions", "finish the upgrade", "the brokers have different versions: %s", strings.Join(parts, "; "))
	default:
		e.ok("versions", "Kafka %s", names)
	}
}
