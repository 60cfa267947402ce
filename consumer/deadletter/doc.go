// Package deadletter reads the topic of dead letters and marks what operators decide
// about them.
//
// Nothing in that topic is ever changed or deleted but by its retention. What becomes of
// a letter is a [Mark]: a record of its own behind the letter, in the same partition. So
// the records of one letter have one order, and the last of them says how it stands: a
// letter is open, a mark closes it, and the same letter written again after its mark
// (refused once more after a redrive) is open again.
//
// Memory is bounded however many letters there are: a [Listing] by the query's limit, the
// reading behind it by the standings of about a million letters at a time, of some 100
// bytes each, beyond which partitions are read more than once.
//
// The format of letters and marks stands in docs/formats.md. Package consumer writes the
// letters.
package deadletter
