package bench

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

// Report is what a Suite has measured: the figures of docs/benchmarks.md.
type Report struct {
	Made       time.Time       `json:"made"`
	Machine    Machine         `json:"machine"`
	Scale      float64         `json:"scale"` // of the numbers of events that the page speaks of, in the last run
	Ratio      []Result        `json:"ratio"`
	Parts      []Part          `json:"parts"`
	Streams    []Result        `json:"streams"`
	Partitions []Result        `json:"partitions"`
	Cores      []Result        `json:"cores"`
	Age        []AgeResult     `json:"age"`
	Backlog    []BacklogResult `json:"backlog"`
	Ingest     []IngestResult  `json:"ingest"`
	Chains     []Chained       `json:"chains"`
}

// Machine is where it was measured.
type Machine struct {
	Processor string `json:"processor"`
	Cores     int    `json:"cores"`
	System    string `json:"system"`
	Go        string `json:"go"`
}

func thisMachine() Machine {
	m := Machine{Processor: runtime.GOARCH, Cores: runtime.NumCPU(), System: runtime.GOOS, Go: runtime.Version()}
	info, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return m // not Linux
	}
	lines := bufio.NewScanner(bytes.NewReader(info))
	for lines.Scan() {
		if name, value, ok := strings.Cut(lines.Text(), ":"); ok && strings.TrimSpace(name) == "model name" {
			m.Processor = strings.TrimSpace(value)
			break
		}
	}
	return m
}

// figures is the file with the figures, beside the plots.
const figures = "figures.json"

// ReadReport reads the report of an earlier suite, so that a part of it can be measured
// again; an empty one if there is none.
func ReadReport(dir string) (*Report, error) {
	r := &Report{}
	text, err := os.ReadFile(filepath.Join(dir, figures))
	if errors.Is(err, os.ErrNotExist) {
		return r, nil
	}
	if err == nil {
		err = json.Unmarshal(text, r)
	}
	return r, err
}

// Write writes the figures and the plots to dir, and the tables into the page, each
// between the two comments that name it.
func (r *Report) Write(dir, page string) error {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	files := map[string][]byte{
		figures:          append(text, '\n'),
		"streams.svg":    r.streamsPlot().SVG(),
		"partitions.svg": r.partitionsPlot().SVG(),
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil { //nolint:gosec // published files
			return err
		}
	}
	text, err = os.ReadFile(page)
	if err != nil {
		return err
	}
	for name, table := range r.tables() {
		if text, err = replaced(text, name, table); err != nil {
			return fmt.Errorf("%s: %w", page, err)
		}
	}
	return os.WriteFile(page, text, 0o644) //nolint:gosec // a published file
}

// replaced puts text between the comments that name it.
func replaced(page []byte, name, text string) ([]byte, error) {
	begin, end := fmt.Sprintf("<!-- %s: made by make bench -->\n", name), fmt.Sprintf("<!-- end of %s -->", name)
	before, after, ok := bytes.Cut(page, []byte(begin))
	_, after, ok2 := bytes.Cut(after, []byte(end))
	if !ok || !ok2 {
		return nil, fmt.Errorf("the comments %q and %q are not there", strings.TrimSpace(begin), end)
	}
	return slices.Concat(before, []byte(begin), []byte("\n"+text+"\n"), []byte(end), after), nil
}

// table is one of Markdown.
type table struct{ strings.Builder }

func newTable(heads ...string) *table {
	t := &table{}
	t.row(heads...)
	t.row(slices.Repeat([]string{"---"}, len(heads))...)
	return t
}

func (t *table) row(cells ...string) { t.WriteString("| " + strings.Join(cells, " | ") + " |\n") }

func (r *Report) tables() map[string]string {
	return map[string]string{
		"machine": r.machineLine(),
		"ratio":   r.ratioTable(), "peers": r.peersTable(), "parts": r.partsTable(),
		"streams":    growthTable("Streams", r.Streams, func(x Result) int { return x.Streams }),
		"partitions": growthTable("Partitions", r.Partitions, func(x Result) int { return x.Partitions }),
		"cores":      growthTable("Processors", r.Cores, func(x Result) int { return x.Cores }),
		"age":        r.ageTable(), "backlog": r.backlogTable(), "ingest": r.ingestTable(),
		"chains": r.chainsTable(),
	}
}

func (r *Report) machineLine() string {
	line := fmt.Sprintf("%d processors (%s), %s, %s; %s", r.Machine.Cores, r.Machine.Processor, r.Machine.System, r.Machine.Go, r.Made.Format("2 January 2006"))
	if r.Scale != 1 {
		line += fmt.Sprintf("; with %v times as many events as this page speaks of", r.Scale)
	}
	return line + ".\n"
}

// alike are the results of equal configurations, in their order.
func alike(results []Result) [][]Result {
	var out [][]Result
	for _, r := range results {
		i := slices.IndexFunc(out, func(have []Result) bool {
			return have[0].Streams == r.Streams && have[0].Compression == r.Compression
		})
		if i < 0 {
			out = append(out, nil)
			i = len(out) - 1
		}
		out[i] = append(out[i], r)
	}
	return out
}

