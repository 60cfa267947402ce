package config

import (
	"reflect"
	"slices"
	"strings"

	"github.com/agnivade/levenshtein"
)

// closest is the name that somebody who wrote got most likely meant, "" when none is
// near: at most one letter in three may differ.
func closest(got string, names []string) string {
	const longest = 64 // no name is longer, and the distance takes quadratic time
	if len(got) > longest {
		return ""
	}
	best, distance := "", max(1, len(got)/3)+1
	normal := strings.ToLower(strings.ReplaceAll(got, "-", "_"))
	for _, name := range names {
		if n := levenshtein.ComputeDistance(normal, name); n < distance {
			best, distance = name, n
		}
	}
	return best
}

func sorted(names []string) []string {
	return slices.Sorted(slices.Values(names))
}

// sortedKeys are the keys, of kind string, of the map v.
func sortedKeys(v reflect.Value) []reflect.Value {
	return slices.SortedFunc(slices.Values(v.MapKeys()), func(a, b reflect.Value) int {
		return strings.Compare(a.String(), b.String())
	})
}
