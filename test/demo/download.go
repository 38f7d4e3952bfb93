package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/tarpon-lb/tarpon/test/lab"
)

const (
	fileBytes = 400_000
	fileRate  = "100k" // a second
)

// A transfer is a file that the client gets slowly.
type transfer struct {
	curl *exec.Cmd
	out  bytes.Buffer
}

// download begins one of a file that only one real has: the others refuse it.
func download(l *lab.Lab, real int) (*transfer, error) {
	if err := os.WriteFile(filepath.Join(l.WWW(real), "file"), make([]byte, fileBytes), 0o644); err != nil {
		return nil, err
	}
	var d *transfer
	begin := func() error {
		d = &transfer{}
		d.curl = l.Command("client", "curl", "-sSf", "-m", "30", "-o", "/dev/null", "-w", "%{size_download}", "http://"+vip()+"/file?rate="+fileRate)
		d.curl.Stdout, d.curl.Stderr = &d.out, &d.out
		if err := l.Start(d.curl); err != nil {
			return err
		}
		return lab.Wait(time.Second, func() error {
			flows, err := l.MustLbctl("flows", "--real", l.Real4(real), "--state", "established")
			if err == nil && strings.Count(flows, "\n") < 2 {
				err = fmt.Errorf("real%d has no connection", real)
			}
			return err
		})
	}
	return d, lab.Wait(20*time.Second, begin)
}

// whole is an error unless all of the file comes.
func (d *transfer) whole() error {
	if err := d.curl.Wait(); err != nil || d.out.String() != fmt.Sprint(fileBytes) {
		return fmt.Errorf("the download ended early (%w): %s", err, d.out.String())
	}
	note("All %s bytes came.", d.out.String())
	return nil
}
