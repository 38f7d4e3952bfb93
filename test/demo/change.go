package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/tarpon-lb/tarpon/test/lab"
)

// change applies a file under load.
func change(l *lab.Lab) error {
	say("6. A change, planned before it is made: real3 gets twice its share")
	file, err := l.MustLbctl("export")
	if err != nil {
		return err
	}
	next := filepath.Join(l.Dir, "next.yaml")
	real := "- " + l.Real4(3)
	if strings.Count(file, real) != 1 {
		return fmt.Errorf("%q is not once in:\n%s", real, file)
	}
	file = strings.Replace(file, real, fmt.Sprintf("- {real: %s, weight: 2}", l.Real4(3)), 1)
	if err := os.WriteFile(next, []byte(file), 0o644); err != nil {
		return err
	}
	err = meanwhile(l, func() error {
		if err := runTo(l.Router, 3, "plan", "-f", next); err != nil { // 3: there are changes
			return err
		}
		return run(l.Router, "apply", "-f", next)
	})
	if err != nil {
		return err
	}
	count, err := ask(l, 60)
	if err != nil {
		return err
	}
	showCount(count)
	if count["real3"] <= count["real1"] || count["real3"] <= count["real2"] {
		return fmt.Errorf("real3 did not get more than the others: %v", count)
	}
	return nil
}

// maintenance drains a real on which a download runs, and stops its server after.
func maintenance(l *lab.Lab) error {
	say("7. real1 is to be rebooted, and a download runs on it")
	d, err := download(l, 1)
	if err != nil {
		return err
	}
	err = meanwhile(l, func() error {
		if err := run(l.Router, "drain", "shop", l.Real4(1)); err != nil {
			return err
		}
		fmt.Println()
		note("New connections go elsewhere, the download goes on, to its end.")
		if err := d.whole(); err != nil {
			return err
		}
		if err := l.StopNginx(1); err != nil {
			return err
		}
		if err := l.WaitUp(vip()+"/tcp", lab.Reals-1); err != nil {
			return err
		}
		note("real1's web server is stopped, and nobody notices.")
		return nil
	})
	if err != nil {
		return err
	}
	if err := l.StartNginx(1); err != nil {
		return err
	}
	if err := run(l.Router, "undrain", "shop", l.Real4(1)); err != nil {
		return err
	}
	return await(l, lab.Reals)
}
