package api

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/user"
	"strconv"
	"time"
)

// A Controller answers. Its methods may be called concurrently; an error that is
// an *Error is told as it is, others as failed.
type Controller interface {
	Status(ctx context.Context) (Status, error)
	Vips(ctx context.Context) ([]Vip, error)
	Stats(ctx context.Context) (Stats, error)
	Flows(ctx context.Context, filter FlowFilter) (iter.Seq[Flow], error)
	Events(ctx context.Context, since uint64, follow bool) (iter.Seq[Event], error)

	// Zero keeps what the counters are now, to be taken off from what is shown.
	Zero(ctx context.Context) (Zero, error)
	// Explain says what would become of a packet, and changes nothing.
	Explain(ctx context.Context, packet Packet) (Explanation, error)
	// Findings looks at the whole router; none: all is well.
	Findings(ctx context.Context) ([]Finding, error)

	AddVip(ctx context.Context, vip NewVip, o Options) (Result, error)
	EditVip(ctx context.Context, vip string, s VipSettings, o Options) (Result, error)
	DeleteVip(ctx context.Context, vip string, o Options) (Result, error)
	AddReal(ctx context.Context, vip string, real NewReal, o Options) (Result, error)
	EditReal(ctx context.Context, vip, real string, s RealSettings, o Options) (Result, error)
	DeleteReal(ctx context.Context, vip, real string, o Options) (Result, error)

	// Operational state: real may be empty where a vip can be meant.
	Drain(ctx context.Context, vip, real string, deadline time.Duration) (Operated, error)
	Undrain(ctx context.Context, vip, real string) (Operated, error)
	Disable(ctx context.Context, vip, real string) (Operated, error)
	Enable(ctx context.Context, vip, real string) (Operated, error)

	Plan(ctx context.Context, file []byte, o Options) (Result, error)
	Apply(ctx context.Context, file []byte, o Options) (Result, error)
	Confirm(ctx context.Context) (Result, error)
	Rollback(ctx context.Context, revision int, o Options) (Result, error)
	Reload(ctx context.Context, o Options) (Result, error)
	Restart(ctx context.Context) (Result, error)
	Export(ctx context.Context) ([]byte, error)
	History(ctx context.Context) ([]Revision, error)
	RevisionFile(ctx context.Context, revision int) ([]byte, error)

	PairController
}

const maxBody = 16 << 20

