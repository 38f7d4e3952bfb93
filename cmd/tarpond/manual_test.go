package main

import (
	"flag"
	"testing"

	"github.com/tarpon-lb/tarpon/cmd/manual"
)

var update = flag.Bool("update", false, "write the page and the man page")

// The page and the man page tell what the program takes.
func TestManual(t *testing.T) {
	if err := manual.Written(*update, newApp()); err != nil {
		t.Error(err)
	}
}
