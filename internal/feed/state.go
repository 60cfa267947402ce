package feed

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// stateVersion is the version of the state file that this package writes.
const stateVersion = 1

// headSize bounds the beginning of a file that it is known by, in bytes.
const headSize = 1024

// State is how far a file was published: everything before the position is acknowledged, or
// was refused and told.
type State struct {
	Version  int       `json:"version"`
	File     string    `json:"file"` // as it was named
	Identity Identity  `json:"identity"`
	Line     int       `json:"line"`
	Offset   int64     `json:"offset"`
	Updated  time.Time `json:"updated"`
}

// Identity tells files apart that had, have or will have the same name.
type Identity struct {
	Device uint64 `json:"device,omitempty"`
	Inode  uint64 `json:"inode,omitempty"`
	Bytes  int64  `json:"bytes"`  // of the beginning that the hash is of
	SHA256 string `json:"sha256"` // of these bytes, in hex
}

// LoadState reads a state file; false: there is none.
func LoadState(path string) (State, bool, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return State{}, false, nil
	}
	if err != nil {
		return State{}, false, err
	}
	var s State
	if err := json.Unmarshal(text, &s); err != nil {
		return State{}, false, fmt.Errorf("%s is no state of a publishing: %w", path, err)
	}
	if s.Version != stateVersion {
		return State{}, false, fmt.Errorf("%s is of version %d, which this binary does not know: upgrade auditstream", path, s.Version)
	}
	if s.Offset < 0 || s.Line < 0 || s.Identity.Bytes < 0 || s.Identity.Bytes > headSize || s.Identity.Bytes > s.Offset {
		return State{}, false, fmt.Errorf("%s is damaged: its figures contradict each other", path)
	}
	return s, true, nil
}

// Save writes the state file as a whole: whoever reads it sees the former one or this one,
// also after a crash of the machine.
func (s State) Save(path string) (err error) {
	s.Version, s.Updated = stateVersion, time.Now().UTC().Truncate(time.Millisecond)
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	temp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = temp.Close()
			_ = os.Remove(temp.Name())
		}
	}()
	if _, err = temp.Write(append(text, '\n')); err != nil {
		return err
	}
	if err = temp.Sync(); err != nil {
		return err
	}
	if err = temp.Close(); err != nil {
		return err
	}
	if err = os.Rename(temp.Name(), path); err != nil {
		return err
	}
	if dir, openErr := os.Open(filepath.Dir(path)); openErr == nil { // where a directory cannot be synced, it is as safe as it gets
		_ = dir.Sync()
		_ = dir.Close()
	}
	return nil
}

// Identify is the identity of an open file, by its first bytes of what was published.
func Identify(file *os.File, published int64) (Identity, error) {
	info, err := file.Stat()
	if err != nil {
		return Identity{}, err
	}
	id := Identity{Bytes: min(published, headSize)}
	id.Device, id.Inode = node(info)
	id.SHA256, err = headSum(file, id.Bytes)
	return id, err
}

// Same says whether an open file begins as the one that id is of.
func (id Identity) Same(file *os.File) (bool, error) {
	sum, err := headSum(file, id.Bytes)
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		return false, nil // it is shorter
	}
	return sum == id.SHA256, err
}

func headSum(file *os.File, n int64) (string, error) {
	head := make([]byte, n)
	if read, err := file.ReadAt(head, 0); int64(read) < n {
		return "", errors.Join(err, io.ErrUnexpectedEOF)
	}
	sum := sha256.Sum256(head)
	return hex.EncodeToString(sum[:]), nil
}

// Find looks for the file that a state is of: under its name, or under another one in the same
// folder, where whoever rotates logs has put it. It returns nil when there is none.
func (s State) Find(path string) (*os.File, error) {
	names := []string{path}
	if entries, err := os.ReadDir(filepath.Dir(path)); err == nil && s.Identity.Inode != 0 {
		for _, e := range entries {
			if info, err := e.Info(); err == nil && info.Mode().IsRegular() {
				if device, inode := node(info); device == s.Identity.Device && inode == s.Identity.Inode {
					names = append(names, filepath.Join(filepath.Dir(path), e.Name()))
				}
			}
		}
	}
	for _, name := range names {
		file, err := os.Open(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		info, err := file.Stat()
		same := false
		if err == nil && info.Mode().IsRegular() && info.Size() >= s.Offset {
			same, err = s.Identity.Same(file)
		}
		if same && err == nil {
			return file, nil
		}
		if err = errors.Join(err, file.Close()); err != nil {
			return nil, err
		}
	}
	return nil, nil //nolint:nilnil // there is none
}

// SourceOf names a file by its first line, cut at a kilobyte: a file that grows, or is moved,
// keeps the name.
func SourceOf(file *os.File) (string, error) {
	head := make([]byte, headSize)
	n, err := file.ReadAt(head, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return "", err
	}
	head = head[:n]
	for i, c := range head {
		if c == '\n' {
			head = head[:i]
			break
		}
	}
	sum := sha256.Sum256(head)
	return hex.EncodeToString(sum[:16]), nil
}
