package control

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/tarpon-lb/tarpon/control/api"
	"github.com/tarpon-lb/tarpon/control/config"
	"github.com/tarpon-lb/tarpon/control/disk"
	"github.com/tarpon-lb/tarpon/control/revision"
)

func TestRefusal(t *testing.T) {
	_, faults := config.Parse("f.yaml", []byte("legs: {net: {role: out, interface: eth0}}\n"))
	var list *config.Errors
	if !errors.As(faults, &list) || len(list.List) != 1 {
		t.Fatalf("the file has %v", faults)
	}
	fault := list.List[0]
	for _, test := range []struct {
		err  error
		want api.Error
	}{
		{faults, api.Error{Code: api.CodeInvalid, Message: faults.Error(), File: "f.yaml", Line: 1, Column: 20, Faults: []api.Fault{
			{Line: 1, Column: 20, Path: "legs.net.role", Message: fault.Message, Remedy: fault.Remedy},
		}}},
		{fmt.Errorf("vip a: %w", config.ErrExists), api.Error{Code: api.CodeExists, Message: "vip a: " + config.ErrExists.Error()}},
		{fmt.Errorf("vip a: %w", config.ErrNotFound), api.Error{Code: api.CodeMissing, Message: "vip a: " + config.ErrNotFound.Error()}},
		{errors.New("no"), api.Error{Code: api.CodeInvalid, Message: "no"}},
	} {
		var told *api.Error
		if err := refusal(test.err); !errors.As(err, &told) {
			t.Fatalf("%v is told as %v", test.err, err)
		}
		if diff := gocmp.Diff(test.want, *told); diff != "" {
			t.Error(diff)
		}
	}
}

// A change that is refused because the file could not be run tells its faults too.
func TestRefusalOverABrokenFile(t *testing.T) {
	_, broken := config.Parse("f.yaml", []byte("legs:\n  net: {role: out, interface: eth0}\n  wan: {role: in, interface: eth1}\n"))
	c := &Controller{Options: Options{ConfigFile: "f.yaml"}, running: revision.Revision{ID: revision.ID{Number: 7}}, broken: broken}
	var told *api.Error
	if err := c.refuses(change{}, &draft{}); !errors.As(err, &told) {
		t.Fatalf("it is told as %v", err)
	}
	if told.Code != api.CodeConflict || told.File != "f.yaml" || told.Line != 2 || told.Column != 15 || len(told.Faults) != 2 || told.Faults[1].Line != 3 {
		t.Errorf("%+v", told)
	}
}

// What ends a change before anything is touched.
func TestChangeThatIsNone(t *testing.T) {
	to := func(text string, err error) change {
		return change{edit: func([]byte) ([]byte, error) { return []byte(text), err }}
	}
	with := func(ch change, change func(*change)) change { change(&ch); return ch }
	missing := fmt.Errorf("vip b: %w", config.ErrNotFound)
	waits := revision.Revision{ID: revision.ID{Number: 7}, ConfirmBy: time.Now().Add(time.Hour)}
	for _, test := range []struct {
		name    string
		disk    string
		change  change
		running revision.Revision
		broken  error
		code    string // "": unchanged
	}{
		{name: "the same", change: to("a", nil)},
		{name: "deleted already", change: with(to("", missing), func(c *change) { c.IfExists = true })},
		{name: "nothing to delete", change: to("", missing), code: api.CodeMissing},
		{name: "exists", change: with(to("", config.ErrExists), func(c *change) { c.IfExists = true }), code: api.CodeExists},
		{name: "edited by hand", disk: "b", change: to("c", nil), code: api.CodeConflict},
		{name: "planned over edits", disk: "b", change: with(to("a", nil), func(c *change) { c.overEdits = true })},
		{name: "broken at the start", broken: errors.New("no"), change: to("c", nil), code: api.CodeConflict},
		{name: "reloaded", broken: errors.New("no"), change: with(to("a", nil), func(c *change) { c.overEdits, c.inFile = true, true })},
		{name: "this revision", change: with(to("a", nil), func(c *change) { c.IfRevision = 7 })},
		{name: "another revision", change: with(to("a", nil), func(c *change) { c.IfRevision = 6 }), code: api.CodeConflict},
		{name: "one waits to be confirmed", running: waits, change: to("c", nil), code: api.CodeConflict},
		{name: "decided about", running: waits, change: with(to("a", nil), func(c *change) { c.overUnsure = true })},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			c := &Controller{
				Options: Options{ConfigFile: filepath.Join(dir, "f")}, file: &config.File{Data: []byte("a")},
				running: revision.Revision{ID: revision.ID{Number: 7}}, broken: test.broken,
			}
			if test.running.Number != 0 {
				c.running = test.running
			}
			var err error
			if c.revisions, err = revision.Open(disk.Disk{}, dir, c.ConfigFile); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(c.ConfigFile, []byte(cmp.Or(test.disk, "a")), 0o644); err != nil {
				t.Fatal(err)
			}
			o := c.consider(test.change, &draft{file: c.file})
			if diff := gocmp.Diff(api.Result{Revision: 7, Message: "unchanged", Changes: []api.Change{}}, o.Result); diff != "" {
				t.Error(diff)
			}
			var told *api.Error
			errors.As(o.err, &told)
			if test.code == "" && o.err != nil || test.code != "" && (told == nil || told.Code != test.code) {
				t.Errorf("%v, want code %q", o.err, test.code)
			}
			if test.change.inFile && c.broken != nil {
				t.Error("the file that was taken over is broken still")
			}
		})
	}
}

