package s3

import (
	"strings"

	"github.com/auditstream/auditstream/sinks"
)

// layout is what the objects of a chain are: persisted in keys and metadata, the same for
// all objects of a chain. Settings with another layout begin a new epoch.
type layout struct {
	format      int    // of key, metadata and content together, as the metadata say
	root        string // of every key, before what a replay adds
	ending      string // of every key
	contentType string
	directory   func(lane sinks.Lane, day int32) string // between root and an object's own name
	pack        func(lines []byte) ([]byte, error)
	check       func(value []byte) error // that the event can be in such an object; nil: any can
	sumPacked   bool                     // the SHA-256 is of the object, not of its lines
}

// Formats of objects. A binary that knows the first only never sees an object of the
// second: its keys have another ending.
const (
	formatGzip = 1 // NDJSON, packed with gzip
	formatZstd = 2 // the same, packed with zstd
	formatLake = 3 // rows of OCSF in Parquet, for Security Lake

	formatLoose = 4 // content as in any of the others, as the ending says; in no chain
)

// Values of Settings.Compression.
const (
	CompressionGzip = "gzip"
	CompressionZstd = "zstd"
)

// layoutOf is what set asks for. The objects are files that happen to be packed, and are
// handed out as they are: with Content-Encoding, clients would unpack them on the way
// while their names still say .gz, and readers that go by the name (Athena, Spark, zcat)
// would then fail.
func layoutOf(set *Settings, p *packers) layout {
	l := chained(set, p)
	if set.Guarantee == AtLeastOnce {
		l.format = formatLoose
	}
	return l
}

// chained is the layout of objects that form chains.
func chained(set *Settings, p *packers) layout {
	if lake := set.SecurityLake; lake != nil {
		t := p.lakes.tableOf(lake.Class)
		return layout{
			format: formatLake, root: lake.root(), ending: endingParquet, contentType: "application/vnd.apache.parquet",
			directory: func(_ sinks.Lane, day int32) string {
				return "region=" + set.Region + "/accountId=" + lake.AccountID + "/eventDay=" + strings.ReplaceAll(dayText(day), "-", "") + "/"
			},
			pack: t.pack, check: t.check, sumPacked: true,
		}
	}
	byDay := func(lane sinks.Lane, day int32) string {
		return "stream=" + escape(lane.Stream) + "/day=" + dayText(day) + "/"
	}
	if set.Compression == CompressionZstd {
		z := p.zstdOf(set.ZstdLevel)
		return layout{format: formatZstd, root: set.Prefix, ending: endingZstd, contentType: "application/zstd", directory: byDay, pack: z.pack}
	}
	g := p.gzipOf(set.GzipLevel)
	return layout{format: formatGzip, root: set.Prefix, ending: endingGzip, contentType: "application/gzip", directory: byDay, pack: g.pack}
}

// Endings of keys.
const (
	endingGzip = ".ndjson.gz"
	endingZstd = ".ndjson.zst"

	endingParquet = ".parquet"
)
