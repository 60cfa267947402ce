package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"github.com/auditstream/auditstream/internal/kafka"
)

// kafkaCommands are what scripts can do with a broker of their own:
//
//	kafka [PREFIX]    starts one with its topics and sets $KAFKA to its address
//	kafka-topic NAME  prints each record of a topic on a line: key, tab, value; sorted
//	kafka-dump        prints each record of every topic, headers included
//	kafka-await NAME  waits until a topic has a record
//	kafka-put NAME FILE  writes records, each a line {"key","value","headers":[[name,value]…]}
func kafkaCommands() map[string]func(*testscript.TestScript, bool, []string) {
	return map[string]func(*testscript.TestScript, bool, []string){
		"kafka": func(ts *testscript.TestScript, neg bool, args []string) {
			if neg || len(args) > 1 {
				ts.Fatalf("usage: kafka [PREFIX]")
			}
			ts.Check(startScriptKafka(ts, strings.Join(args, "")))
		},
		"kafka-topic": func(ts *testscript.TestScript, neg bool, args []string) {
			if neg || len(args) != 1 {
				ts.Fatalf("usage: kafka-topic NAME")
			}
			lines, err := readTopic(ts.Getenv("KAFKA"), args[0], 0, false)
			ts.Check(err)
			_, err = fmt.Fprint(ts.Stdout(), strings.Join(lines, ""))
			ts.Check(err)
		},
		"kafka-dump": func(ts *testscript.TestScript, neg bool, args []string) {
			if neg || len(args) > 0 {
				ts.Fatalf("usage: kafka-dump")
			}
			lines, err := dumpTopics(ts.Getenv("KAFKA"))
			ts.Check(err)
			_, err = fmt.Fprint(ts.Stdout(), strings.Join(lines, ""))
			ts.Check(err)
		},
		"kafka-put": func(ts *testscript.TestScript, neg bool, args []string) {
			if neg || len(args) != 2 {
				ts.Fatalf("usage: kafka-put NAME FILE")
			}
			ts.Check(putRecords(ts.Getenv("KAFKA"), args[0], ts.ReadFile(args[1])))
		},
		"kafka-await": func(ts *testscript.TestScript, neg bool, args []string) {
			if neg || len(args) < 1 || len(args) > 2 {
				ts.Fatalf("usage: kafka-await NAME [RECORDS]")
			}
			records := int64(1)
			if len(args) == 2 {
				var err error
				records, err = strconv.ParseInt(args[1], 10, 64)
				ts.Check(err)
			}
			_, err := readTopic(ts.Getenv("KAFKA"), args[0], records, false)
			ts.Check(err)
		},
	}
}

// scriptKafka bounds what a script waits for its broker.
const scriptKafka = time.Minute

func startScriptKafka(ts *testscript.TestScript, prefix string) error {
	broker, err := kafka.StartEmbedded(kafka.EmbeddedConfig{})
	if err != nil {
		return err
	}
	ts.Defer(func() { ts.Check(broker.Close()) })
	client, err := scriptClient(broker.Addr())
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), scriptKafka)
	defer cancel()
	ts.Setenv("KAFKA", broker.Addr())
	return kafka.EnsureTopics(ctx, kadm.NewClient(client), kafka.Topics{Prefix: prefix, Partitions: 3, Replication: 1}, zap.NewNop())
}

func scriptClient(addr string, more ...kgo.Opt) (*kgo.Client, error) {
	opts, err := kafka.Config{Brokers: []string{addr}}.Options(zap.NewNop())
	if err != nil {
		return nil, err
	}
	return kgo.NewClient(append(opts, more...)...)
}

// putRecords writes a record for each line, as any Kafka client could.
func putRecords(addr, topic, lines string) error {
	client, err := scriptClient(addr, kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)))
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), scriptKafka)
	defer cancel()
	for line := range strings.Lines(lines) {
		var r struct {
			Key, Value string
			Headers    [][2]string
		}
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			return err
		}
		record := &kgo.Record{Topic: topic, Key: []byte(r.Key), Value: []byte(r.Value)}
		for _, h := range r.Headers {
			record.Headers = append(record.Headers, kgo.RecordHeader{Key: h[0], Value: []byte(h[1])})
		}
		if err := client.ProduceSync(ctx, record).FirstErr(); err != nil {
			return err
		}
	}
	return nil
}

// dumpTopics reads everything that all topics hold, with headers.
func dumpTopics(addr string) ([]string, error) {
	client, err := scriptClient(addr)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), scriptKafka)
	defer cancel()
	topics, err := kadm.NewClient(client).ListTopics(ctx)
	if err != nil {
		return nil, err
	}
	var all []string
	for _, topic := range topics.Names() {
		lines, err := readTopic(addr, topic, 0, true)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", topic, err)
		}
		for _, line := range lines {
			all = append(all, topic+"\t"+line)
		}
	}
	return all, nil
}

// readTopic reads what the topic holds, and waits until that are at least n records.
func readTopic(addr, topic string, n int64, headers bool) ([]string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), scriptKafka)
	defer cancel()
	// The ends of transactions are records too, of which offsets tell.
	client, err := scriptClient(addr, kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.KeepControlRecords())
	if err != nil {
		return nil, err
	}
	defer client.Close()
	ends, err := kadm.NewClient(client).ListEndOffsets(ctx, topic)
	if err != nil {
		return nil, err
	}
	held := int64(0)
	ends.Each(func(o kadm.ListedOffset) { held += o.Offset })
	var lines []string
	for read := int64(0); read < held || int64(len(lines)) < n; {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return nil, err
		}
		for r := range fetches.RecordsAll() {
			read++
			if r.Attrs.IsControl() {
				continue
			}
			line := fmt.Sprintf("%s\t%s", r.Key, r.Value)
			for _, h := range r.Headers {
				if !headers {
					break
				}
				line += fmt.Sprintf("\t%s=%s", h.Key, h.Value)
			}
			lines = append(lines, line+"\n")
		}
	}
	slices.Sort(lines)
	return lines, nil
}