// median is that of a figure of results.
func median(results []Result, of func(Result) float64) float64 {
	values := make([]float64, len(results))
	for i, r := range results {
		values[i] = of(r)
	}
	return medianOf(values)
}

// medianOf is that of values, 0 where there are none.
func medianOf(values []float64) float64 {
	values = slices.Sorted(slices.Values(values))
	switch n := len(values); {
	case n == 0:
		return 0
	case n%2 == 0:
		return (values[n/2-1] + values[n/2]) / 2
	default:
		return values[n/2]
	}
}

func ratioOf(r Result) float64 { return r.FloorRatio }
func cpuOf(r Result) float64   { return r.CPUSecondsPerMillion }
func floorOf(r Result) float64 { return r.FloorCPUSecondsPerMillion }
func speedOf(r Result) float64 { return r.EventsPerSecond }

func (r *Report) ratioTable() string {
	t := newTable("Streams", "Compression", "Ratio, median", "Each", "CPU s per million", "The floor's", "Events/s", "Requests", "The floor's", "Peak memory, MiB")
	for _, x := range alike(r.Ratio) {
		var each []string
		var most, requests, floorRequests int64
		for _, one := range x {
			each = append(each, fmt.Sprintf("%.2f", one.FloorRatio))
			most, requests, floorRequests = max(most, one.PeakRSSBytes), max(requests, one.Requests), max(floorRequests, one.FloorRequests)
		}
		t.row(number(float64(x[0].Streams)), x[0].Compression, fmt.Sprintf("**%.2f**", median(x, ratioOf)), strings.Join(each, ", "),
			fmt.Sprintf("%.2f", median(x, cpuOf)), fmt.Sprintf("%.2f", median(x, floorOf)), thousands(median(x, speedOf)),
			number(float64(requests)), number(float64(floorRequests)), fmt.Sprint(most>>20))
	}
	return t.String()
}

// peer is another program that was measured on the same work, with acknowledgements on,
// beside a floor of its own run: CPU seconds per million events.
type peer struct {
	name, compression string
	cpu, floor        float64
}

func peers() []peer {
	return []peer{
		{"Redpanda Connect, bytes passed through", "gzip", 10.3, 3.0},
		{"Redpanda Connect, bytes passed through", "none", 7.1, 1.4},
		{"Splunk's Kafka Connect sink, events as escaped strings", "none", 7.4, 1.4},
		{"Splunk's Kafka Connect sink", "gzip", 34, 3.0},
		{"Vector", "gzip", 41, 3.0},
		{"Vector", "none", 30, 1.4},
	}
}

func (r *Report) peersTable() string {
	t := newTable("Program", "Compression", "CPU s per million", "Times its floor", "Times auditstream")
	for _, p := range peers() {
		for _, x := range alike(r.Ratio) {
			if x[0].Streams == 1 && x[0].Compression == p.compression {
				times := p.cpu / p.floor
				t.row(p.name, p.compression, fmt.Sprint(p.cpu), fmt.Sprintf("%.1f", times), fmt.Sprintf("%.1f", times/median(x, ratioOf)))
			}
		}
	}
	return t.String()
}

func (r *Report) partsTable() string {
	t := newTable("Part", "µs an event", "Share")
	for _, p := range r.Parts {
		t.row(p.Name, fmt.Sprintf("%.2f", p.Micros), fmt.Sprintf("%.0f %%", p.Share*100))
	}
	return t.String()
}

func growthTable(what string, results []Result, of func(Result) int) string {
	t := newTable(what, "Ratio", "CPU s per million", "The floor's", "Events/s", "The floor's", "Requests", "The floor's", "Peak memory, MiB")
	for _, x := range results {
		t.row(number(float64(of(x))), fmt.Sprintf("**%.2f**", x.FloorRatio), fmt.Sprintf("%.2f", x.CPUSecondsPerMillion), fmt.Sprintf("%.2f", x.FloorCPUSecondsPerMillion),
			thousands(x.EventsPerSecond), thousands(x.FloorEventsPerSecond), number(float64(x.Requests)), number(float64(x.FloorRequests)), fmt.Sprint(x.PeakRSSBytes>>20))
	}
	return t.String()
}

func (r *Report) ageTable() string {
	t := newTable("Events/s wanted", "Published", "Streams", "Linger", "Median age, ms", "99 of 100, ms")
	for _, a := range r.Age {
		t.row(number(float64(a.Rate)), number(float64(int(a.Published))), number(float64(a.Streams)), a.Linger, number(float64(a.P50Millis)), number(float64(a.P99Millis)))
	}
	return t.String()
}

