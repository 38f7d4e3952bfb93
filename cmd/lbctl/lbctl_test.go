package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/tarpon-lb/tarpon/control/api"
	"golang.org/x/sys/unix"
)

// A router answers what it is told to, and notes what it was asked to change.
type router struct {
	api.Controller
	status  api.Status
	vips    []api.Vip
	flows   []api.Flow
	events  []api.Event
	changes []string
	answer  *api.Result // to a change; nil: done
	zero    *api.Zero   // of the counters
	err     error

	findings []api.Finding
	pair     api.Pair
	export   string // empty: legs alone
}

func (r *router) Status(context.Context) (api.Status, error) { return r.status, r.err }
func (r *router) Vips(context.Context) ([]api.Vip, error)    { return r.vips, r.err }

func (r *router) Export(context.Context) ([]byte, error) {
	return []byte(r.exported()), r.err
}

func (r *router) exported() string {
	if r.export == "" {
		return "legs: {}\n"
	}
	return r.export
}

func (r *router) Stats(context.Context) (api.Stats, error) {
	return api.Stats{XDP: []api.Count{{Name: "flow_hit", Packets: 3}}, TC: []api.Count{{Name: "flow_hit"}}, Zero: r.zero}, r.err
}

func (r *router) Zero(context.Context) (api.Zero, error) {
	r.changes = append(r.changes, "zero")
	return *r.zero, r.err
}

func (r *router) Flows(context.Context, api.FlowFilter) (iter.Seq[api.Flow], error) {
	return func(yield func(api.Flow) bool) {
		for _, flow := range r.flows {
			if !yield(flow) {
				return
			}
		}
	}, r.err
}

func (r *router) Events(_ context.Context, since uint64, _ bool) (iter.Seq[api.Event], error) {
	return slices.Values(r.events[since:]), r.err
}

// change notes a change as the JSON that asked for it.
func (r *router) change(what string, o api.Options, settings ...any) (api.Result, error) {
	for _, s := range append(settings, o) {
		data, _ := json.Marshal(s)
		what += " " + string(data)
	}
	r.changes = append(r.changes, what)
	if r.answer != nil {
		return *r.answer, r.err
	}
	return api.Result{Revision: 8, Changed: true, Message: "revision 8: done"}, r.err
}

func (r *router) AddVip(_ context.Context, vip api.NewVip, o api.Options) (api.Result, error) {
	return r.change("add vip", o, vip)
}

func (r *router) EditVip(_ context.Context, vip string, s api.VipSettings, o api.Options) (api.Result, error) {
	return r.change("edit vip "+vip, o, s)
}

func (r *router) DeleteVip(_ context.Context, vip string, o api.Options) (api.Result, error) {
	return r.change("delete vip "+vip, o)
}

func (r *router) AddReal(_ context.Context, vip string, real api.NewReal, o api.Options) (api.Result, error) {
	return r.change("add real to "+vip, o, real)
}

func (r *router) EditReal(_ context.Context, vip, real string, s api.RealSettings, o api.Options) (api.Result, error) {
	return r.change("edit real "+vip+" "+real, o, s)
}

func (r *router) DeleteReal(_ context.Context, vip, real string, o api.Options) (api.Result, error) {
	return r.change("delete real "+vip+" "+real, o)
}

func (r *router) Apply(_ context.Context, file []byte, o api.Options) (api.Result, error) {
	return r.change("apply "+string(file), o)
}

// decided notes what was decided for the time being.
func (r *router) decided(what ...any) (api.Operated, error) {
	r.changes = append(r.changes, strings.TrimSpace(fmt.Sprintln(what...)))
	return api.Operated{Changed: true, Message: "revision 8: done"}, r.err
}

func (r *router) Drain(_ context.Context, vip, real string, deadline time.Duration) (api.Operated, error) {
	return r.decided("drain", vip, real, deadline)
}

