package s3

// layout is what the objects of a chain are: persisted in keys and metadata, the same for
// all objects of a chain. Settings with another layout begin a new epoch.
type layout struct {
	format      int    // of key, metadata and content together, as the metadata say
	ending      string // of every key
	contentType string
	pack        func(lines []byte) ([]byte, error)
}

// Formats of objects. A binary that knows the first only never sees an object of the
// second: its keys have another ending.
const (
	formatGzip = 1 // NDJSON, packed with gzip
	formatZstd = 2 // the same, packed with zstd
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
	if set.Compression == CompressionZstd {
		z := p.zstdOf(set.ZstdLevel)
		return layout{format: formatZstd, ending: endingZstd, contentType: "application/zstd", pack: z.pack}
	}
	g := p.gzipOf(set.GzipLevel)
	return layout{format: formatGzip, ending: endingGzip, contentType: "application/gzip", pack: g.pack}
}

// Endings of keys.
const (
	endingGzip = ".ndjson.gz"
	endingZstd = ".ndjson.zst"
)
