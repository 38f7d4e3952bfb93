package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

// A fake Controller notes what it was asked, and answers with err if it has one.
type fake struct {
	asked string
	err   error
	flows iter.Seq[Flow]
}

var result = Result{Revision: 7, Changed: true, Message: "done"}

func (f *fake) note(format string, args ...any) { f.asked = fmt.Sprintf(format, args...) }

func (f *fake) Status(context.Context) (Status, error) {
	f.note("status")
	return Status{Version: "1", Problems: []string{"p"}}, f.err
}

func (f *fake) Vips(context.Context) ([]Vip, error) {
	f.note("vips")
	return []Vip{{Vip: "192.0.2.1:80/tcp"}}, f.err
}

func (f *fake) Stats(context.Context) (Stats, error) {
	f.note("stats")
	return Stats{XDP: []Count{{"flow_hit", 3}}}, f.err
}

func (f *fake) Zero(context.Context) (Zero, error) {
	f.note("zero")
	return Zero{Author: "0 root"}, f.err
}

func (f *fake) Flows(_ context.Context, filter FlowFilter) (iter.Seq[Flow], error) {
	f.note("flows %+v", filter)
	return f.flows, f.err
}

func (f *fake) Events(_ context.Context, since uint64, follow bool) (iter.Seq[Event], error) {
	f.note("events since %d %v", since, follow)
	return slices.Values(events), f.err
}

var events = []Event{{Sequence: 7, Kind: "real_up"}, {Sequence: 8, Fields: map[string]string{"vip": "v"}}}

func (f *fake) Explain(_ context.Context, p Packet) (Explanation, error) {
	f.note("explain %+v", p)
	return Explanation{Outcome: Forwarded, Reason: "forward_in"}, f.err
}

func (f *fake) Findings(context.Context) ([]Finding, error) {
	f.note("findings")
	return []Finding{{Severity: SeverityNote, Kind: "mode"}}, f.err
}

func (f *fake) AddVip(_ context.Context, vip NewVip, o Options) (Result, error) {
	f.note("add vip %s %s %d %+v", vip.Vip, *vip.Scheduler, len(vip.Reals), o)
	return result, f.err
}

func (f *fake) EditVip(_ context.Context, vip string, s VipSettings, o Options) (Result, error) {
	f.note("edit vip %s %s %v %+v", vip, *s.Name, s.Check, o)
	return result, f.err
}

func (f *fake) DeleteVip(_ context.Context, vip string, o Options) (Result, error) {
	f.note("delete vip %s %+v", vip, o)
	return result, f.err
}

func (f *fake) AddReal(_ context.Context, vip string, real NewReal, o Options) (Result, error) {
	f.note("add real %s %s %d %+v", vip, real.Real, *real.Weight, o)
	return result, f.err
}

func (f *fake) EditReal(_ context.Context, vip, real string, s RealSettings, o Options) (Result, error) {
	f.note("edit real %s %s %v %+v", vip, real, *s.Enabled, o)
	return result, f.err
}

func (f *fake) DeleteReal(_ context.Context, vip, real string, o Options) (Result, error) {
	f.note("delete real %s %s %+v", vip, real, o)
	return result, f.err
}

func (f *fake) Apply(_ context.Context, file []byte, o Options) (Result, error) {
	f.note("apply %s %+v", file, o)
	return result, f.err
}

func (f *fake) Restart(context.Context) (Result, error) {
	f.note("restart")
	return result, f.err
}

func (f *fake) Drain(_ context.Context, vip, real string, deadline time.Duration) (Operated, error) {
	f.note("drain %s %s %s", vip, real, deadline)
	return operated, f.err
}

func (f *fake) Undrain(_ context.Context, vip, real string) (Operated, error) {
	f.note("undrain %s %s", vip, real)
	return operated, f.err
}

func (f *fake) Disable(_ context.Context, vip, real string) (Operated, error) {
	f.note("disable %s %q", vip, real)
	return operated, f.err
}

func (f *fake) Enable(_ context.Context, vip, real string) (Operated, error) {
	f.note("enable %s %q", vip, real)
	return operated, f.err
}