func (r *router) Undrain(_ context.Context, vip, real string) (api.Operated, error) {
	return r.decided("undrain", vip, real)
}

func (r *router) Disable(_ context.Context, vip, real string) (api.Operated, error) {
	return r.decided("disable", vip, real)
}

func (r *router) Enable(_ context.Context, vip, real string) (api.Operated, error) {
	return r.decided("enable", vip, real)
}

func (r *router) Plan(_ context.Context, file []byte, o api.Options) (api.Result, error) {
	return r.change("plan "+string(file), o)
}

func (r *router) Confirm(context.Context) (api.Result, error) {
	return r.change("confirm", api.Options{})
}

func (r *router) Rollback(_ context.Context, revision int, o api.Options) (api.Result, error) {
	return r.change(fmt.Sprint("rollback ", revision), o)
}

func (r *router) Reload(_ context.Context, o api.Options) (api.Result, error) {
	return r.change("reload", o)
}

func (r *router) History(context.Context) ([]api.Revision, error) {
	return []api.Revision{{Revision: 41, SHA256: "a1b2c3d4", Author: "0 root", What: strings.Repeat("vip added; ", 9)}}, r.err
}

func (r *router) RevisionFile(_ context.Context, revision int) ([]byte, error) {
	return fmt.Appendf(nil, "legs: {}\nvips: []\n# %d", revision), r.err
}

func (r *router) Restart(context.Context) (api.Result, error) {
	r.status.Started, r.status.Version = r.status.Started.Add(time.Second), "1.1"
	return r.change("restart", api.Options{})
}

func (r *router) Pair(context.Context) (api.Pair, error) { return r.pair, r.err }

func (r *router) Switchover(_ context.Context, o api.SwitchoverOptions) (api.Switchover, error) {
	data, _ := json.Marshal(o)
	done, err := r.decided("switchover", string(data))
	return api.Switchover{Message: done.Message}, err
}

func (r *router) PeerFile(context.Context) (api.PeerFile, error) {
	return api.PeerFile{
		Router: "lb1", Own: api.RevisionID{Revision: 43, SHA256: "a1b2c3d4"}, File: "legs: {}",
		Peer: "lb2", Theirs: api.RevisionID{Revision: 43, SHA256: "0f1e2d3c"}, PeerFile: "legs: {a: b}\n",
	}, r.err
}

func (r *router) Adopt(_ context.Context, router string) (api.Result, error) {
	return r.change("adopt "+router, api.Options{})
}

func (r *router) Leave(_ context.Context, o api.Options) (api.Result, error) {
	return r.change("leave", o)
}

func (r *router) Join(_ context.Context, file []byte, o api.Options) (api.Result, error) {
	return r.change("join "+string(file), o)
}

func (r *router) Hold(context.Context) (api.Operated, error)    { return r.decided("hold") }
func (r *router) Release(context.Context) (api.Operated, error) { return r.decided("release") }

// lbctl runs a command against the router.
func (r *router) lbctl(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	socket, stop := r.serve(t)
	defer stop()
	return lbctl(t, append([]string{"--socket", socket}, args...)...)
}

// serve answers on a socket until it is stopped.
func (r *router) serve(t *testing.T) (socket string, stop func()) {
	t.Helper()
	socket = filepath.Join(t.TempDir(), "sock")
	listener, err := api.Listen(socket)
	if err != nil {
		t.Fatal(err)
	}
	server := api.NewServer(r, listener)
	done := make(chan error, 1)
	go func() { done <- server.Serve() }()
	return socket, func() {
		server.Close()
		if err := <-done; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	}
}

func lbctl(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, told strings.Builder
	code = run(t.Context(), append([]string{"lbctl"}, args...), &out, &told)
	return code, out.String(), told.String()
}

