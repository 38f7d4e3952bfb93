package program

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func shell(script string) Command {
	return Command{Argv: []string{"/bin/sh", "-c", script}, Env: []string{"TARPON_EVENT=active"}, Timeout: 20 * time.Second}
}

func TestRun(t *testing.T) {
	for _, test := range []struct{ name, script, output, err string }{
		{"its output and our words", "echo $TARPON_EVENT; echo more >&2", "active\nmore", ""},
		{"its status", "echo no such unit; exit 3", "no such unit", "/bin/sh: exit status 3: no such unit"},
		{"a child that stays", "sleep 60 & echo started", "started", ""},
		{"it prints for ever", "yes | head -c 100000", strings.TrimSpace(strings.Repeat("y\n", maxText/2)), ""},
	} {
		output, err := Run(context.Background(), shell(test.script))
		if said := errText(err); output != test.output || said != test.err {
			t.Errorf("%s: %.40q, error %s, want %.40q, error %s", test.name, output, said, test.output, test.err)
		}
	}
	if _, err := Run(context.Background(), Command{Argv: []string{"/no/such"}, Timeout: time.Second}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a program that is not there: %v", err)
	}
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// A program that hangs is killed with its children.
func TestHangs(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pid")
	c := shell("sleep 1000 & echo $! > " + file + "; wait")
	c.Timeout = 2 * time.Second
	if _, err := Run(context.Background(), c); err == nil || !strings.Contains(err.Error(), "not done after 2s, killed") {
		t.Fatal(err)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		stat, err := os.ReadFile("/proc/" + strings.TrimSpace(string(data)) + "/stat")
		if err != nil || strings.Contains(string(stat), ") Z ") {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the child lives: %s", stat)
		}
	}
}

func TestHooksInOrder(t *testing.T) {
	ended := make(chan string, 10)
	hooks := NewHooks(func(_ Command, output string, err error) { ended <- output + errText(err) })
	slow := shell("sleep 1000")
	slow.Timeout = 200 * time.Millisecond
	for _, c := range []Command{slow, shell("echo second"), shell("exit 1"), shell("echo fourth")} {
		hooks.Fire(c)
	}
	for _, want := range []string{"/bin/sh: not done after 200ms, killed", "second", "/bin/sh: exit status 1", "fourth"} {
		if got := <-ended; got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	<-hooks.Idle()
	began := filepath.Join(t.TempDir(), "began")
	hooks.Fire(shell("touch " + began + "; sleep 1000"))
	hooks.Fire(shell("echo never"))
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if _, err := os.Stat(began); err == nil {
			break
		} else if time.Now().After(deadline) {
			t.Fatal("the hook has not begun")
		}
	}
	select {
	case <-hooks.Idle():
		t.Error("idle while a hook runs")
	default:
	}
	hooks.Close()
	if got := <-ended; !strings.Contains(got, syscall.SIGKILL.String()) {
		t.Errorf("at the end: %q", got)
	}
	if len(ended) > 0 {
		t.Errorf("after the end: %q", <-ended)
	}
}

func TestFence(t *testing.T) {
	dir := t.TempDir()
	agent, options := filepath.Join(dir, "fence_test"), filepath.Join(dir, "fence.lb2")
	write := func(path, text string, mode os.FileMode) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	write(agent, "#!/bin/sh\ncat > "+dir+"/stdin\n[ ! -e "+dir+"/broken ] || { echo no answer from 10.9.9.9; exit 1; }\n", 0o755)
	write(options, "# lb2's board\nip=10.9.9.9\n\nplug=3\n", 0o600)
	f := Fence{Agent: agent, Options: options, Timeout: 20 * time.Second}
	if err := f.Shoot(context.Background()); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(dir + "/stdin"); err != nil || string(got) != "ip=10.9.9.9\nplug=3\naction=off\n" {
		t.Errorf("the agent was told %q (%v)", got, err)
	}
	write(dir+"/broken", "", 0o600)
	if err := f.Shoot(context.Background()); err == nil || !strings.Contains(err.Error(), "no answer from 10.9.9.9") {
		t.Errorf("an agent that fails: %v", err)
	}
	if err := os.Chmod(options, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := f.Shoot(context.Background()); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("options that all may read: %v", err)
	}
	if got := agentInput("action=reboot\nip=1"); got != "ip=1\naction=reboot\n" {
		t.Errorf("with an action: %q", got)
	}
}
