package config_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/auditstream/auditstream/config"
)

// header is a valid beginning of a file, of one line.
const header = "kafka: {brokers: [a:1]}\n"

// inParcel is a stream with these settings from line 6 column 7 on.
func inParcel(settings string) string {
	return header + "streams:\n  - id: s\n    organization_id: '*'\n    parcel:\n      " + settings + "\n"
}

// inString is inParcel with the settings that it requires.
func inString(setting string) string {
	return inParcel("address: a\n      token: {env: T}\n      " + setting)
}

func TestProblems(t *testing.T) {
	for _, test := range []struct {
		name, in string
		want     []string // after "audit.yaml:"
	}{
		// What is not one YAML document.
		{"empty", "", []string{"1: the file is empty"}},
		{"only a comment", "# nothing\n", []string{"1: the file is empty"}},
		{"only null", "~\n", []string{"1:1: kafka: names no cluster; write brokers: [HOST:PORT], or embedded: {dir: DIR} to run one in this process"}},
		{"a list", "- kafka\n", []string{"1:1: wants keys and values, and this is a list"}},
		{"a text", "kafka\n", []string{"1:1: wants keys and values, and this is text"}},
		{"two documents", header + "---\nlog: {}\n", []string{"2:1: a second document begins here; the configuration is one document"}},
		{"syntax", header + "log: {level: [\n", []string{"2: not valid YAML: did not find expected node content"}},
		{"syntax on the first line", "a: b: c\n", []string{"1: not valid YAML: mapping values are not allowed in this context"}},
		{"tab", header + "log:\n\tlevel: info\n", []string{
			"3: not valid YAML: found character that cannot start any token; indent with spaces, not tabs, and quote a text that begins with a special character",
		}},
		{"password that reads as an alias", inParcel("address: *hunter2"), []string{
			`1: not valid YAML: unknown anchor referenced; a text that begins with "*" needs quotes`,
		}},
		{"tag", header + "log: {level: !secret info}\n", []string{"2:14: log.level: tags are not supported; write the plain value"}},
		{"tagged mapping", header + "log: !log {level: info}\n", []string{"2:6: log: tags are not supported; write the plain value"}},

		// Keys.
		{"misspelt key", inParcel("address: a\n      tokn: {env: T}"), []string{
			`7:7: streams[0].parcel.tokn: unknown key; did you mean "token"?`,
		}},
		{"key with a hyphen and capitals", header + "log: {Level: info}\nevents: {organization-pattern: x}\n", []string{
			`2:7: log.Level: unknown key; did you mean "level"?`,
			`3:10: events.organization-pattern: unknown key; did you mean "organization_pattern"?`,
		}},
		{"key like no other", header + "log: {colour: true}\n", []string{
			`2:7: log.colour: unknown key; known here: format, level`,
		}},
		{"key of a later version", header + "sinks: {}\n", []string{
			`2:1: sinks: unknown key; known here: admin, delivery, events, gateway, integrity, kafka, log, observe, secrets, streams, topics`,
		}},
		{"key not meant for files", inString("Ignored: x"), []string{
			`8:7: streams[0].parcel.Ignored: unknown key; known here: address, count, door, fast, labels, ratio, size, token, via, wait`,
		}},
		{"key twice", header + "log:\n  level: info\n  format: json\n  level: debug\n", []string{
			"5:3: log.level: the key stands in line 3 already",
		}},
		{"key twice inside a leaf", inParcel("address: a\n      token: {env: A, env: B}"), []string{
			"7:23: streams[0].parcel.token.env: the key stands in line 7 already",
		}},
		{"key that is a list", header + "? [a]\n: b\n", []string{"2:3: a key here is a plain name"}},
		{"merge", header + "log: {<<: {level: info}}\n", []string{
			"2:7: log: merging is not supported; write the keys out, or use an alias for the whole value",
		}},

		// Types, and what YAML makes of plain words.
		{"no value", header + "log:\n  level:\n", []string{"3:9: log.level: has no value; write one, or remove the key"}},
		{"section that its presence enables", "kafka:\n  brokers: [a:1]\n  tls:\n", []string{"3:7: kafka.tls: has no value; write one, or remove the key"}},
		{"stream of null", header + "streams:\n  -\n", []string{"3:4: streams[0]: has no value; write one, or remove the key"}},
		{"destination of null", header + "streams:\n  - id: a\n    organization_id: '*'\n    letter:\n", []string{
			"5:12: streams[0].letter: has no value; write one, or remove the key",
		}},
		{"text instead of a section", header + "log: info\n", []string{"2:6: log: wants keys and values, and this is text"}},
		{"text instead of a list", "kafka: {brokers: a:1}\n", []string{"1:18: kafka.brokers: wants a list, and this is text; a list of one is [VALUE]"}},
		{"list instead of text", header + "log: {level: [info]}\n", []string{"2:14: log.level: wants text, and this is a list"}},
		{"number instead of text", inParcel("address: 0123\n      token: {env: T}"), []string{
			"6:16: streams[0].parcel.address: wants text, and YAML reads this as a number; put it in quotes",
		}},
		{"exponent instead of text", inParcel("address: 12e03\n      token: {env: T}"), []string{
			"6:16: streams[0].parcel.address: wants text, and YAML reads this as a number; put it in quotes",
		}},
		{"true instead of text", inString("labels: {on: true}"), []string{
			"8:20: streams[0].parcel.labels.on: wants text, and YAML reads this as true or false; put it in quotes",
		}},
		{"no instead of false", inString("fast: no"), []string{"8:13: streams[0].parcel.fast: wants true or false, and this is text"}},
		{"number instead of true", inString("fast: 1"), []string{"8:13: streams[0].parcel.fast: wants true or false, and this is a number"}},
		{"octal", header + "topics: {partitions: 012}\n", []string{"2:22: topics.partitions: write the number in decimal digits, without leading zeros"}},
		{"hexadecimal", header + "topics: {partitions: 0x10}\n", []string{"2:22: topics.partitions: write the number in decimal digits, without leading zeros"}},
		{"number in quotes", header + "topics: {partitions: '12'}\n", []string{"2:22: topics.partitions: wants a whole number, and this is text"}},
		{"fraction", header + "topics: {partitions: 1.5}\n", []string{"2:22: topics.partitions: wants a whole number, and this is a number"}},
		{"number too large for its field", inString("count: 256"), []string{"8:14: streams[0].parcel.count: is too large"}},
		{"number too large for JSON", header + "delivery: {in_flight: 9007199254740992}\n", []string{"2:23: delivery.in_flight: is too large"}},
		{"number too large for anything", header + "delivery: {in_flight: 99999999999999999999}\n", []string{"2:23: delivery.in_flight: wants a whole number, and this is a number"}},
		{"negative count", inString("count: -1"), []string{"8:14: streams[0].parcel.count: is negative"}},
		{"infinite", inString("ratio: .inf"), []string{"8:14: streams[0].parcel.ratio: wants a number, and this is a number"}},
		{"text instead of a number", inString("ratio: much"), []string{"8:14: streams[0].parcel.ratio: wants a number, and this is text"}},
		{"duration without unit", header + "delivery: {probe: 60}\n", []string{`2:19: delivery.probe: "60" is not a duration: write a unit, as in 60s`}},
		{"bytes", header + "delivery: {memory: 1G}\n", []string{
			`2:20: delivery.memory: "1G" is not a number of bytes: write a unit of B, kB, MB, GB, TB, KiB, MiB, GiB, TiB, as in 8MiB`,
		}},
		{"pattern", header + "events: {organization_pattern: '('}\n", []string{
			"2:32: events.organization_pattern: error parsing regexp: missing closing ): `(`",
		}},
		{"secret itself", inParcel("address: a\n      token: hunter2"), []string{
			"7:14: streams[0].parcel.token: write {env: NAME}, {file: PATH} or {exec: [PROGRAM, ARGUMENT, …]}; a secret never stands in the configuration itself",
		}},
		{"inside a list", inString("via: [{name: a}, {floor: x}]"), []string{
			"8:32: streams[0].parcel.via[1].floor: wants a whole number, and this is text",
		}},

		// What Validate finds, and where.
		{"no cluster", "log: {}\n", []string{
			"1:1: kafka: names no cluster; write brokers: [HOST:PORT], or embedded: {dir: DIR} to run one in this process",
		}},
		{"two clusters", "kafka:\n  brokers: [a:1]\n  embedded: {dir: d}\n", []string{
			"3:13: kafka.embedded: stands beside brokers; a configuration has one of them",
		}},
		{"no brokers", "kafka: {brokers: []}\n", []string{"1:18: kafka.brokers: name at least one broker as host:port"}},
		{"second broker", "kafka: {brokers: [a:1, b]}\n", []string{`1:24: kafka.brokers[1]: "b" is not host:port`}},
		{"embedded without a directory", "kafka: {embedded: {}}\n", []string{"1:19: kafka.embedded.dir: is required: the directory for its data"}},
		{"embedded with TLS, SASL and copies", "kafka:\n  embedded: {dir: d}\n  tls: {}\n  sasl: {}\ntopics: {replication: 3}\n", []string{
			"3:8: kafka.tls: goes with brokers; the embedded one is reached within the process",
			"4:9: kafka.sasl: goes with brokers; the embedded one is reached within the process",
			"5:23: topics.replication: is more than 1, and the embedded cluster has one broker",
		}},
		{"sasl", "kafka:\n  brokers: [a:1]\n  sasl: {mechanism: md5, username: u, password: {env: P}}\n", []string{
			`3:21: kafka.sasl.mechanism: "md5" is not one of plain, scram-sha-256, scram-sha-512`,
		}},
		{"topics", header + "topics:\n  prefix: ''\n  partitions: 0\n  replication: 0\n  retention: 0\n  dead_letter_retention: 1s\n", []string{
			"3:11: topics.prefix: is empty",
			"4:15: topics.partitions: is not between 1 and 10000",
			"5:16: topics.replication: is less than 1",
			"6:14: topics.retention: is zero: nothing would be kept",
			"7:26: topics.dead_letter_retention: 1s is less than a minute",
		}},
		{"integrity", header + "integrity:\n  old_key: {env: A, file: B}\n  interval: 25h\n  archive: {bucket: a_b, object_lock: compliance, interval: 1s}\n", []string{
			"3:3: integrity.key: is required beside archive: without it there are no checkpoints to keep",
			"3:12: integrity.old_key: the reference names more than one place: write {env: NAME}, {file: PATH} or {exec: [PROGRAM, ARGUMENT, …]}",
			"4:13: integrity.interval: is not between 1s and 24h",
			"5:12: integrity.archive.region: required, as in eu-central-1",
			"5:12: integrity.archive.retention: write a duration of 1d to 36500d",
			`5:21: integrity.archive.bucket: "a_b" is no bucket's name: 3 to 63 of a-z, 0-9, - and .`,
			"5:61: integrity.archive.interval: is less than integrity.interval, 25h0m0s: no more checkpoints are made",
		}},
		{"archive of nothing", header + "integrity: {archive: {prefix: a/}}\n", []string{"2:22: integrity.archive.bucket: required"}},
		{"checkpoints that expire at once", header + "topics: {checkpoint_retention: 1s}\n", []string{"2:32: topics.checkpoint_retention: 1s is less than a minute"}},
		{"prefix", header + "topics: {prefix: 'a b'}\n", []string{
			`2:18: topics.prefix: "a b" is not 1 to 235 of the characters a-z, A-Z, 0-9, '.', '_' and '-'`,
		}},
		{"delivery", header + "delivery:\n  memory: 1MiB\n  in_flight: 0\n  in_flight_per_stream: 0\n  in_flight_slow: 0\n  catch_up_share: 1\n  rejections: -1\n  retention_guard: 1.5\n  session_timeout: 1s\n  commit_interval: 1ms\n  retry: {min: 2s, max: 1s}\n  probe: 0\n", []string{
			"3:11: delivery.memory: is less than 16MiB",
			"4:14: delivery.in_flight: is less than 1",
			"5:25: delivery.in_flight_per_stream: is less than 1",
			"6:19: delivery.in_flight_slow: is less than 1",
			"7:19: delivery.catch_up_share: is not between 0.05 and 0.95: neither live traffic nor backlogs may come to a stop",
			"8:15: delivery.rejections: is negative",
			"9:20: delivery.retention_guard: is not above 0 and up to 1",
			"10:20: delivery.session_timeout: is not between 6s and 30m, as Kafka demands",
			"11:20: delivery.commit_interval: is less than 10ms",
			"12:25: delivery.retry.max: is less than min",
			"13:10: delivery.probe: is less than 10ms",
		}},
		{"observe and log", header + "observe: {listen: '8081'}\nlog: {level: inf, format: xml}\n", []string{
			`2:19: observe.listen: "8081" is not HOST:PORT, as in 127.0.0.1:8081`,
			`3:14: log.level: "inf" is unknown; did you mean "info"?`,
			`3:27: log.format: "xml" is unknown; there are: json, console`,
		}},

		// Streams.
		{"stream of nothing", header + "streams: [{}]\n", []string{
			"2:11: streams[0]: has no destination; write one of letter, parcel",
			"2:11: streams[0].id: is required: a name for this stream",
			`2:11: streams[0].organization_id: is required; "*" is every organization`,
		}},
		{"stream without names", header + "streams: [{letter: {}}]\n", []string{
			"2:11: streams[0].id: is required: a name for this stream",
			`2:11: streams[0].organization_id: is required; "*" is every organization`,
		}},
		{"stream's names", header + "streams:\n  - id: Audit\n    organization_id: acme\n    actions: ['user *', user.*]\n    format: ocsv\n    start: noon\n    letter: {}\n", []string{
			"3:9: streams[0].id: is not 1 to 63 of the characters a-z, 0-9 and '-', the first being no '-'",
			"4:22: streams[0].organization_id: does not match ^org_[A-Z0-9]{26}$, so no event can have it; see events.organization_pattern",
			"5:15: streams[0].actions[0]: is not an action such as user.invite or user.*",
			`6:13: streams[0].format: "ocsv" is unknown; did you mean "ocsf"?`,
			"7:12: streams[0].start: is none of now, beginning and a time such as 2026-11-01T00:00:00Z",
		}},
		{"no actions", header + "streams: [{id: a, organization_id: '*', actions: [], letter: {}}]\n", []string{
			"2:50: streams[0].actions: is an empty list, which matches nothing; remove it for all actions",
		}},
		{"id twice", header + "streams:\n  - {id: a, organization_id: '*', letter: {}}\n  - {id: a, organization_id: '*', letter: {}}\n", []string{
			"4:10: streams[1].id: is the id of streams[0] too",
		}},
		{"two destinations", header + "streams: [{id: a, organization_id: '*', letter: {}, parcel: {}}]\n", []string{
			"2:53: streams[0].parcel: a stream has one destination, and this one has letter already",
		}},
		{"misspelt destination", header + "streams: [{id: a, organization_id: '*', leter: {}}]\n", []string{
			`2:41: streams[0].leter: unknown key; did you mean "letter"?`,
		}},
		{"settings that lack something", inParcel("size: 1MB"), []string{
			"6:7: streams[0].parcel.address: is required",
			"6:7: streams[0].parcel.token: is required",
		}},
		{"settings that are wrong", inString("via: [{floor: 1}, {floor: -1}]"), []string{
			"8:33: streams[0].parcel.via[1].floor: is below the ground",
		}},
		{"a wrong value is told once, not as missing too", inParcel("address: 1\n      tokn: {env: T}"), []string{
			"6:16: streams[0].parcel.address: wants text, and YAML reads this as a number; put it in quotes",
			`7:7: streams[0].parcel.tokn: unknown key; did you mean "token"?`,
		}},
		{"everything at once, by position", "streams: [{id: A, organization_id: '*', letter: {addrss: x}}]\nlog: {level: 1}\nkafka: {brokers: [b]}\n", []string{
			"1:16: streams[0].id: is not 1 to 63 of the characters a-z, 0-9 and '-', the first being no '-'",
			`1:50: streams[0].letter.addrss: unknown key; did you mean "address"?`,
			"2:14: log.level: wants text, and YAML reads this as a number; put it in quotes",
			`3:19: kafka.brokers[0]: "b" is not host:port`,
		}},

		// Aliases.
		{"alias of itself", header + "streams: &s [*s]\n", []string{"2:14: streams[0]: the alias stands inside the value that it stands for"}},
		{"alias of itself inside a leaf", inParcel("address: a\n      token: &t {exec: [*t]}"), []string{
			"7:25: streams[0].parcel.token.exec[0]: the alias stands inside the value that it stands for",
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			c, err := parse(test.in)
			e, ok := errors.AsType[*config.Error](err)
			if !ok || c != nil {
				t.Fatalf("parsed as %v, %v, want an *Error", c, err)
			}
			var got []string
			for _, p := range e.Problems {
				got = append(got, strings.TrimPrefix(p.String(), "audit.yaml:"))
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
			if err.Error() != "audit.yaml:"+strings.Join(got, "\naudit.yaml:") {
				t.Errorf("the error does not say the same: %v", err)
			}
			if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the error repeats what may be a secret: %v", err)
			}
		})
	}
}