// What a command asks of the daemon.
func TestChanges(t *testing.T) {
	file := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(file, []byte("legs: {}"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		args string
		want string // "": none, a fault of the command line
	}{
		{"add-vip 192.0.2.1:80", `add vip {"vip":"192.0.2.1:80"} {}`},
		{"add-vip 192.0.2.1:80 -s rr --name shop --check http:/up --on-fail reset --when-empty drop --initial up --leg wan",
			`add vip {"vip":"192.0.2.1:80","name":"shop","leg":"wan","scheduler":"rr","check":"http:/up","initial":"up","onFail":"reset","whenEmpty":"drop"} {}`},
		{"add-vip 192.0.2.1:80 -r 10.0.0.1 -r 10.0.0.2:8080@0", `add vip {"vip":"192.0.2.1:80","reals":[{"real":"10.0.0.1"},{"real":"10.0.0.2:8080","weight":0}]} {}`},
		{"add-vip -r [2001:db8::1]:53,[2001:db8::2]:53 [2001:db8::9]:53/udp", `add vip {"vip":"[2001:db8::9]:53/udp","reals":[{"real":"[2001:db8::1]:53"},{"real":"[2001:db8::2]:53"}]} {}`},
		{"add-vip 192.0.2.1:80 -r 10.0.0.1@x", ""},
		{"add-vip", ""},
		{"add-vip 192.0.2.1:80 10.0.0.1", ""},
		{"add-vip 192.0.2.1:80 -o xml", ""},
		{"add-vip 192.0.2.1:80 --weight 3", ""},
		{"edit-vip shop --enabled=false", `edit vip shop {"enabled":false} {}`},
		{"edit-vip shop --shares-own-address=false", `edit vip shop {"sharesOwnAddress":false} {}`},
		{"edit-vip shop --enabled --name=", `edit vip shop {"name":"","enabled":true} {}`},
		{"del-vip shop --if-exists --if-revision 7", `delete vip shop {"ifRevision":7,"ifExists":true}`},
		{"del-vip shop --if-revision seven", ""},
		{"add-real shop 10.0.0.1 -w 2", `add real to shop {"real":"10.0.0.1","weight":2} {}`},
		{"add-real shop", ""},
		{"edit-real shop web1 --weight 0", `edit real shop web1 {"weight":0} {}`},
		{"edit-real shop web1 --enabled=false --check none --name web2", `edit real shop web1 {"name":"web2","enabled":false,"check":"none"} {}`},
		{"del-real shop web1", `delete real shop web1 {}`},
		{"apply -f " + file, `apply legs: {} {"file":"` + file + `"}`},
		{"apply --confirm 5m --if-revision 7 --file=" + file, `apply legs: {} {"ifRevision":7,"file":"` + file + `","confirm":300000000000}`},
		{"apply --confirm 0s --file=" + file, ""},
		{"drain shop web1", "drain shop web1 0s"},
		{"drain shop web1 --deadline 10m", "drain shop web1 10m0s"},
		{"drain shop web1 --deadline 0s", ""},
		{"drain shop", ""},
		{"undrain shop web1", "undrain shop web1"},
		{"undrain shop", ""},
		{"disable shop", "disable shop"},
		{"disable shop web1", "disable shop web1"},
		{"disable", ""},
		{"enable shop", "enable shop"},
		{"enable shop web1 web2", ""},
		{"del-vip shop --force-local", `delete vip shop {"alone":true}`},
		{"pair leave", `leave {}`},
		{"pair leave --force", `leave {"force":true}`},
		{"pair leave lb1", ""},
		{"pair join -f " + file, `join legs: {} {"file":"` + file + `"}`},
		{"pair join --force -f " + file, `join legs: {} {"file":"` + file + `","force":true}`},
		{"pair join", ""},
		{"pair adopt lb2", `adopt lb2 {}`},
		{"pair adopt", ""},
		{"pair init", ""},
		{"pair init --vrid 7 lb1 wan=192.0.2.1", ""},
		{"pair init --vrid 7 lb1 lb2 lb3", ""},
		{"pair init --vrid 7 wan=192.0.2.1 lb1 lb2", ""},
		{"pair init --vrid 7 lb1 wan=192.0.2 lb2", ""},
		{"pair init --vrid 7 lb1 priority=x lb2", ""},
		{"pair init --vrid 7 --leg hb lb1 lb2", ""},
		{"pair init lb1 lb2", ""},
		{"switchover", `switchover {"Force":false,"Why":""}`},
		{"switchover --force --why upgrade", `switchover {"Force":true,"Why":"upgrade"}`},
		{"switchover lb2", ""},
		{"pair hold", "hold"},
		{"pair release", "release"},
		{"pair hold lb1", ""},
		{"pair hold --why x", ""},
		{"pair nonsense", ""},
		{"apply", ""},
		{"plan", ""},
		{"confirm", `confirm {}`},
		{"rollback 41 --if-revision 43", `rollback 41 {"ifRevision":43}`},
		{"rollback last", ""},
		{"rollback", ""},
		{"reload", `reload {}`},
		{"reload now", ""},
	} {
		r := &router{}
		code, stdout, stderr := r.lbctl(t, strings.Fields(test.args)...)
		if test.want == "" {
			if code != exitUsage || len(r.changes) > 0 || stdout != "" || !strings.HasPrefix(stderr, "lbctl: ") {
				t.Errorf("%s: exit code %d, asked %q, said %q, %q", test.args, code, r.changes, stdout, stderr)
			}
			continue
		}
		if diff := cmp.Diff([]string{test.want}, r.changes); diff != "" || code != 0 || stdout != "revision 8: done\n" || stderr != "" {
			t.Errorf("%s: exit code %d, said %q, %q; asked: %s", test.args, code, stdout, stderr, diff)
		}
	}
}

// The counters are set to 0 for who looks at them, in text and in JSON alike.
func TestZero(t *testing.T) {
	r := &router{
		zero: &api.Zero{Time: time.Unix(1790000000, 0), Author: "0 root", XDP: []api.Count{{Name: "flow_hit", Packets: 2}}},
		vips: []api.Vip{{Vip: "192.0.2.1:80/tcp", Reals: []api.Real{
			{Real: "10.0.0.1:80", Traffic: api.Traffic{Connections: 12}, Zero: api.Traffic{Connections: 7}},
		}}},
	}
	since := "since " + r.zero.Time.Local().Format("2006-01-02 15:04:05") + " (0 root)"
	for _, test := range []struct {
		args string
		says []string
	}{
		{"stats --zero", []string{"all counters are 0 " + since + "; Prometheus's go on\n"}},
		{"stats --zero -o json", []string{`"author": "0 root"`}},
		{"stats", []string{"counted " + since + "\n", "flow_hit                                1                0\n"}},
		{"stats -o json", []string{`"packets": 1`, `"author": "0 root"`}},
		{"vips --stats", []string{"-> 10.0.0.1:80                      5 "}},
		{"vips -o json", []string{`"connections": 5`}},
	} {
		code, stdout, stderr := r.lbctl(t, strings.Fields(test.args)...)
		for _, say := range test.says {
			if code != 0 || !strings.Contains(stdout, say) {
				t.Errorf("%s: exit code %d: %s%s\nwant: %s", test.args, code, stdout, stderr, say)
			}
		}
	}
	if diff := cmp.Diff([]string{"zero", "zero"}, r.changes); diff != "" {
		t.Error(diff)
	}
	for _, args := range []string{"stats --zero --rate", "stats --all --zero", "stats --zero shop"} {
		if code, _, stderr := r.lbctl(t, strings.Fields(args)...); code != exitUsage || len(r.changes) > 2 {
			t.Errorf("%s: exit code %d, %s", args, code, stderr)
		}
	}
	r.err = &api.Error{Code: api.CodeFailed, Message: "no space"}
	if code, _, stderr := r.lbctl(t, "stats", "--zero"); code != exitRefused || stderr != "lbctl: no space\n" {
		t.Errorf("refused: exit code %d, %s", code, stderr)
	}
}

// What would be done is told line by line; a plan's exit code says whether anything is.
func TestPlans(t *testing.T) {
	file := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(file, []byte("legs: {}"), 0o644); err != nil {
		t.Fatal(err)
	}
	changes := api.Result{Changed: true, Flows: 1204, FlowsTouched: 12, Changes: []api.Change{
		{Text: "vip shop: real 10.0.0.13:8080 added"}, {Text: "vip shop: real 10.0.0.12:8080 removed", FlowsTouched: 12},
	}}
	const told = "vip shop: real 10.0.0.13:8080 added\nvip shop: real 10.0.0.12:8080 removed; 12 flows touched\nnow 12 of 1204 flows would be touched\n"
	for _, test := range []struct {
		args   string
		answer api.Result
		code   int
		says   string
	}{
		{"plan -f " + file, changes, exitChanges, told},
		{"plan -f " + file, api.Result{}, 0, "no change\n"},
		{"plan -f " + file, api.Result{Changed: true}, exitChanges, "nothing changes but comments, order or layout\nnow 0 of 0 flows would be touched\n"},
		{"apply --dry-run -f " + file, changes, 0, told},
		{"edit-vip shop --enabled=false --dry-run", changes, 0, told},
		{"rollback 41 --dry-run", api.Result{}, 0, "no change\n"},
	} {
		r := &router{answer: &test.answer}
		if code, stdout, stderr := r.lbctl(t, strings.Fields(test.args)...); code != test.code || stdout != test.says || stderr != "" {
			t.Errorf("%s: exit code %d, want %d; said %q, %q", test.args, code, test.code, stdout, stderr)
		}
	}
}

func TestShowing(t *testing.T) {
	r := &router{
		status: api.Status{Version: "1.0"},
		events: []api.Event{
			{Sequence: 1, Kind: "started", Message: "started", Fields: map[string]string{"version": "1", "revision": "7"}},
			{Sequence: 2, Kind: "real_down", Message: "real down", Fields: map[string]string{"vip": "shop", "real": "web1", "error": "refused"}},
		},
		vips:  []api.Vip{{Vip: "192.0.2.1:80/tcp", Name: "shop"}, {Vip: "192.0.2.2:53/udp"}},
		flows: []api.Flow{{Protocol: "tcp", Client: "198.51.100.1:1", State: "established", Idle: 2}},
	}
	for _, test := range []struct {
		args string
		code int
		says string
	}{
		{"vips", 0, "192.0.2.2:53"},
		{"vips 192.0.2.1:80", 0, "shop"},
		{"vips shop -o json", 0, `"vip": "192.0.2.1:80/tcp"`},
		{"vips --stats shop", 0, "InPkts"},
		{"vips nothing", exitRefused, "there is no vip nothing"},
		{"vips shop other", exitUsage, `"other" is one argument too many`},
		{"flows", 0, "TCP  established     2s 198.51.100.1:1 "},
		{"flows -o json", 0, `{"protocol":"tcp","client":"198.51.100.1:1","vip":"","real":"","state":"established","idle":2}` + "\n"},
		{"flows shop", exitUsage, `"shop" is one argument too many`},
		{"flows -o csv", exitUsage, "write text or json"},
		{"stats", 0, "flow_hit"},
		{"stats now", exitUsage, "one argument too many"},
		{"status", 0, "all is well"},
		{"status -o json", 0, `"problems": null`},
		{"status please", exitUsage, "one argument too many"},
		{"restart", 0, "tarpond 1.1 runs, before it 1.0\n"},
		{"restart now", exitUsage, "one argument too many"},
		{"export", 0, "legs: {}\n"},
		{"export -o json", 0, `"file": "legs: {}\n"`},
		{"history", 0, "41    a1b2c3 0001-01-01 00:00 0 root     vip added; vip added; vip added; vip\n" + strings.Repeat(" ", 41) + "added;"},
		{"pair diff", 0, "--- lb1: revision 43 a1b2c3\n+++ lb2: revision 43 0f1e2d\n@@ -1 +1 @@\n-legs: {}\n\\ No newline at end of file\n+legs: {a: b}\n"},
		{"pair diff 41", exitUsage, "one argument too many"},
		{"pair", 0, "two routers that stand in for each other"},
		{"history -o json", 0, `"sha256": "a1b2c3d4"`},
		{"diff 41", 0, "--- revision 41\n+++ the one that runs\n@@ -1,3 +1 @@\n legs: {}\n-vips: []\n-# 41\n\\ No newline at end of file\n"},
		{"diff 41 41", 0, ""},
		{"diff 41 42", 0, "-# 41\n\\ No newline at end of file\n+# 42\n\\ No newline at end of file\n"},
		{"diff 41 42 -o json", 0, `"from": "revision 41"`},
		{"diff", exitUsage, "A is missing"},
		{"diff 1 2 3", exitUsage, `"3" is one argument too many`},
		{"diff one", exitUsage, "no revision's number"},
		{"events", 0, "Jan  1 00:00:00 started: revision 7, version 1\nJan  1 00:00:00 real down: shop, web1, refused\n"},
		{"events --since 1 -o json", 0, `{"sequence":2,"time":"0001-01-01T00:00:00Z","kind":"real_down","message":"real down","fields":{"error":"refused","real":"web1","vip":"shop"}}` + "\n"},
		{"events --since yesterday", exitUsage, "invalid value"},
		{"events --follow", exitUnreachable, "refused\nlbctl: tarpond cannot be reached any more: it has ended\n"},
		{"events please", exitUsage, "one argument too many"},
		{"history please", exitUsage, "one argument too many"},
		{"version", 0, "lbctl "},
		{"--version", 0, "lbctl version "},
		{"", 0, "drives a Tarpon router"},
		{"nonsense", exitUsage, `there is no command "nonsense"`},
		{"--nonsense vips", exitUsage, "nonsense"},
		{"vips --nonsense", exitUsage, "nonsense"},
	} {
		code, stdout, stderr := r.lbctl(t, strings.Fields(test.args)...)
		if code != test.code || !strings.Contains(stdout+stderr, test.says) {
			t.Errorf("%s: exit code %d, want %d; said %s%s", test.args, code, test.code, stdout, stderr)
		}
		if (code == 0) != (stderr == "") {
			t.Errorf("%s: exit code %d and on stderr %q", test.args, code, stderr)
		}
	}
	r.status.Problems = []string{"leg wan is down"}
	if code, stdout, stderr := r.lbctl(t, "status"); code != exitRefused || !strings.HasPrefix(stdout, "PROBLEM: leg wan is down\n") || stderr != "" {
		t.Errorf("with a problem: exit code %d, %q, %q", code, stdout, stderr)
	}
	r.err = errors.New("no memory")
	for _, command := range []string{"status", "vips", "flows", "stats", "export", "reload", "events", "history", "diff 41", "rollback 41", "confirm", "drain shop web1", "enable shop", "del-vip shop"} {
		if code, _, stderr := r.lbctl(t, strings.Fields(command)...); code != exitRefused || stderr != "lbctl: no memory\n" {
			t.Errorf("%s that fails: exit code %d, %q", command, code, stderr)
		}
	}
}

func TestReport(t *testing.T) {
	refused := &api.Error{Code: api.CodeExists, Message: "it exists", Remedy: "take another"}
	faulty := &api.Error{Code: api.CodeInvalid, Message: "f: 1 error", File: "f", Line: 3, Column: 5, Faults: []api.Fault{{Line: 3, Column: 5, Path: "vips[0]", Message: "no"}}}
	broken := &fs.PathError{Op: "write", Path: "/dev/stdout", Err: unix.EPIPE}
	for _, test := range []struct {
		name string
		err  error
		code int
		text string
		json string
	}{
		{"success", nil, 0, "", ""},
		{"a reader that has enough", fmt.Errorf("print: %w", broken), 0, "", ""},
		{"all was said", errTold, 1, "", ""},
		{"refused", refused, 1, "lbctl: it exists: take another\n", `{"code":"exists","message":"it exists","remedy":"take another"}` + "\n"},
		{"a faulty configuration", faulty, 1, "lbctl: f: 1 error\n",
			`{"code":"invalid","message":"f: 1 error","file":"f","line":3,"column":5,"faults":[{"line":3,"column":5,"path":"vips[0]","message":"no"}]}` + "\n"},
		{"failed", errors.New("no space"), 1, "lbctl: no space\n", `{"code":"failed","message":"no space"}` + "\n"},
		{"usage", usageError{errors.New("VIP is missing")}, 2, "lbctl: VIP is missing\n", `{"code":"usage","message":"VIP is missing"}` + "\n"},
		{"not reachable", fmt.Errorf("%w: gone", api.ErrUnreachable), 4, "lbctl: tarpond cannot be reached: gone\n",
			`{"code":"unreachable","message":"tarpond cannot be reached: gone"}` + "\n"},
		{"a daemon that ends while it is asked", fmt.Errorf("%w: %w", api.ErrUnreachable, unix.EPIPE), 4, "lbctl: tarpond cannot be reached: broken pipe\n",
			`{"code":"unreachable","message":"tarpond cannot be reached: broken pipe"}` + "\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			for asJSON, want := range map[bool]string{false: test.text, true: test.json} {
				var b strings.Builder
				if code := report(&b, test.err, asJSON); code != test.code || b.String() != want {
					t.Errorf("JSON %v: exit code %d, want %d; %q, want %q", asJSON, code, test.code, b.String(), want)
				}
			}
		})
	}
}

