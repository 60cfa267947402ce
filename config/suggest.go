package config

import (
	"reflect"
	"slices"
	"strings"

	"github.com/agnivade/levenshtein"
)

// Closest is the name that somebody who wrote got most likely meant, "" when none is
// near: at most one letter in three may differ.
func Closest(got string, names []string) string {
	const longest = 64 // no name is longer, and the distance takes quadratic time
	if len(got) > longest {
		return ""
	}
	best, distance := "", max(1, len(got)/3)+1
	normal := normalized(got)
	for _, name := range names {
		if n := levenshtein.ComputeDistance(normal, normalized(name)); n < distance {
			best, distance = name, n
		}
	}
	return best
}

// normalized has one spelling for what people mix up.
func normalized(name string) string { return strings.ToLower(strings.ReplaceAll(name, "-", "_")) }

func sorted(names []string) []string {
	return slices.Sorted(slices.Values(names))
}

// sortedKeys are the keys, of kind string, of the map v.
func sortedKeys(v reflect.Value) []reflect.Value {
	return slices.SortedFunc(slices.Values(v.MapKeys()), func(a, b reflect.Value) int {
		return strings.Compare(a.String(), b.String())
	})
}
