package kafka_test

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/auditstream/auditstream/internal/kafka"
	"github.com/auditstream/auditstream/internal/secret"
	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
)

func TestConfigIsReadFromJSON(t *testing.T) {
	var got kafka.Config
	err := json.Unmarshal([]byte(`{"brokers": ["k:9092"], "client_id": "me",
		"tls": {"ca_file": "ca.pem", "cert_file": "c.pem", "key_file": "k.pem", "server_name": "kafka"},
		"sasl": {"mechanism": "scram-sha-512", "username": "u", "password": {"env": "PASS"}}}`), &got)
	if err != nil {
		t.Fatal(err)
	}
	want := kafka.Config{
		Brokers: []string{"k:9092"}, ClientID: "me",
		TLS:  &kafka.TLS{CAFile: "ca.pem", CertFile: "c.pem", KeyFile: "k.pem", ServerName: "kafka"},
		SASL: &kafka.SASL{Mechanism: "scram-sha-512", Username: "u", Password: secret.Ref{Env: "PASS"}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestConfigValidate(t *testing.T) {
	valid := func() kafka.Config {
		return kafka.Config{
			Brokers: []string{"kafka-1.example:9092", "[::1]:9093"},
			TLS:     &kafka.TLS{},
			SASL:    &kafka.SASL{Mechanism: "plain", Username: "u", Password: secret.Ref{Env: "PASS"}},
		}
	}
	tests := []struct {
		name   string
		change func(*kafka.Config)
		want   []string // beginnings
	}{
		{"valid", func(*kafka.Config) {}, nil},
		{"no brokers", func(c *kafka.Config) { c.Brokers = nil }, []string{"brokers: name at least one"}},
		{"addresses that are none", func(c *kafka.Config) {
			c.Brokers = []string{"kafka", ":9092", "kafka:0", "kafka:65536", "kafka:x", "kafka:9092"}
		}, []string{
			`brokers[0]: "kafka" is not host:port`,
			`brokers[1]: ":9092" is not host:port`,
			`brokers[2]: "kafka:0" has no port`,
			`brokers[3]: "kafka:65536" has no port`,
			`brokers[4]: "kafka:x" has no port`,
		}},
		{"client id too long", func(c *kafka.Config) { c.ClientID = strings.Repeat("x", 257) }, []string{"client_id: has 257 bytes"}},
		{"certificate without key", func(c *kafka.Config) { c.TLS.CertFile = "c.pem" }, []string{"tls: cert_file and key_file belong together"}},
		{"key without certificate", func(c *kafka.Config) { c.TLS.KeyFile = "k.pem" }, []string{"tls: cert_file and key_file belong together"}},
		{"unknown mechanism", func(c *kafka.Config) { c.SASL.Mechanism = "SCRAM" }, []string{`sasl.mechanism: "SCRAM" is not one of plain, scram-sha-256, scram-sha-512`}},
		{"every violation at once", func(c *kafka.Config) { *c = kafka.Config{SASL: &kafka.SASL{}} }, []string{
			"brokers: ", "sasl.mechanism: ", "sasl.username: ", "sasl.password: ",
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := valid()
			tt.change(&c)
			got := lines(c.Validate())
			if len(got) != len(tt.want) {
				t.Fatalf("got %q, want %q", got, tt.want)
			}
			for i := range got {
				if !strings.HasPrefix(got[i], tt.want[i]) {
					t.Errorf("got %q, want %q", got[i], tt.want[i])
				}
			}
		})
	}
}

func TestOptionsRefuseFilesThatAreNoCertificates(t *testing.T) {
	file := filepath.Join(t.TempDir(), "x.pem")
	if err := os.WriteFile(file, []byte("hello"), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name string
		tls  kafka.TLS
		want string
	}{
		{"missing ca", kafka.TLS{CAFile: file + ".missing"}, "tls.ca_file: "},
		{"ca of another form", kafka.TLS{CAFile: file}, "tls.ca_file: " + file + " holds no PEM certificate"},
		{"client certificate of another form", kafka.TLS{CertFile: file, KeyFile: file}, "tls.cert_file: "},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := kafka.Config{Brokers: []string{"k:1"}, TLS: &tt.tls}.Options(zap.NewNop())
			if err == nil || !strings.HasPrefix(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

func TestSASL(t *testing.T) {
	const user, password = "auditstream", "correct-horse"
	for config, broker := range map[string]string{
		"plain": "PLAIN", "scram-sha-256": "SCRAM-SHA-256", "scram-sha-512": "SCRAM-SHA-512",
	} {
		t.Run(config, func(t *testing.T) {
			cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.EnableSASL(), kfake.Superuser(broker, user, password))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(cluster.Close)
			core, logs := observer.New(zapcore.DebugLevel)
			opts, err := kafka.Config{
				Brokers: cluster.ListenAddrs(),
				SASL:    &kafka.SASL{Mechanism: config, Username: user, Password: secret.Ref{Env: "TEST_KAFKA_PASSWORD"}},
			}.Options(zap.New(core))
			if err != nil {
				t.Fatal(err)
			}
			client, err := kgo.NewClient(opts...)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(client.Close)

			// The same client, and only the variable changes: the password is read anew.
			t.Setenv("TEST_KAFKA_PASSWORD", "wrong-horse")
			if err := client.Ping(t.Context()); err == nil {
				t.Error("a wrong password was accepted")
			}
			t.Setenv("TEST_KAFKA_PASSWORD", password)
			if err := client.Ping(t.Context()); err != nil {
				t.Errorf("with the right password: %v", err)
			}
			for _, entry := range logs.All() {
				for _, text := range []string{entry.Message, toText(entry.ContextMap())} {
					if strings.Contains(text, "horse") {
						t.Errorf("the password is in the log: %s", text)
					}
				}
			}
		})
	}
}

func toText(v any) string {
	b, _ := json.Marshal(v)
	return string(b)
}

func TestMissingPasswordNamesItsReference(t *testing.T) {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.EnableSASL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	opts, err := kafka.Config{
		Brokers: cluster.ListenAddrs(),
		SASL:    &kafka.SASL{Mechanism: "plain", Username: "u", Password: secret.Ref{Env: "TEST_UNSET_PASSWORD"}},
	}.Options(zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	client, err := kgo.NewClient(opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := client.Ping(ctx); err == nil || !strings.Contains(err.Error(), "TEST_UNSET_PASSWORD") {
		t.Errorf("got %v, want the name of the variable", err)
	}
}
