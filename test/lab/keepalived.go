package lab

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// StartKeepalived has the router run keepalived, with an instance on leg hb that has
// more lines of its own, instead of tarpond. It starts as a backup.
func (r *Router) StartKeepalived(instance string) error {
	r.lives++ // a pid file for each: keepalived heeds one that was left
	file := func(name string) string { return filepath.Join(r.Dir, fmt.Sprintf("keepalived.%d.%s", r.lives, name)) }
	text := "vrrp_instance pair {\n interface hb\n state BACKUP\n virtual_router_id 77\n priority 100\n" + instance + "\n}\n"
	if err := os.WriteFile(file("conf"), []byte(text), 0o644); err != nil {
		return err
	}
	log, err := os.Create(file("log"))
	if err != nil {
		return err
	}
	defer log.Close()
	r.keepalived = r.lab.Command(r.Host, "keepalived", "--vrrp", "--dont-fork", "--log-console", "--log-detail",
		"--use-file", file("conf"), "--pid", file("pid"), "--vrrp_pid", file("vrrp.pid"))
	r.keepalived.Stdout, r.keepalived.Stderr = log, log
	return r.lab.Start(r.keepalived)
}

// KillKeepalived sends it a signal, its children first, and waits until it is gone: with
// SIGKILL it leaves its addresses and says nothing.
func (r *Router) KillKeepalived(signal syscall.Signal) error {
	exited := make(chan struct{})
	go func(cmd *exec.Cmd) { _ = cmd.Wait(); close(exited) }(r.keepalived)
	if signal == syscall.SIGKILL {
		for _, child := range children(r.keepalived.Process.Pid) {
			_ = syscall.Kill(child, signal)
		}
	}
	if err := r.keepalived.Process.Signal(signal); err != nil {
		return err
	}
	select {
	case <-exited:
		return nil
	case <-time.After(30 * time.Second):
		return fmt.Errorf("keepalived of %s does not end", r.Host)
	}
}

func children(pid int) (list []int) {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", pid))
	for _, field := range strings.Fields(string(text)) {
		if child, err := strconv.Atoi(field); err == nil {
			list = append(append(list, child), children(child)...)
		}
	}
	return list
}
