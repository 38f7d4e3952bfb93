package control

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/tarpon-lb/tarpon/control/api"
	"github.com/tarpon-lb/tarpon/control/config"
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
		{faults, api.Error{Code: api.CodeInvalid, Message: faults.Error(), File: "f.yaml", Faults: []api.Fault{
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
		if diff := cmp.Diff(test.want, *told); diff != "" {
			t.Error(diff)
		}
	}
}

// What ends a change before anything is touched.
func TestChangeThatIsNone(t *testing.T) {
	file := []byte("a")
	to := func(text string, err error) change {
		return change{"done", func([]byte) ([]byte, error) { return []byte(text), err }}
	}
	missing := fmt.Errorf("vip b: %w", config.ErrNotFound)
	for _, test := range []struct {
		name   string
		disk   string
		o      api.Options
		change change
		code   string // "": unchanged
	}{
		{"the same", "a", api.Options{}, to("a", nil), ""},
		{"deleted already", "a", api.Options{IfExists: true}, to("", missing), ""},
		{"nothing to delete", "a", api.Options{}, to("", missing), api.CodeMissing},
		{"exists", "a", api.Options{IfExists: true}, to("", config.ErrExists), api.CodeExists},
		{"edited by hand", "b", api.Options{}, to("c", nil), api.CodeConflict},
		{"this revision", "a", api.Options{IfRevision: 7}, to("a", nil), ""},
		{"another revision", "a", api.Options{IfRevision: 6}, to("a", nil), api.CodeConflict},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := &Controller{Options: Options{ConfigFile: filepath.Join(t.TempDir(), "f")}, file: file, revision: 7}
			if err := os.WriteFile(c.ConfigFile, []byte(test.disk), 0o644); err != nil {
				t.Fatal(err)
			}
			result, err := c.changeNow(test.o, test.change)
			if diff := cmp.Diff(api.Result{Revision: 7, Message: "unchanged"}, result); diff != "" {
				t.Error(diff)
			}
			var told *api.Error
			errors.As(err, &told)
			if test.code == "" && err != nil || test.code != "" && (told == nil || told.Code != test.code) {
				t.Errorf("%v, want code %q", err, test.code)
			}
		})
	}
}

func ptr[T any](v T) *T { return &v }

// What is not in a request is no setting; what is, by the file's key.
func TestSettings(t *testing.T) {
	if list := append(vipSettings(api.VipSettings{}), realSettings(api.RealSettings{})...); len(list) > 0 {
		t.Errorf("nothing makes %v", list)
	}
	vip := vipSettings(api.VipSettings{
		Name: ptr(""), Enabled: ptr(false), Leg: ptr("wan"), Scheduler: ptr("rr"), Check: ptr("tcp"), Initial: ptr("up"), OnFail: ptr("reset"), WhenEmpty: ptr("drop"),
	})
	want := []config.Setting{{Key: "name"}, {Key: "enabled", Value: "false"}, {Key: "leg", Value: "wan"}, {Key: "scheduler", Value: "rr"},
		config.CheckSetting("tcp"), {Key: "initial", Value: "up"}, {Key: "on_fail", Value: "reset"}, {Key: "when_empty", Value: "drop"}}
	if diff := cmp.Diff(want, vip); diff != "" {
		t.Error(diff)
	}
	real := realSettings(api.RealSettings{Name: ptr("web1"), Weight: ptr(0), Enabled: ptr(true), Check: ptr("http:/up")})
	want = []config.Setting{{Key: "name", Value: "web1"}, {Key: "weight", Value: "0"}, {Key: "enabled", Value: "true"}, config.CheckSetting("http:/up")}
	if diff := cmp.Diff(want, real); diff != "" {
		t.Error(diff)
	}
}
