package console

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"time"
)

//go:embed assets/*.css assets/*.js assets/*.svg assets/vendor/*.js assets/vendor/*.css
var embedded embed.FS

// assets are the files that pages refer to. The hash of its content stands in a file's
// address, so that browsers keep it for ever and never show an old one with a new page.
type assets struct {
	files map[string]asset // by name
}

type asset struct {
	hash    string
	content []byte
	kind    string
}

func loadAssets() (*assets, error) {
	a := &assets{files: map[string]asset{}}
	err := fs.WalkDir(embedded, "assets", func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := embedded.ReadFile(p)
		if err != nil {
			return err
		}
		sum := sha256.Sum256(content)
		a.files[path.Base(p)] = asset{hash: hex.EncodeToString(sum[:8]), content: content, kind: mime.TypeByExtension(path.Ext(p))}
		return nil
	})
	return a, err
}

// url is the address of a file.
func (a *assets) url(name string) string { return "/assets/" + a.files[name].hash + "/" + name }

func (a *assets) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("name")
	f, ok := a.files[name]
	if !ok || f.hash != r.PathValue("hash") {
		http.Error(w, "There is no such file. Load the page again: it may be of another version.", http.StatusNotFound)
		return
	}
	w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	w.Header().Set("Content-Type", f.kind)
	http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(f.content))
}
