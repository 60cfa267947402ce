package s3store

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"
)

// metaDir holds what is not an object's content: DIR/.meta/bucket/key.json.
const metaDir = ".meta"

// disk keeps objects as plain files. It never leaves its root, whatever a key says.
type disk struct {
	root *os.Root
}

// openDisk reads back what an earlier process stored. A file without metadata is one
// that somebody else has put there: it is not an object.
func openDisk(dir string) (*disk, map[string]map[string]*object, error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, nil, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, nil, err
	}
	d := &disk{root: root}
	found, err := d.read()
	if err != nil {
		return nil, nil, errors.Join(err, root.Close())
	}
	return d, found, nil
}

func (d *disk) read() (map[string]map[string]*object, error) {
	found := map[string]map[string]*object{}
	err := fs.WalkDir(d.root.FS(), ".", func(name string, e fs.DirEntry, err error) error {
		switch bucket, key, _ := strings.Cut(name, "/"); {
		case err != nil:
			return err
		case name == ".":
			return nil
		case name == metaDir:
			return fs.SkipDir
		case key == "" && e.IsDir():
			found[bucket] = map[string]*object{}
			return nil
		case key == "" || !e.Type().IsRegular():
			return nil
		default:
			text, err := d.root.ReadFile(metaFile(bucket, key))
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			if err != nil {
				return err
			}
			o := &object{lines: -1}
			if err := json.Unmarshal(text, &o.Object); err != nil {
				return fmt.Errorf("%s: %w", metaFile(bucket, key), err)
			}
			o.Bucket, o.Key = bucket, key
			found[bucket][key] = o
			return nil
		}
	})
	return found, err
}

func metaFile(bucket, key string) string { return path.Join(metaDir, bucket, key+".json") }

func (d *disk) createBucket(name string) error { return d.root.MkdirAll(name, 0o750) }

// write stores o: first the metadata, then the content under its name in one step. A
// process that dies in between leaves metadata without an object, which is nothing.
func (d *disk) write(o *object) error {
	name := o.Bucket + "/" + o.Key
	if path.Clean(name) != name {
		return fmt.Errorf("the key %q cannot be a file", o.Key)
	}
	text, err := json.Marshal(o.Object)
	if err != nil {
		return err
	}
	if err := d.replace(metaFile(o.Bucket, o.Key), text); err != nil {
		return err
	}
	return d.replace(name, o.data)
}

func (d *disk) replace(name string, data []byte) error {
	for _, dir := range []string{metaDir, path.Dir(name)} {
		if err := d.root.MkdirAll(dir, 0o750); err != nil {
			return err
		}
	}
	const temporary = metaDir + "/incoming" // one at a time: the caller holds Server.mu
	if err := d.root.WriteFile(temporary, data, 0o640); err != nil {
		return err
	}
	return d.root.Rename(temporary, name)
}

// remove is write undone: first the content, so that a process that dies in between leaves
// no object.
func (d *disk) remove(o *object) error {
	if err := d.root.Remove(o.Bucket + "/" + o.Key); err != nil {
		return err
	}
	return d.root.Remove(metaFile(o.Bucket, o.Key))
}
