//go:build !faults

package loader

// dieAt is a place where tests let the process die: build with -tags faults.
func dieAt(string) {}
