package config

import _ "embed" // for Reference

// Reference is a configuration that sets or mentions everything there is, with its
// meaning, unit and default: it is the documentation.
//
//go:embed reference.yaml
var Reference string
