package program

import (
	"context"
	"sync"
)

// Hooks runs hooks one at a time, in the order in which they were given, and nobody
// waits for them.
type Hooks struct {
	ctx  context.Context
	end  context.CancelFunc
	tell func(Command, string, error)

	mu      sync.Mutex
	waiting []Command
	idle    chan struct{} // closed while none runs or waits
	done    sync.WaitGroup
}

// maxWaiting hooks: behind one that hangs for its whole time at every event of a router
// that changes its role again and again, the oldest give way.
const maxWaiting = 100

// NewHooks returns a runner; tell is given each hook that has ended, with its output,
// from another goroutine.
func NewHooks(tell func(c Command, output string, err error)) *Hooks {
	ctx, end := context.WithCancel(context.Background())
	h := &Hooks{ctx: ctx, end: end, tell: tell, idle: make(chan struct{})}
	close(h.idle)
	return h
}

// Fire runs a hook after those before it.
func (h *Hooks) Fire(c Command) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.waiting = append(h.waiting, c); len(h.waiting) > maxWaiting {
		h.waiting = h.waiting[1:]
	}
	select {
	case <-h.idle:
		h.idle = make(chan struct{})
		h.done.Go(h.run)
	default:
	}
}

// Idle is closed when all hooks so far have ended.
func (h *Hooks) Idle() <-chan struct{} {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.idle
}

func (h *Hooks) run() {
	for {
		h.mu.Lock()
		if len(h.waiting) == 0 || h.ctx.Err() != nil {
			close(h.idle)
			h.mu.Unlock()
			return
		}
		next := h.waiting[0]
		h.waiting = h.waiting[1:]
		h.mu.Unlock()
		output, err := Run(h.ctx, next)
		h.tell(next, output, err)
	}
}

// Close kills the hook that runs and forgets the others.
func (h *Hooks) Close() {
	h.end()
	h.done.Wait()
}
