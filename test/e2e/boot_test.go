package e2e

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/tarpon-lb/tarpon/test/lab"
)

// boot makes a chroot a running system: systemd is its first process, the network the
// lab's router's, and the bpffs too. Commands are run in there from now on. It is what
// systemd-nspawn does, but needs no systemd outside, hands on a whole network
// namespace, and lets bpf(2) through.
func (c *chroot) boot(l *lab.Lab) {
	c.t.Helper()
	group := filepath.Join(filepath.Dir(c.root), "cgroup", "tarpon-"+c.pid)
	outside := []string{"nsenter", "--mount", "--target=" + c.pid}
	run := func(script string, args ...string) {
		c.t.Helper()
		args = append(append(outside, "sh", "-ec", script, "sh"), args...)
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			c.t.Fatalf("%s: %v: %s", script, err, out)
		}
	}
	run(`mkdir "$1"; mount -t cgroup2 cgroup2 "$1"; mkdir "$2"`, filepath.Dir(group), group)
	c.t.Cleanup(func() { run(`find "$1" -depth -type d -exec rmdir {} +`, group) })

	init := l.Command("router", append(outside, "sh", "-ec", `
		echo $$ >"$1/cgroup.procs"
		exec unshare --mount --pid --fork --kill-child --cgroup --uts --ipc sh -ec "$4" sh "$2" "$3"`,
		"sh", group, c.root, filepath.Join(l.Dir, "bpf"), firstProcess)...)
	said, err := init.StdoutPipe()
	if err != nil {
		c.t.Fatal(err)
	}
	init.Stderr = init.Stdout
	if err := init.Start(); err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() {
		if first, err := strconv.Atoi(c.init); err == nil {
			_ = syscall.Kill(first, syscall.SIGKILL) // and with it all in there
		}
		_ = init.Wait()
	})
	if _, err := fmt.Fscanln(said, &c.init); err != nil {
		c.t.Fatalf("the first process does not tell its number: %v", err)
	}
	if err := lab.Wait(60*time.Second, func() error {
		if out, err := c.run("systemctl", "is-system-running"); err != nil {
			failed, _ := c.run("systemctl", "--failed")
			return fmt.Errorf("systemd is %s%s", out, failed)
		}
		return nil
	}); err != nil {
		c.t.Fatal(err)
	}
}

// firstProcess becomes systemd. What it must not touch is read-only, as in any
// container; this machine's own units, mounts and journal are not in there.
const firstProcess = `
	read number rest </proc/self/stat # outside of this PID namespace
	cd "$1"
	mount -t proc proc proc
	mount --bind proc/sys proc/sys
	mount --bind proc/sys/net proc/sys/net
	mount -o remount,bind,ro proc/sys
	mount -t sysfs sys sys
	mount -o remount,bind,ro sys
	mount --bind "$2" sys/fs/bpf
	mount -t cgroup2 cgroup2 sys/fs/cgroup
	mount -t tmpfs dev dev
	cp -a /dev/null /dev/zero /dev/full /dev/random /dev/urandom /dev/tty dev
	mkdir dev/pts dev/shm
	mount -t devpts -o newinstance,ptmxmode=666 devpts dev/pts
	mount -t tmpfs shm dev/shm
	mount -t tmpfs tmp tmp
	rm -rf etc/systemd/system etc/fstab etc/init.d etc/rc?.d var/log/journal
	mkdir -p etc/systemd/system
	ln -s /dev/null etc/systemd/system/systemd-sysctl.service
	ln -s /dev/null etc/systemd/system/systemd-modules-load.service
	mkdir old
	pivot_root . old
	umount -l old
	rmdir old
	echo $number
	exec env -i container=tarpon PATH=/usr/sbin:/usr/bin /lib/systemd/systemd --unit=basic.target`
