package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// dist is where chroots see the packages.
const dist = "/run/dist"

// packages builds the .deb and the .rpm of each version and returns where.
func packages(t *testing.T, versions ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, version := range versions {
		cmd := exec.Command("../../packaging/build", dir)
		cmd.Env = append(os.Environ(), "VERSION="+version, "ARCH=amd64")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	return dir
}

func debOf(version string) string { return filepath.Join(dist, "tarpon_"+version+"_amd64.deb") }
func rpmOf(version string) string { return filepath.Join(dist, "tarpon-"+version+"-1.x86_64.rpm") }

func TestPackage(t *testing.T) {
	built := packages(t, "1.0.0", "1.1.0")
	rpm := []string{"rpm", "--dbpath=/run/rpm"}
	for name, kind := range map[string]packageKind{
		"deb": {
			install: []string{"dpkg", "-i", debOf("1.0.0")}, upgrade: []string{"dpkg", "-i", debOf("1.1.0")},
			remove: []string{"dpkg", "-r", "tarpon"}, leaves: conffile, purge: []string{"dpkg", "-P", "tarpon"},
			completion: "usr/share/zsh/vendor-completions/_lbctl",
		},
		"rpm": {
			install: append(rpm, "-i", rpmOf("1.0.0")), upgrade: append(rpm, "-U", rpmOf("1.1.0")),
			remove: append(rpm, "-e", "tarpon"), leaves: conffile + ".rpmsave",
			completion: "usr/share/zsh/site-functions/_lbctl",
		},
	} {
		t.Run(name, func(t *testing.T) { packageFiles(t, built, kind) })
	}
	// Of a changed sample an upgrade makes .rpmnew, and leaves an edited file alone.
	t.Run("noreplace", func(t *testing.T) {
		path := filepath.Join(built, filepath.Base(rpmOf("1.0.0")))
		out, err := exec.Command("rpm", "-qp", "--qf", `[%{FILENAMES} %{FILEFLAGS:fflags}\n]`, path).CombinedOutput()
		if err != nil || !strings.Contains(string(out), "/"+conffile+" cn\n") {
			t.Errorf("the configuration is not %%config(noreplace) (%v): %s", err, out)
		}
	})
	t.Run("systemd", func(t *testing.T) { packageSystemd(t, built) })
}

const conffile = "etc/tarpon/tarpon.yaml"

// A packageKind is how packages of a kind are handled, and what they do otherwise.
type packageKind struct {
	install, upgrade, remove, purge []string
	leaves                          string // of an edited configuration, removed
	completion                      string // for zsh
}

// packageFiles: installed, upgraded, removed and purged where no daemon runs.
func packageFiles(t *testing.T, built string, kind packageKind) {
	c := newChroot(t)
	c.bind(built, dist)
	out := c.must(kind.install...)
	if !strings.Contains(out, "edit /etc/tarpon/tarpon.yaml, then: systemctl enable --now tarpond") {
		t.Errorf("it does not say what to do next: %s", out)
	}
	want := []string{
		conffile, "usr/bin/lbctl",
		"usr/lib/systemd/system/tarpond.service", "usr/lib/sysusers.d/tarpon.conf", "usr/sbin/tarpond",
		"usr/share/bash-completion/completions/lbctl", "usr/share/doc/tarpon/copyright",
		"usr/share/fish/vendor_completions.d/lbctl.fish",
		"usr/share/man/man8/lbctl.8.gz", "usr/share/man/man8/tarpond.8.gz", "usr/share/tarpon/grafana/tarpon.json",
		"usr/share/tarpon/prometheus/tarpon.rules.yaml", "usr/share/tarpon/tarpon.schema.json", kind.completion,
	}
	pages, err := filepath.Glob("../../docs/*.md") // they refer to each other
	if err != nil || len(pages) == 0 {
		t.Fatal(pages, err)
	}
	for _, page := range pages {
		want = append(want, "usr/share/doc/tarpon/"+filepath.Base(page))
	}
	slices.Sort(want)
	if diff := cmp.Diff(want, c.changed()); diff != "" {
		t.Errorf("files: %s", diff)
	}
	c.must("getent", "group", "tarpon")
	if out := c.must("systemd-analyze", "verify", "--man=no", "tarpond.service"); out != "" {
		t.Errorf("of the unit systemd says: %s", out)
	}
	version := func(want string) {
		t.Helper()
		if out := c.must("tarpond", "--version") + c.must("lbctl", "version"); strings.Count(out, want) != 2 {
			t.Errorf("want version %s of both: %s", want, out)
		}
	}
	version("1.0.0")
	mine := "# mine\n" + c.must("cat", "/"+conffile)
	c.must("sed", "-i", "1i # mine", "/"+conffile)

	if out := c.must(kind.upgrade...); strings.Contains(out, "systemctl enable") {
		t.Errorf("an upgrade says: %s", out)
	}
	version("1.1.0")
	kept := func(name, after string) {
		t.Helper()
		if is, err := os.ReadFile(filepath.Join(c.upper, name)); err != nil || string(is) != mine {
			t.Errorf("after the %s the configuration is (%v): %s", after, err, is)
		}
	}
	kept(conffile, "upgrade")
	c.must("sh", "-c", "mkdir -p /var/lib/tarpon/revisions && touch /var/lib/tarpon/revisions/1")
	c.must(kind.remove...)
	kept(kind.leaves, "removal")
	if diff := cmp.Diff([]string{kind.leaves, "var/lib/tarpon/revisions/1"}, c.changed()); diff != "" {
		t.Errorf("a removal leaves: %s", diff)
	}
	folders := []string{"etc/tarpon", "var/lib/tarpon"}
	if kind.purge != nil {
		c.must(kind.purge...)
		if left := c.changed(); len(left) > 0 {
			t.Errorf("a purge leaves %v", left)
		}
		folders = nil
	}
	if diff := cmp.Diff(folders, c.folders("tarpon")); diff != "" {
		t.Errorf("folders that are left: %s", diff)
	}
}
