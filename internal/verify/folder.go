package verify

import (
	"context"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// folder is a directory with a copy of a bucket, as aws s3 sync makes it: without metadata.
type folder struct{ root *os.Root }

// isCopy says whether a directory holds objects of the sink for S3: by their names, for who
// packs old files of lines may well give them the same ending.
func isCopy(dir string) (bool, error) {
	found := false
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.Type().IsRegular() && isObject(p) || d.IsDir() && (d.Name()+"/" == digestMark || d.Name()+"/" == checkpointMark) {
			found = true
			return fs.SkipAll
		}
		return nil
	})
	return found, err
}

func isObject(path string) bool {
	_, ok := parseBase(filepath.ToSlash(path))
	return ok && isEvents(path)
}

func (f folder) list(ctx context.Context, each func(key string, size int64) error) error {
	return fs.WalkDir(f.root.FS(), ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		return each(p, info.Size())
	})
}

func (f folder) open(_ context.Context, key string) (io.ReadCloser, error) {
	return f.root.Open(filepath.FromSlash(key))
}

// metadata are lost in a copy.
func (f folder) metadata(context.Context, string) (map[string]string, error) { return nil, nil }
