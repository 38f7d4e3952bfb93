package healthcheck

import (
	"errors"
	"time"
)

// A State is what is known of one server. It is a value: each result makes the
// next one.
type State struct {
	Up bool
	// Checked: a result has been judged since this State was made.
	Checked bool
	// Decisive: the first result alone decides, whatever rise and fall say.
	Decisive bool
	Rises    int // in a row, at most Config.Rise
	Falls    int
	Since    time.Time // of Up's last change
	Error    string    // of the last failure; empty while all is well
}

// Next judges one result. What kept us from asking is shown, and judges nobody.
func (s State) Next(c Config, failure error, now time.Time) State {
	if errors.As(failure, &notAsked{}) {
		s.Error = "not asked: " + failure.Error()
		return s
	}
	first := s.Decisive && !s.Checked
	s.Checked, s.Decisive = true, false
	up := s.Up
	if failure == nil {
		s.Falls, s.Rises, s.Error = 0, min(s.Rises+1, c.Rise), ""
		up = up || first || s.Rises >= c.Rise
	} else {
		s.Rises, s.Falls, s.Error = 0, min(s.Falls+1, c.Fall), failure.Error()
		up = up && !first && s.Falls < c.Fall
	}
	if up != s.Up {
		s.Up, s.Since = up, now
	}
	return s
}
