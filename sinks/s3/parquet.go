package s3

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"

	"github.com/parquet-go/parquet-go"

	"github.com/auditstream/auditstream/sinks"
)

// Values of SecurityLake.Class: the names of OCSF's classes, as the path of its schema has
// them.
const (
	ClassAccountChange    = "account_change"
	ClassAuthentication   = "authentication"
	ClassEntityManagement = "entity_management"
	ClassUserAccess       = "user_access"
	ClassGroupManagement  = "group_management"
)

// table is one class of OCSF as objects of rows.
type table struct {
	name  string
	class int                                       // class_uid
	check func(value []byte) error                  // that the event is a row
	pack  func(lines []byte) (data []byte, e error) // one event a line, all of them rows

	columns string // as Parquet has them
	unpack  func(f *parquet.File, each func(Row) bool) error
}

// tables are those of the classes that audit events become. turns bounds how many objects
// are made at the same time.
func tables(turns chan struct{}) []table {
	return []table{
		tableOf(ClassAccountChange, 3001, turns, func(r *accountChange) *row { return &r.row }),
		tableOf(ClassAuthentication, 3002, turns, func(r *authentication) *row { return &r.row }),
		tableOf(ClassEntityManagement, 3004, turns, func(r *entityManagement) *row { return &r.row }),
		tableOf(ClassUserAccess, 3005, turns, func(r *userAccess) *row { return &r.row }),
		tableOf(ClassGroupManagement, 3006, turns, func(r *groupManagement) *row { return &r.row }),
	}
}

func classNames() []string {
	return []string{ClassAccountChange, ClassAuthentication, ClassEntityManagement, ClassUserAccess, ClassGroupManagement}
}

// lakes are the tables that all sinks of a kind share.
type lakes struct {
	once   sync.Once
	tables []table // written within once
}

func (l *lakes) tableOf(class string) table {
	l.once.Do(func() { l.tables = tables(make(chan struct{}, runtime.GOMAXPROCS(0))) })
	return l.tables[slices.IndexFunc(l.tables, func(t table) bool { return t.name == class })]
}

func tableOf[T any](name string, class int, turns chan struct{}, common func(*T) *row) table {
	t := table{name: name, class: class, columns: parquet.SchemaOf(new(T)).String()}
	t.check = func(value []byte) error {
		if c := classOf(value); c != class {
			return wrongClass(c, t)
		}
		if _, err := readRow[T](value); err != nil {
			return &sinks.Error{Class: sinks.Rejected, Err: err}
		}
		return nil
	}
	t.pack = func(lines []byte) ([]byte, error) {
		turns <- struct{}{}
		defer func() { <-turns }()
		rows := make([]T, 0, bytes.Count(lines, []byte("\n")))
		for line := range bytes.Lines(lines) {
			r, err := readRow[T](line)
			if err != nil {
				return nil, fmt.Errorf("s3: %w", err)
			}
			rows = append(rows, r)
		}
		// Security Lake asks for the order of time, which is that of offsets but for clocks.
		slices.SortStableFunc(rows, func(a, b T) int { return cmp.Compare(common(&a).Time, common(&b).Time) })
		return writeRows(rows)
	}
	t.unpack = func(f *parquet.File, each func(Row) bool) error {
		return unpackRows(f, func(r *T) int64 { return common(r).Metadata.Sequence }, each)
	}
	return t
}

func wrongClass(class int, t table) error {
	if class == 0 {
		return &sinks.Error{Class: sinks.Rejected, Err: errors.New("the event is not in OCSF: give the stream format: ocsf")}
	}
	return &sinks.Error{Class: sinks.Rejected, Err: fmt.Errorf("the event is of OCSF's class %d, and security_lake takes %s (%d): "+
		"let actions name those of that class only, and give the others a stream and a source of their own", class, t.name, t.class)}
}

// pageBytes is the most that Security Lake wants in a page of a column, uncompressed.
const pageBytes = 1 << 20

// writeRows makes one object of one row group. The same rows give the same bytes.
func writeRows[T any](rows []T) ([]byte, error) {
	var out bytes.Buffer
	w := parquet.NewGenericWriter[T](&out,
		parquet.Compression(&parquet.Zstd), parquet.PageBufferSize(pageBytes), parquet.DataPageVersion(1),
		parquet.CreatedBy("auditstream", "3", "parquet-go"))
	if _, err := w.Write(rows); err != nil {
		return nil, fmt.Errorf("s3: write rows: %w", err)
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("s3: write rows: %w", err)
	}
	return out.Bytes(), nil
}