func TestUnreachable(t *testing.T) {
	code, stdout, stderr := lbctl(t, "--socket", "/nonexistent/sock", "vips", "-o", "json")
	var told api.Error
	if err := json.Unmarshal([]byte(stderr), &told); code != exitUnreachable || stdout != "" || err != nil || told.Code != "unreachable" {
		t.Errorf("exit code %d, %q, %q", code, stdout, stderr)
	}
}

func TestAsksJSON(t *testing.T) {
	for args, want := range map[string]bool{
		"vips -o json": true, "vips --output json": true, "vips -o=json": true, "vips --output=json": true,
		"vips": false, "vips -o text": false, "vips json": false, "json": false,
	} {
		if asksJSON(strings.Fields(args)) != want {
			t.Errorf("%s: not %v", args, want)
		}
	}
}

func TestFlagsFirst(t *testing.T) {
	for _, test := range []struct{ args, want string }{
		{"lbctl", "lbctl"},
		{"lbctl vips", "lbctl vips"},
		{"lbctl vips shop -o json", "lbctl vips -o json shop"},
		{"lbctl --socket s vips shop --stats", "lbctl --socket s vips --stats shop"},
		{"lbctl --socket=s vips shop --stats", "lbctl --socket=s vips --stats shop"},
		{"lbctl edit-real shop web1 -w 0 --dry-run", "lbctl edit-real -w 0 --dry-run shop web1"},
		{"lbctl edit-real shop --weight -1 web1", "lbctl edit-real --weight -1 shop web1"},
		{"lbctl add-vip a --enabled b --real c d", "lbctl add-vip --enabled --real c a b d"},
		{"lbctl add-vip a --name=b c", "lbctl add-vip --name=b a c"},
		{"lbctl del-vip -- -o json", "lbctl del-vip -- -o json"},
		{"lbctl del-vip a -- --b", "lbctl del-vip a -- --b"},
		{"lbctl apply -f -", "lbctl apply -f -"},
		{"lbctl apply a - -f b", "lbctl apply -f b a -"},
		{"lbctl vips a --name", "lbctl vips --name a"},
		{"lbctl vips a -o", "lbctl vips -o a"},
		{"lbctl nonsense a -b", "lbctl nonsense a -b"},
		{"lbctl pair status x -o json", "lbctl pair status -o json x"},
		{"lbctl pair -o json status", "lbctl pair -o json status"},
		{"lbctl --socket", "lbctl --socket"},
	} {
		if got := strings.Join(flagsFirst(newApp(), strings.Fields(test.args)), " "); got != test.want {
			t.Errorf("%s: got %s, want %s", test.args, got, test.want)
		}
	}
}