// Listen makes the socket, for its owner and group, in the place of one that
// nobody listens on.
func Listen(path string) (net.Listener, error) {
	if conn, err := net.Dial("unix", path); err == nil {
		conn.Close()
		return nil, errors.New(path + ": another tarpond listens here; give this one its own --run-dir")
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	listener, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	return listener, errors.Join(setGroup(path, SocketGroup), os.Chmod(path, 0o660))
}

// SocketGroup may use the socket, and so change everything; without such a group
// only root may.
const SocketGroup = "tarpon"

func setGroup(path, name string) error {
	group, err := user.LookupGroup(name)
	if err != nil {
		return nil // there is none
	}
	gid, err := strconv.Atoi(group.Gid)
	if err != nil {
		return err
	}
	return os.Chown(path, -1, gid)
}

// Inherit takes a listener over that another process made with Listen.
func Inherit(file *os.File) (net.Listener, error) {
	defer file.Close()
	listener, err := net.FileListener(file)
	if err != nil {
		return nil, fmt.Errorf("take the socket over: %w", err)
	}
	if l, ok := listener.(*net.UnixListener); ok {
		l.SetUnlinkOnClose(true)
	}
	return listener, nil
}

// NewServer serves a Controller on a listener, once Serve is called.
func NewServer(c Controller, l net.Listener) *Server {
	mux := http.NewServeMux()
	shutdown, end := context.WithCancel(context.Background())
	s := &server{c, shutdown}
	mux.HandleFunc("GET /v1/status", answer(s.status))
	mux.HandleFunc("GET /v1/vips", answer(s.vips))
	mux.HandleFunc("GET /v1/stats", answer(s.stats))
	mux.HandleFunc("POST /v1/stats/zero", answer(s.zero))
	mux.HandleFunc("GET /v1/flows", s.flows)
	mux.HandleFunc("GET /v1/events", s.events)
	mux.HandleFunc("POST /v1/explain", answer(s.explain))
	mux.HandleFunc("GET /v1/doctor", answer(s.findings))
	mux.HandleFunc("POST /v1/vips", answer(change(s.addVip)))
	mux.HandleFunc("PATCH /v1/vips/{vip}", answer(change(s.editVip)))
	mux.HandleFunc("DELETE /v1/vips/{vip}", answer(change(s.deleteVip)))
	mux.HandleFunc("POST /v1/vips/{vip}/reals", answer(change(s.addReal)))
	mux.HandleFunc("PATCH /v1/vips/{vip}/reals/{real}", answer(change(s.editReal)))
	mux.HandleFunc("DELETE /v1/vips/{vip}/reals/{real}", answer(change(s.deleteReal)))
	mux.HandleFunc("POST /v1/vips/{vip}/disable", answer(s.operate(c.Disable)))
	mux.HandleFunc("POST /v1/vips/{vip}/enable", answer(s.operate(c.Enable)))
	mux.HandleFunc("POST /v1/vips/{vip}/reals/{real}/disable", answer(s.operate(c.Disable)))
	mux.HandleFunc("POST /v1/vips/{vip}/reals/{real}/enable", answer(s.operate(c.Enable)))
	mux.HandleFunc("POST /v1/vips/{vip}/reals/{real}/drain", answer(s.drain))
	mux.HandleFunc("POST /v1/vips/{vip}/reals/{real}/undrain", answer(s.operate(c.Undrain)))
	mux.HandleFunc("GET /v1/config", file(s.export))
	mux.HandleFunc("PUT /v1/config", answer(change(s.apply)))
	mux.HandleFunc("POST /v1/config/plan", answer(change(s.plan)))
	mux.HandleFunc("POST /v1/config/reload", answer(change(s.reload)))
	mux.HandleFunc("POST /v1/config/confirm", answer(s.confirm))
	mux.HandleFunc("GET /v1/revisions", answer(s.history))
	mux.HandleFunc("GET /v1/revisions/{revision}", file(s.revisionFile))
	mux.HandleFunc("POST /v1/revisions/{revision}/rollback", answer(change(s.rollback)))
	mux.HandleFunc("POST /v1/restart", answer(s.restart))
	s.pairRoutes(mux)
	server := &Server{listener: l, accepted: make(chan struct{}), endStreams: end}
	server.Server = http.Server{
		ConnContext:       withCaller,
		ConnState:         server.count,
		Handler:           http.MaxBytesHandler(mux, maxBody),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       30 * time.Second,
	}
	server.SetKeepAlivesEnabled(false)
	return server
}

type server struct {
	c        Controller
	shutdown context.Context // done when no stream should go on
}

// answer makes a handler of a function: its value as JSON, or its error.
func answer[T any](f func(*http.Request) (T, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		value, err := f(r)
		if err != nil {
			fail(w, err)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(value)
	}
}

func fail(w http.ResponseWriter, err error) {
	var told *Error
	if !errors.As(err, &told) {
		told = &Error{Code: CodeFailed, Message: err.Error()}
	}
	status := map[string]int{
		CodeExists: http.StatusConflict, CodeMissing: http.StatusNotFound,
		CodeInvalid: http.StatusUnprocessableEntity, CodeConflict: http.StatusPreconditionFailed,
	}[told.Code]
	if status == 0 {
		status = http.StatusInternalServerError
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(told)
}

// read decodes a body strictly: a key that is not known is a fault.
func read[T any](r *http.Request) (value T, err error) {
	decoder := json.NewDecoder(r.Body)
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&value); err != nil {
		return value, notUnderstood(err)
	}
	if decoder.More() {
		return value, notUnderstood(errors.New("something follows its value"))
	}
	return value, nil
}

// change gives a function its options, which are in the query: strictly too, for one
// that is not understood would have kept something from happening.
func change(f func(*http.Request, Options) (Result, error)) func(*http.Request) (Result, error) {
	return func(r *http.Request) (Result, error) {
		o, err := options(r.URL.Query())
		if err != nil {
			return Result{}, err
		}
		return f(r, o)
	}
}

func options(query url.Values) (o Options, err error) {
	for key := range query {
		switch value := query.Get(key); key {
		case "dryRun":
			o.DryRun, err = strconv.ParseBool(value)
		case "ifExists":
			o.IfExists, err = strconv.ParseBool(value)
		case "alone":
			o.Alone, err = strconv.ParseBool(value)
		case "force":
			o.Force, err = strconv.ParseBool(value)
		case "ifRevision":
			var revision uint64
			revision, err = strconv.ParseUint(value, 10, 31)
			o.IfRevision = int(revision)
		case "file":
			o.File = value
		case "confirm":
			o.Confirm, err = duration(value)
		default:
			err = errors.New("it is not known")
		}
		if err != nil {
			return o, notUnderstood(fmt.Errorf("%s: %w", key, err))
		}
	}
	return o, nil
}

// duration reads a time to wait.
func duration(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if err == nil && d <= 0 {
		err = fmt.Errorf("%q is no time to wait, such as 5m", text)
	}
	return d, err
}

func notUnderstood(err error) error {
	text := err.Error()
	if large := (*http.MaxBytesError)(nil); errors.As(err, &large) {
		text = fmt.Sprintf("it is larger than %d MiB", maxBody>>20)
	}
	return &Error{Code: CodeInvalid, Message: "the request is not understood: " + text}
}

func (s *server) status(r *http.Request) (Status, error) { return s.c.Status(r.Context()) }
func (s *server) vips(r *http.Request) ([]Vip, error)    { return s.c.Vips(r.Context()) }
func (s *server) stats(r *http.Request) (Stats, error)   { return s.c.Stats(r.Context()) }
func (s *server) zero(r *http.Request) (Zero, error)     { return s.c.Zero(r.Context()) }

func (s *server) history(r *http.Request) ([]Revision, error) { return s.c.History(r.Context()) }
func (s *server) restart(r *http.Request) (Result, error)     { return s.c.Restart(r.Context()) }
func (s *server) confirm(r *http.Request) (Result, error)     { return s.c.Confirm(r.Context()) }
func (s *server) export(r *http.Request) ([]byte, error)      { return s.c.Export(r.Context()) }

func (s *server) addVip(r *http.Request, o Options) (Result, error) {
	vip, err := read[NewVip](r)
	if err != nil {
		return Result{}, err
	}
	return s.c.AddVip(r.Context(), vip, o)
}

func (s *server) editVip(r *http.Request, o Options) (Result, error) {
	settings, err := read[VipSettings](r)
	if err != nil {
		return Result{}, err
	}
	return s.c.EditVip(r.Context(), r.PathValue("vip"), settings, o)
}

func (s *server) deleteVip(r *http.Request, o Options) (Result, error) {
	return s.c.DeleteVip(r.Context(), r.PathValue("vip"), o)
}

func (s *server) addReal(r *http.Request, o Options) (Result, error) {
	real, err := read[NewReal](r)
	if err != nil {
		return Result{}, err
	}
	return s.c.AddReal(r.Context(), r.PathValue("vip"), real, o)
}

func (s *server) editReal(r *http.Request, o Options) (Result, error) {
	settings, err := read[RealSettings](r)
	if err != nil {
		return Result{}, err
	}
	return s.c.EditReal(r.Context(), r.PathValue("vip"), r.PathValue("real"), settings, o)
}

func (s *server) deleteReal(r *http.Request, o Options) (Result, error) {
	return s.c.DeleteReal(r.Context(), r.PathValue("vip"), r.PathValue("real"), o)
}

func (s *server) apply(r *http.Request, o Options) (Result, error) {
	data, err := io.ReadAll(r.Body)
	if err != nil {
		return Result{}, notUnderstood(err)
	}
	return s.c.Apply(r.Context(), data, o)
}

func (s *server) operate(f func(ctx context.Context, vip, real string) (Operated, error)) func(*http.Request) (Operated, error) {
	return func(r *http.Request) (Operated, error) {
		return f(r.Context(), r.PathValue("vip"), r.PathValue("real"))
	}
}

func (s *server) drain(r *http.Request) (Operated, error) {
	var deadline time.Duration
	if text := r.URL.Query().Get("deadline"); text != "" {
		var err error
		if deadline, err = duration(text); err != nil {
			return Operated{}, notUnderstood(fmt.Errorf("deadline: %w", err))
		}
	}
	return s.c.Drain(r.Context(), r.PathValue("vip"), r.PathValue("real"), deadline)
}

func (s *server) plan(r *http.Request, o Options) (Result, error) {
	data, err := io.ReadAll(r.Body)
	if err != nil {
		return Result{}, notUnderstood(err)
	}
	return s.c.Plan(r.Context(), data, o)
}

func (s *server) reload(r *http.Request, o Options) (Result, error) {
	return s.c.Reload(r.Context(), o)
}

func revision(r *http.Request) (int, error) {
	number, err := strconv.Atoi(r.PathValue("revision"))
	if err != nil {
		return 0, &Error{Code: CodeInvalid, Message: fmt.Sprintf("%q is no revision's number", r.PathValue("revision"))}
	}
	return number, nil
}

func (s *server) rollback(r *http.Request, o Options) (Result, error) {
	number, err := revision(r)
	if err != nil {
		return Result{}, err
	}
	return s.c.Rollback(r.Context(), number, o)
}

func (s *server) revisionFile(r *http.Request) ([]byte, error) {
	number, err := revision(r)
	if err != nil {
		return nil, err
	}
	return s.c.RevisionFile(r.Context(), number)
}

// file makes a handler of a function: its value as a configuration, or its error.
func file(f func(*http.Request) ([]byte, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		data, err := f(r)
		if err != nil {
			fail(w, err)
			return
		}
		w.Header().Set("Content-Type", "application/yaml")
		_, _ = w.Write(data)
	}
}

// flows writes one JSON object a line, as they are read: a million are never held.
func (s *server) flows(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	flows, err := s.c.Flows(r.Context(), FlowFilter{
		Vip: q.Get("vip"), Real: q.Get("real"), Client: q.Get("client"), State: q.Get("state"),
	})
	if err != nil {
		fail(w, err)
		return
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	buffer := bufio.NewWriterSize(w, 64<<10)
	encoder := json.NewEncoder(buffer)
	for flow := range flows {
		if encoder.Encode(flow) != nil || r.Context().Err() != nil {
			return
		}
	}
	_ = buffer.Flush()
}
