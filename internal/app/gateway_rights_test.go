package app

import (
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/auditstream/auditstream/config"
	"github.com/auditstream/auditstream/internal/kafka"
	"github.com/auditstream/auditstream/internal/secret"
	"github.com/auditstream/auditstream/producer/workos/workostest"
)

// rightsOfTheGateway are those that deploy/README.md lists.
func rightsOfTheGateway(t *testing.T) []kfake.ACL {
	t.Helper()
	text, err := os.ReadFile("../../deploy/README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, found := strings.Cut(string(text), "<!-- rights of the gateway -->\n")
	table, _, closed := strings.Cut(table, "<!-- end -->")
	if !found || !closed {
		t.Fatal("the page lists no rights")
	}
	operations := map[string]kmsg.ACLOperation{
		"Read": kmsg.ACLOperationRead, "Write": kmsg.ACLOperationWrite, "Describe": kmsg.ACLOperationDescribe, "DescribeConfigs": kmsg.ACLOperationDescribeConfigs,
	}
	resources := map[string]kmsg.ACLResourceType{
		"topic": kmsg.ACLResourceTypeTopic, "topics": kmsg.ACLResourceTypeTopic, "group": kmsg.ACLResourceTypeGroup, "transactional id": kmsg.ACLResourceTypeTransactionalId,
	}
	row := regexp.MustCompile("^\\| ([A-Za-z, ]+) \\| ([a-z ]+) `([^`]+)`(.*?) \\|")
	var acls []kfake.ACL
	for line := range strings.Lines(table) {
		m := row.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		for name := range strings.SplitSeq(m[1], ", ") {
			a := kfake.ACL{Resource: resources[m[2]], Name: strings.ReplaceAll(m[3], "PREFIX", "audit"), Pattern: kmsg.ACLResourcePatternTypeLiteral, Operation: operations[name], Allow: true}
			if strings.HasPrefix(m[4], " (prefixed)") {
				a.Pattern = kmsg.ACLResourcePatternTypePrefixed
			}
			if a.Resource == 0 || a.Operation == 0 {
				t.Fatalf("%q is not understood", line)
			}
			acls = append(acls, a)
		}
	}
	if len(acls) < 10 {
		t.Fatalf("%d rights", len(acls))
	}
	return acls
}

// With the rights that the page lists, and no other, a gateway does everything.
func TestTheRightsThatAGatewayNeeds(t *testing.T) {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.EnableSASL(), kfake.EnableACLs(),
		kfake.Superuser("PLAIN", "root", "pw"), kfake.User("PLAIN", "gateway", "pw", rightsOfTheGateway(t)...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	password := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(password, []byte("pw"), 0o600); err != nil {
		t.Fatal(err)
	}
	sasl := func(user string) *kafka.SASL {
		return &kafka.SASL{Mechanism: "plain", Username: user, Password: secret.Ref{File: password}}
	}
	opts, err := kafka.Config{Brokers: cluster.ListenAddrs(), SASL: sasl("root")}.Options(zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	root, err := kgo.NewClient(opts...)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	if err := kafka.EnsureTopics(t.Context(), kadm.NewClient(root), kafka.Topics{Partitions: 3, Replication: 1}, zap.NewNop()); err != nil {
		t.Fatal(err)
	}

	s := newSite(t) // its Kafka is away: there is another one
	world, settings := s.workOS(true)
	world.Happen(workostest.New(7, time.Now().Add(-time.Hour), workosOrg))
	var workosURL string
	d := s.gateway(everything(t), settings, func(c *config.Config) {
		workosURL = c.Gateway.WorkOS.Poll.URL
		c.Kafka.Brokers, c.Kafka.SASL = cluster.ListenAddrs(), sasl("gateway")
	})
	d.ready()
	d.told(201, "POST", "/audit_logs/actions/invoice.viewed/schemas", `{"targets":[{"type":"invoice"}]}`)
	for range 2 {
		d.told(200, "POST", "/audit_logs/events", `{"organization_id":"`+acmeOrg+`","event":{"action":"invoice.viewed","occurred_at":"2026-11-22T10:00:00Z","actor":{"type":"user","id":"u"},"targets":[{"type":"invoice","id":"i"}]}}`)
	}
	d.told(200, "PUT", "/organizations/"+acmeOrg+"/audit_logs_retention", `{"retention_period_in_days":3650}`)
	e := d.exported(`,"actions":["invoice.viewed"]`)
	url, _ := e["url"].(string)
	if status, _, file := d.with("", "GET", url, "", nil); status != http.StatusOK || strings.Count(file, "invoice.viewed") != 1 {
		t.Errorf("the export: %d %s", status, file)
	}
	if status := d.hook([]byte(`{"id":"event_1","event":"user.created","created_at":"2026-11-22T10:00:00.000Z","data":{"object":"user","id":"user_1"}}`)); status != http.StatusOK {
		t.Errorf("an Event that can be none: %d", status)
	}
	d.logged("this process reads WorkOS's Events API now")
	eventually(t, "WorkOS's Event, and a cursor", func() bool {
		o := &Operator{client: root, topics: kafka.Topics{Prefix: "audit"}}
		read, err := o.WorkOSReading(t.Context(), workosURL)
		return err == nil && read.Known
	})
	for _, entry := range d.logs.All() {
		for _, f := range entry.Context {
			if f.Type == zapcore.ErrorType && strings.Contains(f.Interface.(error).Error(), "AUTHORIZATION") {
				t.Errorf("%s: %v", entry.Message, f.Interface)
			}
		}
	}
}
