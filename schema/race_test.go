//go:build race

package schema

// raceDetector says that memory to be used again is dropped at random.
const raceDetector = true