func (r *Report) backlogTable() string {
	t := newTable("Lanes", "Events recovered", "Seconds", "Events/s", "CPU s per million", "Peak memory, MiB")
	for _, b := range r.Backlog {
		t.row(number(float64(b.Lanes)), fmt.Sprintf("%s of %s", number(float64(b.Recovered)), number(float64(b.Wanted))), fmt.Sprintf("%.0f", b.Seconds),
			thousands(b.EventsPerSecond), fmt.Sprintf("%.2f", b.CPUSecondsPerMillion), fmt.Sprint(b.PeakRSSBytes>>20))
	}
	return t.String()
}

func (r *Report) chainsTable() string {
	t := newTable("Streams", "µs an event, median", "Each pair", "Ratio, median", "CPU s per million, with", "Without", "Events/s, with", "Without", "Peak memory, MiB, with", "Without")
	for _, c := range r.Chains {
		t.row(number(float64(c.With.Streams)), fmt.Sprintf("**%.2f**", c.Micros), c.micros(), fmt.Sprintf("%.2f", c.Ratio),
			fmt.Sprintf("%.2f", c.With.CPUSecondsPerMillion), fmt.Sprintf("%.2f", c.Without.CPUSecondsPerMillion),
			thousands(c.With.EventsPerSecond), thousands(c.Without.EventsPerSecond), fmt.Sprint(c.With.PeakRSSBytes>>20), fmt.Sprint(c.Without.PeakRSSBytes>>20))
	}
	return t.String()
}

// ingestTable has the median of each figure of equal measurements.
func (r *Report) ingestTable() string {
	t := newTable("Events a request", "Compression", "Callers", "CPU ratio", "CPU s per million", "Bare", "Events/s", "Bare", "Median, ms", "Bare", "Ratio", "99 of 100, ms", "Bare", "Ratio", "Peak memory, MiB")
	var groups [][]IngestResult
	for _, x := range r.Ingest {
		i := slices.IndexFunc(groups, func(have []IngestResult) bool {
			return have[0].PerRequest == x.PerRequest && have[0].Compression == x.Compression && have[0].Callers == x.Callers
		})
		if i < 0 {
			groups, i = append(groups, nil), len(groups)
		}
		groups[i] = append(groups[i], x)
	}
	for _, g := range groups {
		of := func(figure func(IngestResult) float64) float64 {
			values := make([]float64, len(g))
			for i, x := range g {
				values[i] = figure(x)
			}
			slices.Sort(values)
			return values[len(values)/2]
		}
		millis := func(figure func(IngestResult) int64) string {
			return fmt.Sprintf("%.1f", of(func(x IngestResult) float64 { return float64(figure(x)) / 1000 }))
		}
		t.row(number(float64(g[0].PerRequest)), g[0].Compression, number(float64(g[0].Callers)),
			fmt.Sprintf("**%.2f**", of(func(x IngestResult) float64 { return x.CPURatio })),
			fmt.Sprintf("%.1f", of(func(x IngestResult) float64 { return x.CPUSecondsPerMillion })),
			fmt.Sprintf("%.1f", of(func(x IngestResult) float64 { return x.FloorCPUSecondsPerMillion })),
			number(of(func(x IngestResult) float64 { return float64(int64(x.EventsPerSecond/100) * 100) })),
			number(of(func(x IngestResult) float64 { return float64(int64(x.FloorEventsPerSecond/100) * 100) })),
			millis(func(x IngestResult) int64 { return x.P50Micros }), millis(func(x IngestResult) int64 { return x.FloorP50Micros }),
			fmt.Sprintf("**%.2f**", of(func(x IngestResult) float64 { return x.P50Ratio })),
			millis(func(x IngestResult) int64 { return x.P99Micros }), millis(func(x IngestResult) int64 { return x.FloorP99Micros }),
			fmt.Sprintf("%.2f", of(func(x IngestResult) float64 { return x.P99Ratio })),
			fmt.Sprint(slices.MaxFunc(g, func(a, b IngestResult) int { return int(a.PeakRSSBytes - b.PeakRSSBytes) }).PeakRSSBytes>>20))
	}
	return t.String()
}

// thousands rounds to thousands.
func thousands(v float64) string { return number(float64(int64(v/1000+0.5)) * 1000) }

func points(results []Result, x func(Result) int, y func(Result) float64) []Point {
	out := make([]Point, len(results))
	for i, r := range results {
		out[i] = Point{float64(x(r)), y(r)}
	}
	return out
}

func (r *Report) streamsPlot() Plot {
	x := func(r Result) int { return r.Streams }
	return Plot{
		Title: "More streams, each to an address of its own (gzip, 6 partitions)", X: "streams", Y: "CPU seconds per million events",
		Series: []Series{{"auditstream", points(r.Streams, x, cpuOf)}, {"the floor, posting as many batches", points(r.Streams, x, floorOf)}},
	}
}

func (r *Report) partitionsPlot() Plot {
	x := func(r Result) int { return r.Partitions }
	return Plot{
		Title: "More partitions (gzip, 200 streams)", X: "partitions", Y: "CPU seconds per million events",
		Series: []Series{{"auditstream", points(r.Partitions, x, cpuOf)}, {"the floor", points(r.Partitions, x, floorOf)}},
	}
}
