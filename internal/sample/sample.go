// Package sample is a feed of audit events as services send them, for trying the
// product and for its tests.
//
// It holds one JSON object a line: three events of single sign-on in camelCase and
// without an organization_id of the schema's form, events that use every part of the
// schema, one of each action of a typical application, and WorkOS Events of many
// families as the Events API carries them, for five organizations.
package sample

import _ "embed" // for the feed

// Feed is the feed as NDJSON.
//
//go:embed feed.ndjson
var Feed string

// Organization is one of the feed's organizations, for the lines that name none.
const Organization = "org_01KXAJ95MWA3QGT68R0HPTS1M2"
