package s3

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"slices"

	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"
)

// Row is an event that was read back from an object of rows.
type Row struct {
	Number int64  // metadata.sequence: of the event in its feed; 0: it has none
	JSON   []byte // the event, with the members that it was delivered with
}

// Rows are the events of an object that this sink has made for Security Lake, in the order of
// its rows. The object may be anything: what is not such a table is an error, and no more than
// a few pages of a column are unpacked at the same time.
func Rows(object []byte) iter.Seq2[Row, error] {
	return func(yield func(Row, error) bool) {
		ended := false
		err := rowsOf(object, func(r Row) bool {
			ended = !yield(r, nil)
			return !ended
		})
		if err != nil && !ended {
			yield(Row{}, err)
		}
	}
}

func rowsOf(object []byte, each func(Row) bool) (err error) {
	defer func() {
		// The library reads what others have made; a file that breaks it is a broken file.
		if broken := recover(); broken != nil {
			err = fmt.Errorf("s3: no Parquet that can be read: %v", broken)
		}
	}()
	// The library makes room for as much of a footer as the last bytes ask for.
	if n := len(object); n < 12 || binary.LittleEndian.Uint32(object[n-8:]) > uint32(min(n-12, maxFooter)) {
		return errors.New("s3: no Parquet: it has no end as a table has")
	}
	f, err := parquet.OpenFile(bytes.NewReader(object), int64(len(object)), parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true))
	if err != nil {
		return fmt.Errorf("s3: no Parquet: %w", err)
	}
	known := tables(nil)
	i := slices.IndexFunc(known, func(t table) bool { return t.columns == f.Schema().String() })
	if i < 0 {
		return errors.New("s3: the table has other columns than those of the classes that a sink writes")
	}
	if err := checkPages(object, f); err != nil {
		return fmt.Errorf("s3: no Parquet of a sink: %w", err)
	}
	return known[i].unpack(f, each)
}

// unpackRows reads the rows of a file. The library's own way into structs makes a part that is
// not there one that is empty; so does nobody who looks at the levels of its columns.
func unpackRows[T any](f *parquet.File, numberOf func(*T) int64, each func(Row) bool) error {
	columns := f.Schema().Columns()
	for _, group := range f.RowGroups() {
		in := group.Rows()
		defer in.Close() //nolint:errcheck // it was only read, and there is one group
		rows := make([]parquet.Row, 256)
		for {
			n, err := in.ReadRows(rows)
			for _, row := range rows[:n] {
				members := map[string]any{}
				for _, v := range row {
					put(members, f.Schema(), columns[v.Column()], v)
				}
				text, err := json.Marshal(members)
				if err != nil {
					return fmt.Errorf("s3: a row is no event: %w", err)
				}
				event, err := readRow[T](text)
				if err != nil {
					return fmt.Errorf("s3: %w", err)
				}
				if text, err = json.Marshal(&event); err != nil {
					return fmt.Errorf("s3: a row is no event: %w", err)
				}
				if !each(Row{Number: numberOf(&event), JSON: text}) {
					return nil
				}
			}
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return fmt.Errorf("s3: read rows: %w", err)
			}
			if n == 0 {
				return errors.New("s3: read rows: there are fewer than the table says")
			}
		}
	}
	return nil
}

// put puts a value of a row into its place in an event: as far down as its definition level
// says that there is something.
func put(into map[string]any, within parquet.Node, path []string, v parquet.Value) {
	level := 0
	for i, name := range path {
		within = fieldOf(within, name)
		if within.Optional() {
			level++
		}
		if v.DefinitionLevel() < level {
			return
		}
		switch {
		case within.Leaf():
			into[name] = leafOf(name, v)
			return
		case len(path) == i+3 && fieldOf(within, path[i+1]).Repeated(): // a list: its group, the repeated one, and the element
			if v.DefinitionLevel() > level {
				list, _ := into[name].([]any)
				into[name] = append(list, leafOf("", v))
			}
			return
		}
		part, _ := into[name].(map[string]any)
		if part == nil {
			part = map[string]any{}
			into[name] = part
		}
		into = part
	}
}

func fieldOf(within parquet.Node, name string) parquet.Node {
	for _, f := range within.Fields() {
		if f.Name() == name {
			return f
		}
	}
	panic("a column that is not in its own schema: " + name)
}

func leafOf(name string, v parquet.Value) any {
	switch {
	case v.Kind() != parquet.ByteArray:
		return v.Int64()
	case name == "unmapped":
		return json.RawMessage(v.ByteArray())
	}
	return string(v.ByteArray())
}

// Bounds of what is read back, far above what a sink writes.
const (
	maxRows   = 2 << 20
	maxPage   = 64 << 20
	maxFooter = 1 << 20
)

// checkPages refuses files whose pages are not what the sink writes: of another codec or
// encoding, or that unpack to more than they say. The library would take their word for it.
func checkPages(object []byte, f *parquet.File) error {
	if f.NumRows() > maxRows {
		return fmt.Errorf("it has %d rows", f.NumRows())
	}
	unzip, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxPage), zstd.WithDecoderMaxWindow(maxPage))
	if err != nil {
		return err
	}
	defer unzip.Close()
	for _, group := range f.Metadata().RowGroups {
		for _, column := range group.Columns {
			m := &column.MetaData
			if m.Codec != format.Zstd || m.DictionaryPageOffset != 0 || column.FilePath != "" {
				return errors.New("its columns are packed in another way")
			}
			from, size := m.DataPageOffset, m.TotalCompressedSize
			if from < 0 || size < 0 || from > int64(len(object)) || size > int64(len(object))-from {
				return errors.New("it is cut off")
			}
			if err := checkColumn(object[from:from+size], unzip); err != nil {
				return err
			}
		}
	}
	return nil
}

func checkColumn(pages []byte, unzip *zstd.Decoder) error {
	for len(pages) > 0 {
		var h format.PageHeader
		in := bytes.NewReader(pages)
		if err := thrift.NewDecoder(new(thrift.CompactProtocol).NewReader(in)).Decode(&h); err != nil {
			return fmt.Errorf("a page has no header: %w", err)
		}
		pages = pages[len(pages)-in.Len():]
		switch {
		case h.Type != format.DataPage || !h.DataPageHeader.Valid || h.UncompressedPageSize < 0 || h.UncompressedPageSize > maxPage || h.CompressedPageSize <= 0 || int(h.CompressedPageSize) > len(pages):
			return errors.New("a page is not as its header says")
		case h.DataPageHeader.V.NumValues < 0 || h.DataPageHeader.V.NumValues > maxRows:
			return errors.New("a page has too many values")
		case h.DataPageHeader.V.Encoding != format.Plain && h.DataPageHeader.V.Encoding != format.DeltaLengthByteArray:
			return errors.New("a page is in another encoding")
		}
		if err := unzip.Reset(bytes.NewReader(pages[:h.CompressedPageSize])); err != nil {
			return err
		}
		n, err := io.Copy(io.Discard, io.LimitReader(unzip, math.MaxInt32))
		if err != nil || n != int64(h.UncompressedPageSize) {
			return errors.New("a page does not unpack to what its header says")
		}
		pages = pages[h.CompressedPageSize:]
	}
	return nil
}
