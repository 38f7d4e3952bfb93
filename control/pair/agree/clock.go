package agree

import "time"

// The routers' clocks may differ. So what travels is for how long a revision still waits
// for its confirmation; until when that is, each says by its own clock.

// Leaving is a message as it goes out, by the sender's clock.
func (m Message) Leaving(now time.Time) Message {
	return m.timed(func(o *Offer) {
		if by := o.Revision.ConfirmBy; !by.IsZero() {
			o.ConfirmIn = max(by.Sub(now), time.Millisecond) // it waits, though not for long
		}
	})
}

// Arrived is a message as it is to be received, by the receiver's clock.
func (m Message) Arrived(now time.Time) Message {
	return m.timed(func(o *Offer) {
		if o.ConfirmIn > 0 {
			o.Revision.ConfirmBy, o.ConfirmIn = now.Add(o.ConfirmIn), 0
		}
	})
}

// timed changes copies of the offers in a message.
func (m Message) timed(change func(*Offer)) Message {
	for _, field := range []**Offer{&m.Prepare, &m.Missed, &m.Shown} {
		if *field != nil {
			changed := **field
			change(&changed)
			*field = &changed
		}
	}
	return m
}
