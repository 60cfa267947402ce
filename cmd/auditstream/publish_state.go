package main

import (
	"os"
	"sync"
	"time"

	"github.com/auditstream/auditstream/internal/feed"
)

// publishState is where the command keeps how far it is.
type publishState struct {
	path string
	file string // that is published, as it was named
}

// stateEvery is how often the state is written. A crash repeats what was acknowledged since,
// with the same ids.
const stateEvery = time.Second

// keeper follows how far a file is settled, and keeps that in the state file, if there is one.
type keeper struct {
	state *publishState // nil: nothing is written
	file  *os.File

	mu      sync.Mutex
	settled feed.Position // guarded by mu
	saved   feed.Position // guarded by mu
	once    bool          // something was saved; guarded by mu
}

func keep(state *publishState, file *os.File, at feed.Position) *keeper {
	return &keeper{state: state, file: file, settled: at}
}

// moved notes that everything before a position is settled.
func (k *keeper) moved(at feed.Position) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.settled = at
}

func (k *keeper) at() feed.Position {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.settled
}

// run saves every second, until the function that it returns is called, which saves for the
// last time.
func (k *keeper) run(screen *screen) (end func() error) {
	if k.state == nil {
		return func() error { return nil }
	}
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		tick := time.NewTicker(stateEvery)
		defer tick.Stop()
		told := false
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
				if err := k.save(); err != nil && !told {
					told = true
					screen.print("warning: the state cannot be written, a crash would repeat events: " + err.Error())
				}
			}
		}
	}()
	return func() error {
		close(stop)
		<-stopped
		return k.save()
	}
}

// save writes the state if it has changed.
func (k *keeper) save() error {
	if k.state == nil {
		return nil
	}
	k.mu.Lock()
	at, done := k.settled, k.once && k.settled == k.saved
	k.mu.Unlock()
	if done {
		return nil
	}
	id, err := feed.Identify(k.file, at.Offset)
	if err != nil {
		return err
	}
	if err := (feed.State{File: k.state.file, Identity: id, Line: at.Line, Offset: at.Offset}).Save(k.state.path); err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.saved, k.once = at, true
	return nil
}
