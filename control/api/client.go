package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// ErrUnreachable is returned when no daemon answers on the socket.
var ErrUnreachable = errors.New("tarpond cannot be reached")

// A Client speaks to a daemon. Refusals are *Error.
type Client struct {
	socket string
	http   http.Client
}

// NewClient speaks to the daemon that listens on a unix socket.
func NewClient(socket string) *Client {
	c := &Client{socket: socket}
	c.http.Transport = &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			dialer := net.Dialer{Timeout: 5 * time.Second}
			return dialer.DialContext(ctx, "unix", socket)
		},
	}
	return c
}

// Status of the router.
func (c *Client) Status(ctx context.Context) (Status, error) {
	return call[Status](ctx, c, "GET", "/v1/status", nil, nil)
}

// Vips with their reals.
func (c *Client) Vips(ctx context.Context) ([]Vip, error) {
	return call[[]Vip](ctx, c, "GET", "/v1/vips", nil, nil)
}

// Stats are the router's counters.
func (c *Client) Stats(ctx context.Context) (Stats, error) {
	return call[Stats](ctx, c, "GET", "/v1/stats", nil, nil)
}

// Zero has counters shown from now on count from 0.
func (c *Client) Zero(ctx context.Context) (Zero, error) {
	return call[Zero](ctx, c, "POST", "/v1/stats/zero", nil, nil)
}

// AddVip adds a vip.
func (c *Client) AddVip(ctx context.Context, vip NewVip, o Options) (Result, error) {
	return call[Result](ctx, c, "POST", "/v1/vips", o.query(), vip)
}

// EditVip changes a vip.
func (c *Client) EditVip(ctx context.Context, vip string, s VipSettings, o Options) (Result, error) {
	return call[Result](ctx, c, "PATCH", vipPath(vip), o.query(), s)
}

// DeleteVip deletes a vip.
func (c *Client) DeleteVip(ctx context.Context, vip string, o Options) (Result, error) {
	return call[Result](ctx, c, "DELETE", vipPath(vip), o.query(), nil)
}

// AddReal adds a real to a vip.
func (c *Client) AddReal(ctx context.Context, vip string, real NewReal, o Options) (Result, error) {
	return call[Result](ctx, c, "POST", vipPath(vip)+"/reals", o.query(), real)
}

// EditReal changes a real of a vip.
func (c *Client) EditReal(ctx context.Context, vip, real string, s RealSettings, o Options) (Result, error) {
	return call[Result](ctx, c, "PATCH", realPath(vip, real), o.query(), s)
}

// DeleteReal deletes a real of a vip.
func (c *Client) DeleteReal(ctx context.Context, vip, real string, o Options) (Result, error) {
	return call[Result](ctx, c, "DELETE", realPath(vip, real), o.query(), nil)
}

// Apply replaces the whole configuration.
func (c *Client) Apply(ctx context.Context, file []byte, o Options) (Result, error) {
	return call[Result](ctx, c, "PUT", "/v1/config", o.query(), file)
}

// Drain gives a real no new flows; after a deadline, if there is one, those left are
// reset.
func (c *Client) Drain(ctx context.Context, vip, real string, deadline time.Duration) (Operated, error) {
	q := url.Values{}
	if deadline > 0 {
		q.Set("deadline", deadline.String())
	}
	return call[Operated](ctx, c, "POST", realPath(vip, real)+"/drain", q, nil)
}

// Undrain ends Drain.
func (c *Client) Undrain(ctx context.Context, vip, real string) (Operated, error) {
	return call[Operated](ctx, c, "POST", realPath(vip, real)+"/undrain", nil, nil)
}

// Disable takes a vip, or one of its reals, out of service.
func (c *Client) Disable(ctx context.Context, vip, real string) (Operated, error) {
	return call[Operated](ctx, c, "POST", targetPath(vip, real)+"/disable", nil, nil)
}

// Enable ends Disable.
func (c *Client) Enable(ctx context.Context, vip, real string) (Operated, error) {
	return call[Operated](ctx, c, "POST", targetPath(vip, real)+"/enable", nil, nil)
}

// Plan says what Apply would do.
func (c *Client) Plan(ctx context.Context, file []byte, o Options) (Result, error) {
	return call[Result](ctx, c, "POST", "/v1/config/plan", o.query(), file)
}

// Confirm keeps what was applied to be confirmed.
func (c *Client) Confirm(ctx context.Context) (Result, error) {
	return call[Result](ctx, c, "POST", "/v1/config/confirm", nil, nil)
}

// Rollback makes a new revision of an old one's file.
func (c *Client) Rollback(ctx context.Context, revision int, o Options) (Result, error) {
	return call[Result](ctx, c, "POST", revisionPath(revision)+"/rollback", o.query(), nil)
}

// Reload takes the file over as it is now.
func (c *Client) Reload(ctx context.Context, o Options) (Result, error) {
	return call[Result](ctx, c, "POST", "/v1/config/reload", o.query(), nil)
}