var operated = Operated{Changed: true, Message: "vip shop disabled", FlowsLeft: 12}

func (f *fake) Plan(_ context.Context, file []byte, o Options) (Result, error) {
	f.note("plan %s %s", file, o.File)
	return result, f.err
}

func (f *fake) Confirm(context.Context) (Result, error) {
	f.note("confirm")
	return result, f.err
}

func (f *fake) Rollback(_ context.Context, revision int, o Options) (Result, error) {
	f.note("rollback %d %v", revision, o.DryRun)
	return result, f.err
}

func (f *fake) Reload(_ context.Context, o Options) (Result, error) {
	f.note("reload %v", o.DryRun)
	return result, f.err
}

func (f *fake) History(context.Context) ([]Revision, error) {
	f.note("history")
	return []Revision{{Revision: 41, Author: "0 root"}}, f.err
}

func (f *fake) RevisionFile(_ context.Context, revision int) ([]byte, error) {
	f.note("file of revision %d", revision)
	return []byte("legs: # old\n"), f.err
}

func (f *fake) Export(context.Context) ([]byte, error) {
	f.note("export")
	return []byte("legs: # mine\n"), f.err
}

func (f *fake) Pair(context.Context) (Pair, error) {
	f.note("pair")
	return Pair{Paired: true, Own: PairRouter{Name: "lb1"}}, f.err
}

func (f *fake) Switchover(_ context.Context, o SwitchoverOptions) (Switchover, error) {
	f.note("switchover %+v", o)
	return Switchover{Active: "lb2"}, f.err
}

func (f *fake) Hold(context.Context) (Operated, error) {
	f.note("hold")
	return operated, f.err
}

func (f *fake) Release(context.Context) (Operated, error) {
	f.note("release")
	return operated, f.err
}

func (f *fake) PeerFile(context.Context) (PeerFile, error) {
	f.note("files")
	return PeerFile{Peer: "lb2", PeerFile: "legs: {}"}, f.err
}

func (f *fake) Adopt(_ context.Context, router string) (Result, error) {
	f.note("adopt %s", router)
	return result, f.err
}

func (f *fake) Leave(_ context.Context, o Options) (Result, error) {
	f.note("leave %v %v", o.DryRun, o.Force)
	return result, f.err
}

func (f *fake) Join(_ context.Context, file []byte, o Options) (Result, error) {
	f.note("join %s %v %v", file, o.DryRun, o.Force)
	return result, f.err
}

// serve serves the fake, and returns the socket.
func serve(t *testing.T, f Controller, change func(*Server)) string {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "sock")
	listener, err := Listen(socket)
	if err != nil {
		t.Fatal(err)
	}
	server := NewServer(f, listener)
	if change != nil {
		change(server)
	}
	done := make(chan error, 1)
	go func() { done <- server.Serve() }()
	t.Cleanup(func() {
		server.Close()
		<-done
	})
	return socket
}

func ptr[T any](v T) *T { return &v }

