package config

import (
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// A path names a place in the file by keys and indices: streams[1].splunk.token.

func join(path, key string) string {
	if path == "" || key == "" {
		return path + key
	}
	return path + "." + key
}

// below reports that path is at, or inside, outer.
func below(path, outer string) bool {
	rest, ok := strings.CutPrefix(path, outer)
	return ok && (outer == "" || rest == "" || rest[0] == '.' || rest[0] == '[')
}

// find is the value at path, nil where there is none.
func find(root *yaml.Node, path string) *yaml.Node {
	if n, rest := descend(root, path); rest == "" {
		return n
	}
	return nil
}

// nearest is the value at path or, where there is none, the innermost one around it.
func nearest(root *yaml.Node, path string) *yaml.Node {
	n, _ := descend(root, path)
	return n
}

// descend follows path as far as it leads; rest is what is left of it.
func descend(n *yaml.Node, path string) (at *yaml.Node, rest string) {
	for path != "" {
		inside := n
		if inside.Kind == yaml.AliasNode {
			inside = inside.Alias
		}
		next, rest := step(inside, path)
		if next == nil {
			break
		}
		n, path = next, rest
	}
	return n, path
}

// step follows the first key or index of path, nil where it leads nowhere.
func step(n *yaml.Node, path string) (next *yaml.Node, rest string) {
	if index, ok := strings.CutPrefix(path, "["); ok {
		number, rest, ok := strings.Cut(index, "]")
		i, err := strconv.Atoi(number)
		if !ok || err != nil || n.Kind != yaml.SequenceNode || i < 0 || i >= len(n.Content) {
			return nil, path
		}
		return n.Content[i], strings.TrimPrefix(rest, ".")
	}
	end := strings.IndexAny(path, ".[")
	if end < 0 {
		end = len(path)
	}
	if n.Kind != yaml.MappingNode {
		return nil, path
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == path[:end] {
			return n.Content[i+1], strings.TrimPrefix(path[end:], ".")
		}
	}
	return nil, path
}