func TestAliasesThatExplodeAreRefused(t *testing.T) {
	var b strings.Builder
	b.WriteString(header + "streams:\n  - id: s\n    organization_id: '*'\n    parcel:\n      address: a\n      token:\n")
	b.WriteString("        xa: &xa [a, a, a, a, a, a, a, a, a, a]\n")
	for i := range 12 {
		from, to := string(rune('a'+i)), string(rune('b'+i))
		b.WriteString("        x" + to + ": &x" + to + " [" + strings.TrimSuffix(strings.Repeat("*x"+from+", ", 10), ", ") + "]\n")
	}
	_, err := parse(b.String())
	if err == nil || !strings.Contains(err.Error(), "stand for too much") {
		t.Fatalf("error %.200v, want one about too much", err)
	}
	if n := strings.Count(err.Error(), "\n"); n > 10 {
		t.Errorf("%d lines about one cause", n)
	}
}

func TestManySmallValuesAreNoExplosion(t *testing.T) {
	const values = 100_000
	_, err := parse(inParcel("address: a\n      token: {exec: [" + strings.Repeat("a,", values) + "]}"))
	if err != nil {
		t.Errorf("%.200v", err)
	}
}

func TestProblemsAreBounded(t *testing.T) {
	const streams = 2_000
	_, err := parse(header + "streams:\n" + strings.Repeat("- {id: a, organization_id: '*', letter: {x: y}}\n", streams))
	e, ok := errors.AsType[*config.Error](err)
	if !ok {
		t.Fatal(err)
	}
	// Each stream has an unknown key, each but the first an id that is taken.
	if len(e.Problems) != 100 || e.More != 2*streams-1-100 {
		t.Errorf("%d problems and %d more, want 100 and %d", len(e.Problems), e.More, 2*streams-1-100)
	}
	if !strings.HasSuffix(err.Error(), "\nand 3899 more") {
		t.Errorf("the error ends with %q", err.Error()[len(err.Error())-40:])
	}
}

func TestFileIsBounded(t *testing.T) {
	_, err := parse(header + strings.Repeat("#", config.MaxFile))
	if err == nil || !strings.Contains(err.Error(), "audit.yaml:1: the file has more than 4194304 bytes") {
		t.Errorf("error %v", err)
	}
}

func TestLoad(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.yaml")
	if _, err := config.Load(path, kinds()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error %v, want that there is no file", err)
	}
	if err := os.WriteFile(path, []byte(header), 0o600); err != nil {
		t.Fatal(err)
	}
	if c, err := config.Load(path, kinds()); err != nil || c.Kafka.Brokers[0] != "a:1" {
		t.Errorf("loaded %v, %v", c, err)
	}
	if err := os.WriteFile(path, []byte("log: {}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := config.Load(path, kinds()); err == nil || !strings.HasPrefix(err.Error(), path+":1:1: kafka: ") {
		t.Errorf("error %v, want one with path and position", err)
	}
}