func TestPer(t *testing.T) {
	for _, test := range []struct {
		n    uint64
		d    time.Duration
		want uint64
	}{
		{0, time.Second, 0},
		{20, 2 * time.Second, 10},
		{1, 3 * time.Second, 0},
		{2, 3 * time.Second, 1},
	} {
		if got := per(test.n, test.d); got != test.want {
			t.Errorf("%d in %s: %d a second, want %d", test.n, test.d, got, test.want)
		}
	}
}

func TestVipRates(t *testing.T) {
	list := func(reals ...api.Real) []api.Vip { return []api.Vip{{Vip: "192.0.2.1:80/tcp", Reals: reals}} }
	before := list(api.Real{Real: "a", Traffic: api.Traffic{Connections: 1, PacketsIn: 2, PacketsOut: 3, BytesIn: 4, BytesOut: 5}}, api.Real{Real: "gone"})
	after := list(api.Real{Real: "new", Traffic: api.Traffic{PacketsIn: 8}, Zero: api.Traffic{PacketsIn: 7}},
		api.Real{Real: "a", State: "up", Traffic: api.Traffic{Connections: 3, PacketsIn: 6, PacketsOut: 9, BytesIn: 12, BytesOut: 15}})
	want := list(api.Real{Real: "new", Traffic: api.Traffic{PacketsIn: 4}},
		api.Real{Real: "a", State: "up", Traffic: api.Traffic{Connections: 1, PacketsIn: 2, PacketsOut: 3, BytesIn: 4, BytesOut: 5}})
	if diff := cmp.Diff(want, vipRates(before, after, 2*time.Second)); diff != "" {
		t.Error(diff)
	}
}

