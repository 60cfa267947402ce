package main

import (
	"errors"
	"os"
	"runtime/pprof"
)

// profiled runs f and writes what it costs to file, as pprof reads it; "" for nowhere.
func profiled(file string, f func() error) (err error) {
	if file == "" {
		return f()
	}
	out, err := os.Create(file)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	if err := pprof.StartCPUProfile(out); err != nil {
		return err
	}
	defer pprof.StopCPUProfile()
	return f()
}
