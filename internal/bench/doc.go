// Package bench measures delivery against the floor: the least work with which the same
// events get from the same topic to the same kind of endpoint.
//
// Everything that is measured is a process of its own, and what is measured is its CPU
// time: wall time on a shared machine says more about the neighbours. The broker, the
// generator and the endpoint are other processes, so that their CPU is not counted.
package bench
