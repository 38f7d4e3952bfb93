package main

import (
	"flag"
	"os"
	"testing"

	"github.com/tarpon-lb/tarpon/cmd/manual"
)

var update = flag.Bool("update", false, "write the page and the man page")

// The page and the man page tell what the program takes.
func TestManual(t *testing.T) {
	frame, err := os.ReadFile("manual.md")
	if err != nil {
		t.Fatal(err)
	}
	err = manual.Written(*update, map[string][]byte{
		"../../docs/lbctl.md":     manual.Page(string(frame), newApp()),
		"../../packaging/lbctl.8": manual.Man(string(frame), newApp()),
	})
	if err != nil {
		t.Error(err)
	}
}