// calls are one of each method of a Client: what reaches the Controller, and what
// comes back.
var calls = []struct {
	asked  string
	do     func(context.Context, *Client) (any, error)
	answer any
}{
	{"status", func(ctx context.Context, c *Client) (any, error) { return c.Status(ctx) }, Status{Version: "1", Problems: []string{"p"}}},
	{"vips", func(ctx context.Context, c *Client) (any, error) { return c.Vips(ctx) }, []Vip{{Vip: "192.0.2.1:80/tcp"}}},
	{"stats", func(ctx context.Context, c *Client) (any, error) { return c.Stats(ctx) }, Stats{XDP: []Count{{"flow_hit", 3}}}},
	{"zero", func(ctx context.Context, c *Client) (any, error) { return c.Zero(ctx) }, Zero{Author: "0 root"}},
	{"add vip 192.0.2.1:80 rr 2 {DryRun:true IfRevision:6 IfExists:false File: Alone:false Force:false Confirm:0s}", func(ctx context.Context, c *Client) (any, error) {
		return c.AddVip(ctx, NewVip{Vip: "192.0.2.1:80", VipSettings: VipSettings{Scheduler: ptr("rr")}, Reals: make([]NewReal, 2)}, Options{DryRun: true, IfRevision: 6})
	}, result},
	{"edit vip [2001:db8::1]:53/udp shop <nil> {DryRun:false IfRevision:0 IfExists:false File: Alone:false Force:false Confirm:0s}", func(ctx context.Context, c *Client) (any, error) {
		return c.EditVip(ctx, "[2001:db8::1]:53/udp", VipSettings{Name: ptr("shop")}, Options{})
	}, result},
	{"delete vip 192.0.2.1:80/tcp {DryRun:false IfRevision:0 IfExists:true File: Alone:true Force:false Confirm:0s}", func(ctx context.Context, c *Client) (any, error) {
		return c.DeleteVip(ctx, "192.0.2.1:80/tcp", Options{IfExists: true, Alone: true})
	}, result},
	{"add real shop 10.0.0.1 0 {DryRun:false IfRevision:0 IfExists:false File: Alone:false Force:false Confirm:0s}", func(ctx context.Context, c *Client) (any, error) {
		return c.AddReal(ctx, "shop", NewReal{Real: "10.0.0.1", RealSettings: RealSettings{Weight: ptr(0)}}, Options{})
	}, result},
	{"edit real shop [2001:db8::2]:53 false {DryRun:false IfRevision:0 IfExists:false File: Alone:false Force:false Confirm:0s}", func(ctx context.Context, c *Client) (any, error) {
		return c.EditReal(ctx, "shop", "[2001:db8::2]:53", RealSettings{Enabled: ptr(false)}, Options{})
	}, result},
	{"delete real a?b#c%d/.. 10.0.0.1/%2f {DryRun:false IfRevision:0 IfExists:false File: Alone:false Force:false Confirm:0s}", func(ctx context.Context, c *Client) (any, error) {
		return c.DeleteReal(ctx, "a?b#c%d/..", "10.0.0.1/%2f", Options{})
	}, result},
	{"apply legs: {} {DryRun:true IfRevision:0 IfExists:false File: Alone:false Force:false Confirm:0s}", func(ctx context.Context, c *Client) (any, error) {
		return c.Apply(ctx, []byte("legs: {}"), Options{DryRun: true})
	}, result},
	{"apply legs: {} {DryRun:false IfRevision:0 IfExists:false File:next.yaml Alone:false Force:false Confirm:5m0s}", func(ctx context.Context, c *Client) (any, error) {
		return c.Apply(ctx, []byte("legs: {}"), Options{File: "next.yaml", Confirm: 5 * time.Minute})
	}, result},
	{"plan legs: {} next.yaml", func(ctx context.Context, c *Client) (any, error) {
		return c.Plan(ctx, []byte("legs: {}"), Options{File: "next.yaml"})
	}, result},
	{"drain shop [2001:db8::2]:53 10m0s", func(ctx context.Context, c *Client) (any, error) {
		return c.Drain(ctx, "shop", "[2001:db8::2]:53", 10*time.Minute)
	}, operated},
	{"drain shop web1 0s", func(ctx context.Context, c *Client) (any, error) { return c.Drain(ctx, "shop", "web1", 0) }, operated},
	{"undrain shop web1", func(ctx context.Context, c *Client) (any, error) { return c.Undrain(ctx, "shop", "web1") }, operated},
	{`disable 192.0.2.1:80/tcp ""`, func(ctx context.Context, c *Client) (any, error) { return c.Disable(ctx, "192.0.2.1:80/tcp", "") }, operated},
	{`disable shop "web1"`, func(ctx context.Context, c *Client) (any, error) { return c.Disable(ctx, "shop", "web1") }, operated},
	{`enable shop ""`, func(ctx context.Context, c *Client) (any, error) { return c.Enable(ctx, "shop", "") }, operated},
	{`enable shop "web1"`, func(ctx context.Context, c *Client) (any, error) { return c.Enable(ctx, "shop", "web1") }, operated},
	{"explain {From:192.0.2.9 To:shop Leg: TCP:SA Size:1500 TTL:0 Fragment:false}", func(ctx context.Context, c *Client) (any, error) {
		return c.Explain(ctx, Packet{From: "192.0.2.9", To: "shop", TCP: "SA", Size: 1500})
	}, Explanation{Outcome: Forwarded, Reason: "forward_in"}},
	{"findings", func(ctx context.Context, c *Client) (any, error) { return c.Findings(ctx) }, []Finding{{Severity: SeverityNote, Kind: "mode"}}},
	{"confirm", func(ctx context.Context, c *Client) (any, error) { return c.Confirm(ctx) }, result},
	{"rollback 41 true", func(ctx context.Context, c *Client) (any, error) {
		return c.Rollback(ctx, 41, Options{DryRun: true})
	}, result},
	{"reload true", func(ctx context.Context, c *Client) (any, error) { return c.Reload(ctx, Options{DryRun: true}) }, result},
	{"history", func(ctx context.Context, c *Client) (any, error) { return c.History(ctx) }, []Revision{{Revision: 41, Author: "0 root"}}},
	{"file of revision 41", func(ctx context.Context, c *Client) (any, error) { return c.RevisionFile(ctx, 41) }, []byte("legs: # old\n")},
	{"restart", func(ctx context.Context, c *Client) (any, error) { return c.Restart(ctx) }, result},
	{"pair", func(ctx context.Context, c *Client) (any, error) { return c.Pair(ctx) }, Pair{Paired: true, Own: PairRouter{Name: "lb1"}}},
	{"switchover {Force:true Why:an upgrade & more}", func(ctx context.Context, c *Client) (any, error) {
		return c.Switchover(ctx, SwitchoverOptions{Force: true, Why: "an upgrade & more"})
	}, Switchover{Active: "lb2"}},
	{"hold", func(ctx context.Context, c *Client) (any, error) { return c.Hold(ctx) }, operated},
	{"release", func(ctx context.Context, c *Client) (any, error) { return c.Release(ctx) }, operated},
	{"files", func(ctx context.Context, c *Client) (any, error) { return c.PeerFile(ctx) }, PeerFile{Peer: "lb2", PeerFile: "legs: {}"}},
	{"adopt lb2", func(ctx context.Context, c *Client) (any, error) { return c.Adopt(ctx, "lb2") }, result},
	{"leave false true", func(ctx context.Context, c *Client) (any, error) { return c.Leave(ctx, Options{Force: true}) }, result},
	{"join legs: {} true false", func(ctx context.Context, c *Client) (any, error) {
		return c.Join(ctx, []byte("legs: {}"), Options{DryRun: true})
	}, result},
	{"export", func(ctx context.Context, c *Client) (any, error) { return c.Export(ctx) }, []byte("legs: # mine\n")},
	{"flows {Vip:shop Real: Client:10.0.0.0/8 State:established}", func(ctx context.Context, c *Client) (any, error) {
		return collect(c.Flows(ctx, FlowFilter{Vip: "shop", Client: "10.0.0.0/8", State: "established"}))
	}, []Flow{{Client: "c0", Idle: 0}, {Client: "c1", Idle: 1}}},
	{"events since 6 false", func(ctx context.Context, c *Client) (any, error) { return collect(c.Events(ctx, 6, false)) }, events},
	{"events since 0 true", func(ctx context.Context, c *Client) (any, error) { return collect(c.Events(ctx, 0, true)) }, events},
}

