package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/tarpon-lb/tarpon/control/api"
)

func shop() *router {
	return &router{pair: api.Pair{Paired: true, Own: api.PairRouter{Name: "lb1"}, Peer: api.PairRouter{Name: "lb2"}}, vips: []api.Vip{
		{Vip: "192.0.2.1:80/tcp", Name: "shop", Reals: []api.Real{{Real: "10.0.0.11:80"}, {Real: "10.0.0.12:80", Name: "web2"}}},
		{Vip: "[2001:db8::1]:80/tcp", Reals: []api.Real{{Real: "[2001:db8:1::2]:80"}}},
	}}
}

func TestComplete(t *testing.T) {
	socket, stop := shop().serve(t)
	defer stop()
	t.Setenv(socketVariable, "/nonexistent")
	for _, test := range []struct{ words, want string }{
		{"e", "edit-vip edit-real enable events explain export"},
		{"nothing x", ""},
		{"--so", "--socket"},
		{"--socket", "--socket"},
		{"completion ", "bash zsh fish"},
		{"del-vip ", "192.0.2.1:80/tcp shop [2001:db8::1]:80/tcp"},
		{"del-vip 19", "192.0.2.1:80/tcp"},
		{"del-vip shop ", ""},
		{"del-vip --if-exists -o json s", "shop"},
		{"del-vip -o ", ""},
		{"del-vip --i", "--if-exists --if-revision"},
		{"vips s", "shop"},
		{"edit-real shop ", "10.0.0.11:80 10.0.0.12:80 web2"},
		{"edit-real 192.0.2.1:80 w", "web2"},
		{"edit-real nothing ", ""},
		{"disable [2001:db8::1]:80/tcp ", "[2001:db8:1::2]:80"},
		{"status ", ""},
		{"pair ", "status hold release diff adopt init join leave"},
		{"pair l", "leave"},
		{"pair adopt ", "lb1 lb2"},
		{"pair leave --f", "--force"},
	} {
		code, stdout, stderr := lbctl(t, append([]string{completeWord, "--socket", socket}, strings.Split(test.words, " ")...)...)
		got := strings.Join(strings.Fields(stdout), " ")
		if code != 0 || got != test.want || stderr != "" {
			t.Errorf("%q: exit code %d, %q, want %q; %s", test.words, code, got, test.want, stderr)
		}
	}
}

// Bash puts in what it must: quotes where the shell wants them, and no colon twice.
func TestCompletionInBash(t *testing.T) {
	bin := t.TempDir()
	if out, err := exec.Command("go", "build", "-o", bin, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	socket, stop := shop().serve(t)
	defer stop()
	for _, test := range []struct{ line, want string }{
		{`lbctl vi`, `vips`},
		{`lbctl del-vip `, `192.0.2.1:80/tcp shop \[2001:db8::1\]:80/tcp`},
		{`lbctl del-vip 192.0.2.1:8`, `80/tcp`},
		{`lbctl del-vip [2`, `\[2001:db8::1\]:80/tcp`},
		{`lbctl del-vip [2001:db8:`, `:1]:80/tcp`},
		{`lbctl del-vip \[2001:db8:`, `:1\]:80/tcp`},
		{`lbctl del-vip '[2001:db8:`, `[2001:db8::1]:80/tcp`},
		{`lbctl del-real "[2001:db8::1]:80/tcp" `, `\[2001:db8:1::2\]:80`},
		{`lbctl del-vip $(touch ` + bin + `/ran) `, ``},
	} {
		script := `. cmd; COMP_LINE=$1 COMP_POINT=${#1}; _lbctl; echo "${COMPREPLY[*]}"`
		cmd := exec.Command("bash", "-c", strings.Replace(script, "cmd", "completion/bash", 1), "bash", test.line)
		cmd.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), socketVariable+"="+socket)
		out, err := cmd.CombinedOutput()
		if diff := cmp.Diff(test.want, strings.TrimSuffix(string(out), "\n")); diff != "" || err != nil {
			t.Errorf("%s: %v %s", test.line, err, diff)
		}
	}
	if _, err := os.Stat(filepath.Join(bin, "ran")); err == nil {
		t.Error("a completion ran what was typed")
	}
}

func TestCompletionScripts(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish"} {
		code, stdout, _ := (&router{}).lbctl(t, "completion", shell)
		if code != 0 || !strings.Contains(stdout, completeWord) {
			t.Errorf("%s: exit code %d, %s", shell, code, stdout)
		}
	}
	if code, _, stderr := (&router{}).lbctl(t, "completion", "ksh"); code != exitUsage || !strings.Contains(stderr, "write bash, zsh or fish") {
		t.Errorf("ksh: exit code %d, %s", code, stderr)
	}
}
