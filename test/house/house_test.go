// Package house checks what must hold of the whole tree: who imports whom, and that
// Go and C agree on numbers.
package house

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"strings"
	"testing"
)

const module = "github.com/tarpon-lb/tarpon/"

// rules: packages below the first may not import what begins with the second.
// .golangci.yaml says the same to those who have the linter.
var rules = []struct{ of, not string }{
	{"control", "github.com/cilium/ebpf"},
	{"cmd", "github.com/cilium/ebpf"},
	{"healthcheck", "github.com/cilium/ebpf"},
	{"healthcheck", module + "loader"},
	{"healthcheck", module + "control"},
	{"loader", module + "control"},
	{"loader", module + "healthcheck"},
	{"loader", module + "cmd"},
	{"control", module + "cmd"},
	{"cmd/lbctl", module + "loader"},
}

func TestImportsPointDown(t *testing.T) {
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports", module+"...").Output()
	if err != nil {
		t.Fatal(err)
	}
	for decoder := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p struct {
			ImportPath string
			Imports    []string
		}
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			t.Fatal(err)
		}
		for _, rule := range rules {
			if p.ImportPath != module+rule.of && !strings.HasPrefix(p.ImportPath, module+rule.of+"/") {
				continue
			}
			for _, imported := range p.Imports {
				if imported == rule.not || strings.HasPrefix(imported, rule.not+"/") {
					t.Errorf("%s imports %s: imports point down only, cmd -> control -> loader", p.ImportPath, imported)
				}
			}
		}
	}
}