// flows are so many.
func flows(n int) iter.Seq[Flow] {
	return func(yield func(Flow) bool) {
		for i := range n {
			if !yield(Flow{Client: fmt.Sprint("c", i), Idle: i}) {
				return
			}
		}
	}
}

func collect[T any](stream iter.Seq2[T, error]) (list []T, err error) {
	for one, err := range stream {
		if err != nil {
			return list, err
		}
		list = append(list, one)
	}
	return list, nil
}

func TestEveryCall(t *testing.T) {
	t.Cleanup(func() { goleak.VerifyNone(t) })
	f := &fake{flows: flows(2)}
	client := NewClient(serve(t, f, nil))
	for _, call := range calls {
		answer, err := call.do(t.Context(), client)
		if err != nil {
			t.Errorf("%s: %v", call.asked, err)
		}
		if f.asked != call.asked {
			t.Errorf("asked %q, want %q", f.asked, call.asked)
		}
		if diff := cmp.Diff(call.answer, answer); diff != "" {
			t.Errorf("%s: %s", call.asked, diff)
		}
	}
}

// An error of every call reaches the caller as it was.
func TestEveryCallFails(t *testing.T) {
	told := &Error{Code: CodeInvalid, Message: "no", File: "f", Remedy: "yes", Faults: []Fault{{1, 2, "vips[0]", "m", "r"}}}
	client := NewClient(serve(t, &fake{err: told}, nil))
	for _, call := range calls {
		_, err := call.do(t.Context(), client)
		var got *Error
		if !errors.As(err, &got) {
			t.Errorf("%s: %v", call.asked, err)
			continue
		}
		if diff := cmp.Diff(told, got); diff != "" {
			t.Errorf("%s: %s", call.asked, diff)
		}
	}
}

