//go:build !linux

package bench

import "errors"

func pin(int, int) error { return errors.New("needs Linux") }
