// Package deploy holds how auditstream is run. Its tests check the files as far as that
// can be done without a container engine.
package deploy

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/auditstream/auditstream/config"
	"github.com/auditstream/auditstream/sinks/all"
)

// compose is what of a compose file matters here.
type compose struct {
	Services map[string]struct {
		Image string `yaml:"image"`
		Build *struct {
			Context    string `yaml:"context"`
			Dockerfile string `yaml:"dockerfile"`
		} `yaml:"build"`
		Ports       []string          `yaml:"ports"`
		Environment map[string]string `yaml:"environment"`
		Volumes     []string          `yaml:"volumes"`
		DependsOn   []string          `yaml:"depends_on"`
	} `yaml:"services"`
	Volumes map[string]any `yaml:"volumes"`
}

func readCompose(t *testing.T) compose {
	t.Helper()
	var c compose
	if err := yaml.Unmarshal([]byte(read(t, "compose.yaml")), &c); err != nil {
		t.Fatal(err)
	}
	return c
}

func read(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// find returns what the first group of pattern matches in the file.
func find(t *testing.T, file, pattern string) string {
	t.Helper()
	m := regexp.MustCompile(pattern).FindStringSubmatch(read(t, file))
	if m == nil {
		t.Fatalf("%s holds nothing like %s", file, pattern)
	}
	return m[1]
}

func TestComposeRefersToWhatExists(t *testing.T) {
	c := readCompose(t)
	for name, s := range c.Services {
		if s.Build != nil {
			if _, err := os.Stat(filepath.Join(s.Build.Context, s.Build.Dockerfile)); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		for _, v := range s.Volumes {
			source, _, _ := strings.Cut(v, ":")
			if strings.HasPrefix(source, ".") {
				if _, err := os.Stat(source); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			} else if _, ok := c.Volumes[source]; !ok {
				t.Errorf("%s: volume %q is not defined", name, source)
			}
		}
		for _, other := range s.DependsOn {
			if _, ok := c.Services[other]; !ok {
				t.Errorf("%s depends on %q, which is not defined", name, other)
			}
		}
	}
}

func TestComposePublishesPortsOnLoopbackOnly(t *testing.T) {
	for name, s := range readCompose(t).Services {
		for _, port := range s.Ports {
			if !strings.HasPrefix(port, "127.0.0.1:") {
				t.Errorf("%s publishes port %s to everybody", name, port)
			}
		}
	}
}

func TestComposeRunsTheKafkaThatWeTestWith(t *testing.T) {
	want := "apache/kafka:" + find(t, "../integration/kafka/pom.xml", `<kafka.version>(.*)</kafka.version>`)
	if got := readCompose(t).Services["kafka"].Image; got != want {
		t.Errorf("compose runs %s, the integration tests %s", got, want)
	}
}

func TestConfigurationIsValidAndItsSecretsAreHandedIn(t *testing.T) {
	c, err := config.Load("auditstream.yaml", all.Kinds())
	if err != nil {
		t.Fatal(err)
	}
	service := readCompose(t).Services["auditstream"]
	for _, s := range c.Secrets() {
		of := service
		if strings.HasPrefix(s.Path, "gateway.") {
			of = readCompose(t).Services["gateway"]
		}
		if _, ok := of.Environment[s.Ref.Env]; !ok {
			t.Errorf("%s is in %q, which compose does not hand in", s.Path, s.Ref.Env)
		}
	}
	command := find(t, "Dockerfile", `CMD \[.*"(/[^"]+)"\]`)
	if !slices.ContainsFunc(service.Volumes, func(v string) bool { return v == "./auditstream.yaml:"+command+":ro" }) {
		t.Errorf("compose does not mount the configuration at %s, where the image reads it", command)
	}
	kafka := readCompose(t).Services["kafka"].Environment["KAFKA_ADVERTISED_LISTENERS"]
	for _, broker := range c.Kafka.Brokers {
		if !strings.Contains(kafka, "://"+broker) {
			t.Errorf("the configuration names broker %s, Kafka is at %s", broker, kafka)
		}
	}
	if c.Topics.Replication != 1 {
		t.Errorf("topics want %d replicas of one broker", c.Topics.Replication)
	}
}

// The chart cannot read files outside of its folder, so it has a copy.
func TestTheChartsAlertsAreThoseOfPrometheus(t *testing.T) {
	if read(t, "helm/auditstream/files/alerts.yaml") != read(t, alerts) {
		t.Error(`the chart has other alerts than prometheus/alerts.yaml: "make generate" copies them`)
	}
}

func TestImageIsBuiltWithTheGoOfTheModuleAndDoesNotRunAsRoot(t *testing.T) {
	image, module := find(t, "Dockerfile", `FROM golang:(\d+\.\d+)-`), find(t, "../go.mod", `(?m)^go (\d+\.\d+)`)
	if image != module {
		t.Errorf("the image is built with Go %s, the module wants %s", image, module)
	}
	if user := find(t, "Dockerfile", `(?m)^USER (\d+):\d+$`); user == "0" {
		t.Error("the image runs as root")
	}
	if strings.LastIndex(read(t, "Dockerfile"), "\nUSER ") < strings.LastIndex(read(t, "Dockerfile"), "\nFROM ") {
		t.Error("the last stage does not say its user")
	}
}