func TestErrors(t *testing.T) {
	for _, test := range []struct {
		err    error
		status int
		code   string
		text   string
	}{
		{&Error{Code: CodeExists, Message: "it exists"}, 409, CodeExists, "it exists"},
		{&Error{Code: CodeMissing, Message: "there is none"}, 404, CodeMissing, "there is none"},
		{&Error{Code: CodeInvalid, Message: "wrong", Remedy: "write right"}, 422, CodeInvalid, "wrong: write right"},
		{&Error{Code: CodeConflict, Message: "edited; lbctl reload", Remedy: "lbctl reload"}, 412, CodeConflict, "edited; lbctl reload"},
		{fmt.Errorf("do: %w", &Error{Code: CodeMissing, Message: "there is none"}), 404, CodeMissing, "there is none"},
		{errors.New("disk full"), 500, CodeFailed, "disk full"},
		{&Error{Code: "new", Message: "of a later version"}, 500, "new", "of a later version"},
	} {
		socket := serve(t, &fake{err: test.err}, nil)
		response := request(t, socket, "GET", "/v1/status", "")
		_, err := NewClient(socket).Status(t.Context())
		var told *Error
		if !errors.As(err, &told) || told.Code != test.code || err.Error() != test.text || response.StatusCode != test.status {
			t.Errorf("%v: status %d, error %+v; want %d, %s, %q", test.err, response.StatusCode, err, test.status, test.code, test.text)
		}
	}
}

// request is one as anybody may make it.
func request(t *testing.T, socket, method, path, body string) *http.Response {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, "http://tarpond"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	response, err := NewClient(socket).http.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	response.Body = io.NopCloser(strings.NewReader(string(data)))
	return response
}

func TestRequestsThatAreNotUnderstood(t *testing.T) {
	f := &fake{}
	socket := serve(t, f, nil)
	for _, test := range []struct {
		name, method, path, body string
		status                   int
		says                     string
	}{
		{"unknown key", "POST", "/v1/vips", `{"vip": "192.0.2.1:80", "shceduler": "rr"}`, 422, `unknown field \"shceduler\"`},
		{"unknown key of a real", "POST", "/v1/vips", `{"vip": "192.0.2.1:80", "reals": [{"real": "10.0.0.1", "wieght": 1}]}`, 422, `unknown field \"wieght\"`},
		{"another type", "PATCH", "/v1/vips/shop", `{"enabled": "yes"}`, 422, "enabled"},
		{"no JSON", "PATCH", "/v1/vips/shop/reals/web1", `weight=1`, 422, "not understood"},
		{"nothing", "POST", "/v1/vips/shop/reals", ``, 422, "not understood"},
		{"two values", "PATCH", "/v1/vips/shop", `{"name": "a"} {"name": "b"}`, 422, "not understood"},
		{"body too large", "PATCH", "/v1/vips/shop", `{"name": "` + strings.Repeat("a", maxBody) + `"}`, 422, "larger than 16 MiB"},
		{"file too large", "PUT", "/v1/config", strings.Repeat("#", maxBody+1), 422, "larger than 16 MiB"},
		{"no revision", "DELETE", "/v1/vips/shop?ifRevision=x", "", 422, "ifRevision"},
		{"a negative one", "PUT", "/v1/config?ifRevision=-1", "", 422, "ifRevision"},
		{"neither yes nor no", "DELETE", "/v1/vips/shop/reals/web1?dryRun=maybe", "", 422, "dryRun"},
		{"unknown option", "DELETE", "/v1/vips/shop?dryrun=true", "", 422, "dryrun: it is not known"},
		{"no answer to force", "POST", "/v1/pair/switchover?force=maybe", "", 422, "force"},
		{"no number of an event", "GET", "/v1/events?since=-1", "", 422, "not understood"},
		{"no answer to follow", "GET", "/v1/events?follow=maybe", "", 422, "not understood"},
		{"no such path", "GET", "/v1/vip", "", 404, ""},
		{"no such method", "DELETE", "/v1/vips", "", 405, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			f.asked = ""
			response := request(t, socket, test.method, test.path, test.body)
			data, _ := io.ReadAll(response.Body)
			if response.StatusCode != test.status || !strings.Contains(string(data), test.says) {
				t.Errorf("status %d, want %d: %s", response.StatusCode, test.status, data)
			}
			if f.asked != "" {
				t.Errorf("the controller was asked: %s", f.asked)
			}
		})
	}
}

