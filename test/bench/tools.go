package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// tools are the programs under test.
type tools struct {
	tarpond, lbctl string
}

// findTools returns the programs of the module's bin, where `make` puts them;
// else it builds them into dir.
func findTools(ctx context.Context, dir string) (*tools, error) {
	out, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		return nil, fmt.Errorf("find the module: run the bench inside it: %w", err)
	}
	root := strings.TrimSpace(string(out))
	t := &tools{filepath.Join(root, "bin", "tarpond"), filepath.Join(root, "bin", "lbctl")}
	if executable(t.tarpond) && executable(t.lbctl) {
		return t, nil
	}
	build := exec.CommandContext(ctx, "go", "build", "-o", dir+"/", "./cmd/tarpond", "./cmd/lbctl")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build tarpond and lbctl: %w: %s", err, out)
	}
	return &tools{filepath.Join(dir, "tarpond"), filepath.Join(dir, "lbctl")}, nil
}

func executable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}

// ctl runs lbctl against a daemon's socket and returns what it printed.
func (t *tools) ctl(ctx context.Context, socket string, args ...string) ([]byte, error) {
	c := exec.CommandContext(ctx, t.lbctl, append([]string{"--socket", socket}, args...)...)
	var stderr bytes.Buffer
	c.Stderr = &stderr
	out, err := c.Output()
	if err != nil {
		return out, fmt.Errorf("lbctl %s: %w: %s", strings.Join(args, " "), err, bytes.TrimSpace(stderr.Bytes()))
	}
	return out, nil
}