func TestEditedByHand(t *testing.T) {
	c := &Controller{Options: Options{ConfigFile: filepath.Join(t.TempDir(), "f")}, file: &config.File{Data: []byte("a")}}
	if _, err := c.editedByHand(); err == nil {
		t.Error("no error without a file")
	}
	for text, want := range map[string]bool{"a": false, "a ": true} {
		if err := os.WriteFile(c.ConfigFile, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if got, err := c.editedByHand(); err != nil || got != want {
			t.Errorf("%q: edited %v (%v)", text, got, err)
		}
	}
}

// An editor that saves after a change was considered, be it while the other router is
// asked or while the kernel follows, is not written over.
func TestEditedWhileAChangeIsMade(t *testing.T) {
	c := &Controller{Options: Options{ConfigFile: filepath.Join(t.TempDir(), "f")}, file: &config.File{Data: []byte("a")}}
	write := func(text string) {
		if err := os.WriteFile(c.ConfigFile, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	conflict := func(what string, err error) {
		t.Helper()
		var told *api.Error
		if !errors.As(err, &told) || told.Code != api.CodeConflict || told.Remedy != "lbctl reload" {
			t.Errorf("%s: %v", what, err)
		}
		if data, err := os.ReadFile(c.ConfigFile); err != nil || string(data) != "by hand" {
			t.Errorf("%s: the file is %q (%v)", what, data, err)
		}
	}
	next := draft{file: &config.File{Data: []byte("b")}, accepted: []change{{}}}
	r := revision.Revision{ID: revision.ID{Number: 2, Hash: config.HashOf(next.file.Data)}}

	write("by hand")
	c.proposed = &proposal{draft: next} // no kernel and no store are there: they are not asked
	conflict("proposed here", inPair{c}.Commit(r, next.file.Data))
	c.proposed, r.Hash = nil, config.HashOf(c.file.Data)
	conflict("of the other router", inPair{c}.Commit(r, c.file.Data))

	write("a")
	save := c.save(r, next)
	if err := save.Replaceable(); err != nil {
		t.Error(err)
	}
	c.file = next.file // as the kernel has followed
	write("by hand")
	conflict("followed", save.Replaceable())
}

func ptr[T any](v T) *T { return &v }

// What is not in a request is no setting; what is, by the file's key.
func TestSettings(t *testing.T) {
	if list := append(vipSettings(api.VipSettings{}), realSettings(api.RealSettings{})...); len(list) > 0 {
		t.Errorf("nothing makes %v", list)
	}
	vip := vipSettings(api.VipSettings{
		Name: ptr(""), Enabled: ptr(false), Leg: ptr("wan"), Scheduler: ptr("rr"), Check: ptr("tcp"), Initial: ptr("up"), OnFail: ptr("reset"), WhenEmpty: ptr("drop"),
		SharesOwnAddress: ptr(true),
	})
	want := []config.Setting{{Key: "name"}, {Key: "enabled", Value: "false"}, {Key: "leg", Value: "wan"}, {Key: "scheduler", Value: "rr"},
		config.CheckSetting("tcp"), {Key: "initial", Value: "up"}, {Key: "on_fail", Value: "reset"}, {Key: "when_empty", Value: "drop"}, {Key: "shares_own_address", Value: "true"}}
	if diff := gocmp.Diff(want, vip); diff != "" {
		t.Error(diff)
	}
	real := realSettings(api.RealSettings{Name: ptr("web1"), Weight: ptr(0), Enabled: ptr(true), Check: ptr("http:/up")})
	want = []config.Setting{{Key: "name", Value: "web1"}, {Key: "weight", Value: "0"}, {Key: "enabled", Value: "true"}, config.CheckSetting("http:/up")}
	if diff := gocmp.Diff(want, real); diff != "" {
		t.Error(diff)
	}
}
