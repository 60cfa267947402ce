//go:build linux

package servers

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/auditstream/auditstream/internal/closedport"
)

// KafkaConfig says what cluster to make.
type KafkaConfig struct {
	Brokers    int      // each is broker and controller at once; nodes count from 1
	Secure     bool     // TLS and SASL listeners, users admin and alice
	Proxied    int      // listeners with SASL that are advertised where fault proxies have to stand
	Properties []string // more broker properties, as "name=value"
}

// Kafka is a cluster of Apache Kafka nodes, each a process.
type Kafka struct {
	Addrs     []string // plaintext listeners, one a node
	TLSAddrs  []string // TLS with SASL, when secure
	SASLAddrs []string // SASL without TLS, when secure
	CAFile    string   // PEM of the authority of the TLS listeners, when secure

	ProxyAddrs    [][]string // where fault proxies have to listen, by proxied listener and node
	UpstreamAddrs [][]string // what they have to lead to

	config KafkaConfig
	script string
	dir    string
	port   int
}

// NewKafka chooses the addresses of a cluster. Nothing runs until Start.
func NewKafka(t *testing.T, config KafkaConfig) *Kafka {
	t.Helper()
	var distances []int
	for node := range config.Brokers {
		distances = append(distances, node, 100+node, 200+node, 300+node)
		for listener := range config.Proxied {
			distances = append(distances, 400+10*listener+node, 500+10*listener+node)
		}
	}
	k := &Kafka{
		config: config,
		script: filepath.Join(Repository(t), "integration", "kafka", "kafka-up"),
		dir:    filepath.Join(t.TempDir(), "kafka"),
		port:   closedport.Find(t, distances...),
	}
	for node := range config.Brokers {
		k.Addrs = append(k.Addrs, loopback(k.port+node))
		if config.Secure {
			k.TLSAddrs = append(k.TLSAddrs, loopback(k.port+200+node))
			k.SASLAddrs = append(k.SASLAddrs, loopback(k.port+300+node))
			k.CAFile = filepath.Join(k.dir, "tls", "ca.pem")
		}
	}
	for listener := range config.Proxied {
		var upstream, proxies []string
		for node := range config.Brokers {
			upstream = append(upstream, loopback(k.port+400+10*listener+node))
			proxies = append(proxies, loopback(k.port+500+10*listener+node))
		}
		k.UpstreamAddrs, k.ProxyAddrs = append(k.UpstreamAddrs, upstream), append(k.ProxyAddrs, proxies)
	}
	return k
}

// StartKafka starts a cluster of that many brokers and returns when it answers.
func StartKafka(t *testing.T, brokers int) *Kafka {
	t.Helper()
	k := NewKafka(t, KafkaConfig{Brokers: brokers})
	k.Start(t)
	return k
}

// Start starts the cluster and returns when every node answers and knows of the others. It
// is killed when the test ends.
func (k *Kafka) Start(t *testing.T) {
	t.Helper()
	t.Cleanup(func() { k.clean(t) })
	args := []string{"start", "--fast", "--owner", strconv.Itoa(os.Getpid()), "--brokers", strconv.Itoa(k.config.Brokers)}
	if k.config.Secure {
		args = append(args, "--secure")
	}
	if k.config.Proxied > 0 {
		args = append(args, "--proxied", strconv.Itoa(k.config.Proxied))
	}
	for _, p := range k.config.Properties {
		args = append(args, "--conf", p)
	}
	k.run(t, append(args, k.dir, strconv.Itoa(k.port))...)
}

// PutData has a node that was never started keep its logs in a directory.
func (k *Kafka) PutData(t *testing.T, node int, dir string) {
	t.Helper()
	home := filepath.Join(k.dir, fmt.Sprintf("node%d", node))
	if err := os.MkdirAll(home, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(dir, filepath.Join(home, "data")); err != nil {
		t.Fatal(err)
	}
}

// KillNode kills a node with SIGKILL.
func (k *Kafka) KillNode(t *testing.T, node int) {
	t.Helper()
	k.run(t, "kill", k.dir, strconv.Itoa(node))
}

// StopNode ends a node in an orderly way: it hands its partitions over first.
func (k *Kafka) StopNode(t *testing.T, node int) {
	t.Helper()
	k.run(t, "stop", k.dir, strconv.Itoa(node))
}

// StartNode starts a node that is down, with the data it had.
func (k *Kafka) StartNode(t *testing.T, node int) {
	t.Helper()
	k.run(t, "node", k.dir, strconv.Itoa(node))
}

// RestartNode is StopNode, then StartNode.
func (k *Kafka) RestartNode(t *testing.T, node int) {
	t.Helper()
	k.StopNode(t, node)
	k.StartNode(t, node)
}

// PauseNode stops a node's process: its connections stay open and nothing answers.
func (k *Kafka) PauseNode(t *testing.T, node int) {
	t.Helper()
	k.run(t, "pause", k.dir, strconv.Itoa(node))
}

// ResumeNode continues a paused node.
func (k *Kafka) ResumeNode(t *testing.T, node int) {
	t.Helper()
	k.run(t, "resume", k.dir, strconv.Itoa(node))
}

// run gives the script up to four minutes: the first start of all resolves Kafka's jars.
func (k *Kafka) run(t *testing.T, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 4*time.Minute)
	defer cancel()
	var said strings.Builder
	cmd := exec.CommandContext(ctx, k.script, args...)
	// Not a pipe: the brokers outlive the script, and whatever they inherit must not be waited for.
	cmd.WaitDelay = 5 * time.Second
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Run(); err != nil {
		t.Fatalf("kafka-up %s: %v\n%s", args[0], err, said.String())
	}
}

func (k *Kafka) clean(t *testing.T) {
	t.Helper()
	if _, err := os.Stat(filepath.Join(k.dir, "settings")); err != nil {
		return
	}
	if t.Failed() {
		for node := range k.config.Brokers {
			showTail(t, fmt.Sprintf("Kafka node %d", node+1), filepath.Join(k.dir, fmt.Sprintf("node%d", node+1), "server.log"))
		}
	}
	k.run(t, "clean", k.dir)
}

func loopback(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }
