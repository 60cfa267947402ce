// Package export makes files of an organization's events: CSV, straight from Kafka, in
// bounded memory, and the same bytes whenever and wherever one is downloaded.
//
// An export is a record in a topic of its own. When it is made, it fixes the offsets that it
// is about. Then the file is made once without being kept ([Count]): that finds how many rows
// and bytes it has, its SHA-256, the narrowest ranges that hold its events, and places in the
// middle from which it can be made again. With these on record, each download ([Write]) reads
// Kafka anew and gives those bytes or ends with an error before its last one; so a download
// can be resumed anywhere, and one that was cut short shows, because its length is known.
package export