// Restart has the daemon become the program that is installed now. It has begun when
// this returns, and is done when Status.Started has changed.
func (c *Client) Restart(ctx context.Context) (Result, error) {
	return call[Result](ctx, c, "POST", "/v1/restart", nil, nil)
}

// Export is the configuration that runs, as its file is written.
func (c *Client) Export(ctx context.Context) ([]byte, error) { return c.file(ctx, "/v1/config") }

// History lists the revisions that are kept, the oldest first.
func (c *Client) History(ctx context.Context) ([]Revision, error) {
	return call[[]Revision](ctx, c, "GET", "/v1/revisions", nil, nil)
}

// RevisionFile is a revision's file.
func (c *Client) RevisionFile(ctx context.Context, revision int) ([]byte, error) {
	return c.file(ctx, revisionPath(revision))
}

func revisionPath(revision int) string { return "/v1/revisions/" + strconv.Itoa(revision) }

func (c *Client) file(ctx context.Context, path string) ([]byte, error) {
	response, err := c.send(ctx, "GET", path, nil, nil)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	return io.ReadAll(response.Body)
}

// Flows streams flows. The last pair has the error that ended the stream early.
func (c *Client) Flows(ctx context.Context, f FlowFilter) iter.Seq2[Flow, error] {
	q := url.Values{}
	for key, value := range map[string]string{"vip": f.Vip, "real": f.Real, "client": f.Client, "state": f.State} {
		if value != "" {
			q.Set(key, value)
		}
	}
	return stream[Flow](ctx, c, "/v1/flows", q)
}

// stream decodes an answer of many lines as they come.
func stream[T any](ctx context.Context, c *Client, path string, q url.Values) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var none T
		response, err := c.send(ctx, "GET", path, q, nil)
		if err != nil {
			yield(none, err)
			return
		}
		defer response.Body.Close()
		decoder := json.NewDecoder(response.Body)
		for {
			var one T
			if err := decoder.Decode(&one); err == io.EOF {
				return
			} else if err != nil {
				yield(none, fmt.Errorf("the list ends early (did tarpond end?): %w", err))
				return
			}
			if !yield(one, nil) {
				return
			}
		}
	}
}

func (o Options) query() url.Values {
	q := url.Values{}
	if o.DryRun {
		q.Set("dryRun", "true")
	}
	if o.IfExists {
		q.Set("ifExists", "true")
	}
	if o.Alone {
		q.Set("alone", "true")
	}
	if o.Force {
		q.Set("force", "true")
	}
	if o.IfRevision != 0 {
		q.Set("ifRevision", strconv.Itoa(o.IfRevision))
	}
	if o.File != "" {
		q.Set("file", o.File)
	}
	if o.Confirm > 0 {
		q.Set("confirm", o.Confirm.String())
	}
	return q
}

func vipPath(vip string) string { return "/v1/vips/" + url.PathEscape(vip) }

func realPath(vip, real string) string { return vipPath(vip) + "/reals/" + url.PathEscape(real) }

// targetPath is a real's, or without one the vip's.
func targetPath(vip, real string) string {
	if real == "" {
		return vipPath(vip)
	}
	return realPath(vip, real)
}

// call decodes the answer to a request.
func call[T any](ctx context.Context, c *Client, method, path string, q url.Values, body any) (answer T, err error) {
	response, err := c.send(ctx, method, path, q, body)
	if err != nil {
		return answer, err
	}
	defer response.Body.Close()
	err = json.NewDecoder(response.Body).Decode(&answer)
	return answer, err
}

func (c *Client) send(ctx context.Context, method, path string, q url.Values, body any) (*http.Response, error) {
	var reader io.Reader
	switch body := body.(type) {
	case nil:
	case []byte:
		reader = bytes.NewReader(body)
	default:
		data, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		reader = bytes.NewReader(data)
	}
	request, err := http.NewRequestWithContext(ctx, method, "http://tarpond"+path+"?"+q.Encode(), reader)
	if err != nil {
		return nil, err
	}
	response, err := c.http.Do(request)
	if err != nil {
		return nil, c.unreachable(err)
	}
	if response.StatusCode == http.StatusOK {
		return response, nil
	}
	defer response.Body.Close()
	told := &Error{}
	if err := json.NewDecoder(response.Body).Decode(told); err != nil || told.Message == "" {
		return nil, fmt.Errorf("tarpond answered %s", response.Status)
	}
	return nil, told
}

func (c *Client) unreachable(err error) error {
	switch {
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w: no permission for %s; run as root, or as a member of the socket's group", ErrUnreachable, c.socket)
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ECONNREFUSED):
		return fmt.Errorf("%w: nobody listens on %s; is it running? (systemctl status tarpond)", ErrUnreachable, c.socket)
	}
	return fmt.Errorf("%w: %w", ErrUnreachable, err)
}
