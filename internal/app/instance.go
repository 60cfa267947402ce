package app

import (
	"fmt"
	"os"
)

// instanceHostname is the instance id that stands for the machine's name.
const instanceHostname = "hostname"

// instanceID is the static member id that a configuration means; empty for none.
func instanceID(configured string, hostname func() (string, error)) (string, error) {
	if configured != instanceHostname {
		return configured, nil
	}
	name, err := hostname()
	if err == nil && name == "" {
		err = os.ErrNotExist
	}
	if err != nil {
		return "", fmt.Errorf("delivery.instance_id: the machine's name: %w", err)
	}
	return name, nil
}