// A reader that has enough stops the reading of the table.
func TestFlowsUntilTheReaderHasEnough(t *testing.T) {
	stopped := make(chan struct{})
	f := &fake{flows: func(yield func(Flow) bool) {
		defer close(stopped)
		for yield(Flow{Client: "c"}) {
		}
	}}
	client := NewClient(serve(t, f, nil))
	count := 0
	for _, err := range client.Flows(t.Context(), FlowFilter{}) {
		if err != nil {
			t.Fatal(err)
		}
		if count++; count == 3 {
			break
		}
	}
	select {
	case <-stopped:
	case <-time.After(10 * time.Second):
		t.Fatal("the table is read for nobody")
	}
}

// A list that is not whole does not look like one that is.
func TestFlowsOfADaemonThatEnds(t *testing.T) {
	var server *Server
	f := &fake{flows: func(yield func(Flow) bool) {
		for n := 0; yield(Flow{Client: "c"}); n++ {
			if n == 100000 {
				server.Close()
			}
		}
	}}
	client := NewClient(serve(t, f, func(s *Server) { server = s }))
	if list, err := collect(client.Flows(t.Context(), FlowFilter{})); err == nil || !strings.Contains(err.Error(), "ends early") {
		t.Errorf("%d flows and the error %v", len(list), err)
	}
}

// The socket is the group's if there is one, else root's alone.
func TestSocketGroup(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "sock")
	listener, err := Listen(socket)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	for _, group := range []string{"daemon", "no-such-group"} { // Debian's daemon has 1
		if err := setGroup(socket, group); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(socket)
		if err != nil {
			t.Fatal(err)
		}
		if gid := info.Sys().(*syscall.Stat_t).Gid; gid != 1 || info.Mode().Perm() != 0o660 {
			t.Errorf("after group %s: %v, group %d", group, info.Mode(), gid)
		}
	}
}

func TestListen(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "sock")
	first, err := Listen(socket)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Listen(socket); err == nil || !strings.Contains(err.Error(), "another tarpond listens here") {
		t.Errorf("a second one: %v", err)
	}
	first.(*net.UnixListener).SetUnlinkOnClose(false) // a daemon that is killed
	first.Close()
	second, err := Listen(socket)
	if err != nil {
		t.Fatalf("after one that was killed: %v", err)
	}
	second.Close()
}

func TestUnreachable(t *testing.T) {
	dead := filepath.Join(t.TempDir(), "sock")
	listener, err := net.Listen("unix", dead)
	if err != nil {
		t.Fatal(err)
	}
	listener.(*net.UnixListener).SetUnlinkOnClose(false)
	listener.Close()
	for _, socket := range []string{dead, dead + "-none"} {
		_, err := NewClient(socket).Status(t.Context())
		if !errors.Is(err, ErrUnreachable) || !strings.Contains(err.Error(), "nobody listens on "+socket) {
			t.Errorf("%s: %v", socket, err)
		}
	}
}