func TestStatRates(t *testing.T) {
	begun := time.Unix(100, 0)
	before := api.Stats{Time: begun, XDP: []api.Count{{Name: "a", Packets: 1}}, TC: []api.Count{{Name: "a", Packets: 2}},
		Devices: []api.Device{{Interface: "wan", RxPackets: 1, TxPackets: 2, RxBytes: 3, TxBytes: 4, RxDropped: 5, TxDropped: 6, RxErrors: 7, TxErrors: 8}}}
	after := api.Stats{Time: begun.Add(2 * time.Second), Zero: &api.Zero{XDP: []api.Count{{Name: "a", Packets: 9}}}, XDP: []api.Count{{Name: "a", Packets: 11}}, TC: []api.Count{{Name: "a", Packets: 2}},
		Devices: []api.Device{{Interface: "lan", RxPackets: 2},
			{Interface: "wan", RxPackets: 3, TxPackets: 6, RxBytes: 9, TxBytes: 12, RxDropped: 15, TxDropped: 18, RxErrors: 21, TxErrors: 24}}}
	want := api.Stats{Time: after.Time, XDP: []api.Count{{Name: "a", Packets: 5}}, TC: []api.Count{{Name: "a", Packets: 0}},
		Devices: []api.Device{{Interface: "lan", RxPackets: 1},
			{Interface: "wan", RxPackets: 1, TxPackets: 2, RxBytes: 3, TxBytes: 4, RxDropped: 5, TxDropped: 6, RxErrors: 7, TxErrors: 8}}}
	if diff := cmp.Diff(want, statRates(before, after)); diff != "" {
		t.Error(diff)
	}
}
