package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestKeygen(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pair.key")
	code, pin, stderr := lbctl(t, "keygen", "--file", file)
	if code != 0 || !strings.HasPrefix(pin, "sha256:") || len(pin) != len("sha256:")+64+1 {
		t.Fatalf("%d, %q, %q; want a pin", code, pin, stderr)
	}
	first, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	code, stdout, stderr := lbctl(t, "keygen", "--file", file)
	if code != exitRefused || stdout != "" || !strings.Contains(stderr, strings.TrimSpace(pin)) {
		t.Errorf("over the first: %d, %q, %q", code, stdout, stderr)
	}
	if again, err := os.ReadFile(file); err != nil || string(again) != string(first) {
		t.Errorf("the first key is gone: %v", err)
	}
	var said made
	code, stdout, _ = lbctl(t, "keygen", "--file", file+"2", "-o", "json")
	if err := json.Unmarshal([]byte(stdout), &said); code != 0 || err != nil || said.File != file+"2" || !strings.HasPrefix(string(said.Pin), "sha256:") {
		t.Errorf("as JSON: %d, %q, %v", code, stdout, err)
	}
}
