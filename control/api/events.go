package api

import (
	"context"
	"encoding/json"
	"iter"
	"net/http"
	"net/url"
	"strconv"
)

// events writes one JSON object a line, each at once: with follow for as long as the
// reader wants. The reader's pace is its own matter (control/event).
func (s *server) events(w http.ResponseWriter, r *http.Request) {
	since, follow, err := eventQuery(r.URL.Query())
	if err != nil {
		fail(w, err)
		return
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(s.shutdown, cancel)()
	events, err := s.c.Events(ctx, since, follow)
	if err != nil {
		fail(w, err)
		return
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	connection := http.NewResponseController(w)
	_ = connection.Flush()
	encoder := json.NewEncoder(w)
	for event := range events {
		if encoder.Encode(event) != nil || connection.Flush() != nil {
			return
		}
	}
}

func eventQuery(q url.Values) (since uint64, follow bool, err error) {
	if text := q.Get("since"); text != "" {
		if since, err = strconv.ParseUint(text, 10, 64); err != nil {
			return 0, false, notUnderstood(err)
		}
	}
	if text := q.Get("follow"); text != "" {
		if follow, err = strconv.ParseBool(text); err != nil {
			return 0, false, notUnderstood(err)
		}
	}
	return since, follow, nil
}

// Events tells those after number since (0: all that are kept); with follow also those
// to come. The last pair has the error that ended the stream early.
func (c *Client) Events(ctx context.Context, since uint64, follow bool) iter.Seq2[Event, error] {
	return stream[Event](ctx, c, "/v1/events", url.Values{
		"since": {strconv.FormatUint(since, 10)}, "follow": {strconv.FormatBool(follow)},
	})
}
