package agree

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tarpon-lb/tarpon/control/config"
	"github.com/tarpon-lb/tarpon/control/revision"
)

// A router with its disk: what a crash leaves is list, files and file.
type router struct {
	t     *testing.T
	name  string
	list  []revision.Revision
	files map[revision.ID]string
	older []revision.Revision // kept, until the next one is committed
	file  string              // the configuration file
	runs  string              // what the kernel has

	active bool
	broken error // of Check and Commit
	full   error // of Commit alone
	*Agreement
	line *line
	fast time.Duration // its clock, against the line's
	told []string
}

func (r *router) Revisions() []revision.Revision { return r.list }
func (r *router) Edited() bool                   { return r.file != r.runs }
func (r *router) Active() bool                   { return r.active }
func (r *router) Tell(what string, err error)    { r.told = append(r.told, what+": "+err.Error()) }

func (r *router) File(number int) ([]byte, error) {
	for _, kept := range r.list {
		if kept.Number == number {
			return []byte(r.files[kept.ID]), nil
		}
	}
	return nil, errors.New("not kept")
}

func (r *router) Check(file []byte) error {
	if strings.Contains(string(file), "not on "+r.name) {
		return errors.New("there is no interface eth9")
	}
	return r.broken
}

func (r *router) Keep(v revision.Revision, file []byte) error {
	r.older, r.files[v.ID] = append(r.older, v), string(file)
	return nil
}

func (r *router) Commit(v revision.Revision, file []byte) error {
	if err := errors.Join(r.broken, r.full); err != nil {
		return err
	}
	if r.Edited() && r.file != string(file) {
		return errors.New("edited by hand")
	}
	if last := r.head(); v.Number <= last.Number {
		r.t.Errorf("%s has revision %s after %s", r.name, v.ID, last.ID)
	}
	for _, older := range r.older {
		if older.Number > r.head().Number && older.Number < v.Number {
			r.list = append(r.list, older)
		}
	}
	r.list = append(r.list, v)
	r.file, r.runs, r.files[v.ID], r.older = string(file), string(file), string(file), nil
	return nil
}

func (r *router) Confirm() error {
	if r.full != nil {
		return r.full
	}
	r.list[len(r.list)-1].ConfirmBy = time.Time{}
	return nil
}

func (r *router) Send(m Message) { r.line.send(r, m.Leaving(r.now())) }

func (r *router) now() time.Time { return r.line.now.Add(r.fast) }

// A line carries messages in their order, and loses them all when it is cut.
type line struct {
	a, b    *router
	up      bool
	waiting []letter
	now     time.Time
}

type letter struct {
	to *router
	Message
}

func (l *line) send(from *router, m Message) {
	if !l.up {
		return
	}
	to := l.a
	if from == l.a {
		to = l.b
	}
	l.waiting = append(l.waiting, letter{to, m})
}

// step delivers one message: the first of one of the two directions.
func (l *line) step(of *router) bool {
	at := slices.IndexFunc(l.waiting, func(w letter) bool { return of == nil || w.to == of })
	if at < 0 {
		return false
	}
	w := l.waiting[at]
	l.waiting = slices.Delete(l.waiting, at, at+1)
	w.to.Receive(w.Message.Arrived(w.to.now()))
	return true
}

func (l *line) settle() {
	for l.step(nil) {
	}
}

func (l *line) cut() {
	l.up, l.waiting = false, nil
	l.a.Down()
	l.b.Down()
}

func (l *line) heal() {
	l.up = true
	l.a.Up()
	l.b.Up()
}

// crash loses all but the disk.
func (r *router) crash() {
	r.line.cut()
	r.runs = r.files[r.head().ID] // a broken or edited file is another matter: revisions decide
	peer := r.line.a.name
	if r == r.line.a {
		peer = r.line.b.name
	}
	r.Agreement, r.older = New(r.name, peer, r), nil
}

func pair(t *testing.T) (l *line, a, b *router) {
	l = &line{now: time.Unix(1000, 0)}
	make := func(name, peer string) *router {
		r := &router{t: t, name: name, files: map[revision.ID]string{}, line: l}
		r.Agreement = New(name, peer, r)
		r.file, r.runs = "first", "first"
		first := revision.Revision{ID: revision.ID{Number: 1, Hash: config.HashOf([]byte("first"))}}
		if err := r.Commit(first, []byte("first")); err != nil {
			t.Fatal(err)
		}
		return r
	}
	l.a, l.b = make("lb1", "lb2"), make("lb2", "lb1")
	l.a.active = true
	return l, l.a, l.b
}

// propose returns the text of what Done was told, "" while it was not.
func (r *router) propose(file string, alone bool) *string {
	said := new(string)
	r.Propose(&Proposal{File: []byte(file), Alone: alone, Done: func(v revision.Revision, pending bool, err error) {
		if *said != "" {
			r.t.Errorf("told twice: %s, then %v %v %v", *said, v.ID, pending, err)
		}
		switch *said = fmt.Sprintf("%d", v.Number); {
		case err != nil:
			*said = err.Error()
		case pending:
			*said += " pending"
		}
	}})
	return said
}

func expect(t *testing.T, what string, got, want any) {
	t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

func TestChangeOnBoth(t *testing.T) {
	l, a, b := pair(t)
	l.heal()
	l.settle()
	expect(t, "before", a.State(), Same)
	said := b.propose("second", false) // on the standby too
	expect(t, "before the other has it", *said, "")
	l.settle()
	expect(t, "said", *said, "2")
	expect(t, "there", a.file+a.runs+string(a.State()), "secondsecondsame")
	expect(t, "revision", a.head(), b.head())
	expect(t, "router", a.head().Router, "lb2")
}

func TestRefusedByOne(t *testing.T) {
	l, a, b := pair(t)
	l.heal()
	l.settle()
	said := a.propose("not on lb2", false)
	l.settle()
	expect(t, "said", *said, "lb2 refuses: there is no interface eth9")
	expect(t, "here and there", a.runs+" "+b.runs, "first first")
	b.file = "by hand"
	said = a.propose("second", false)
	l.settle()
	expect(t, "said", *said, "lb2 refuses: its configuration file was edited by hand: lbctl reload on lb2, or put the old file back")
}

func TestBothAtOnce(t *testing.T) {
	l, a, b := pair(t)
	l.heal()
	l.settle()
	one, other := a.propose("of lb1", false), b.propose("of lb2", false)
	l.settle()
	expect(t, "lb1's", *one, "2")
	expect(t, "lb2's", *other, "lb1 has a change under way; try again")
	expect(t, "both run", a.runs+b.runs, "of lb1of lb1")
}

func TestApart(t *testing.T) {
	l, a, b := pair(t)
	expect(t, "on the active one", *a.propose("second", false), "2 pending")
	expect(t, "on the standby", *b.propose("other", false), "this router is standby and lb1 does not answer: make the change there, or here alone with --force-local")
	a.propose("third", false)
	l.heal()
	l.settle()
	expect(t, "caught up", fmt.Sprint(b.runs, b.State(), len(b.list)), "thirdsame3")
}

func TestLinkDiesMeanwhile(t *testing.T) {
	l, a, b := pair(t)
	l.heal()
	l.settle()
	said := a.propose("second", false)
	l.step(b) // prepared
	l.cut()
	expect(t, "said", *said, "2 pending")
	l.heal()
	l.settle()
	said = a.propose("third", false)
	l.step(b)
	l.step(a) // made here
	l.cut()
	expect(t, "said", *said, "3 pending")
	expect(t, "there", b.runs, "second")
	l.heal()
	l.settle()
	expect(t, "caught up", b.runs, "third")
	said = b.propose("fourth", false)
	l.cut()
	expect(t, "said", *said, "this router is standby and lb1 does not answer: make the change there, or here alone with --force-local")
}

func TestCannotCatchUp(t *testing.T) {
	l, a, b := pair(t)
	l.heal()
	l.settle()
	b.full = errors.New("no space left on device")
	said := a.propose("second", false)
	l.settle()
	expect(t, "said", *said, "2 pending")
	expect(t, "states", a.State()+" "+b.State(), Ahead+" "+Behind)
	expect(t, "why", a.Refused(), "no space left on device")
	b.full = nil
	b.Again()
	l.settle()
	expect(t, "states", a.State()+" "+b.State(), Same+" "+Same)
}

// A change that is made while this router catches up is made of what it comes to.
func TestChangeWhileBehind(t *testing.T) {
	l, a, b := pair(t)
	a.propose("second", false)
	l.heal()
	early := b.propose("of the first", false)
	l.settle()
	expect(t, "the change", *early, ErrMoved)
	expect(t, "both", a.runs+b.runs, "secondsecond")
	l.cut()
	l.heal()
	late := a.propose("third", false)
	expect(t, "before they have met", *late, "")
	l.settle()
	expect(t, "the change", *late, "3")
	expect(t, "both", a.runs+b.runs, "thirdthird")
}

// One end finds the link up before the other: what it says is not heard.
func TestOneEndIsUpFirst(t *testing.T) {
	l, a, b := pair(t)
	l.up = true
	a.Up()
	l.settle()
	b.Up()
	l.settle()
	expect(t, "states", a.State()+" "+b.State(), Same+" "+Same)
}

func TestConflict(t *testing.T) {
	for _, winner := range []string{"lb1", "lb2"} {
		l, a, b := pair(t)
		a.propose("of lb1", false)
		b.propose("of lb2", true)
		b.propose("of lb2, too", true)
		l.heal()
		l.settle()
		expect(t, "states", a.State()+" "+b.State(), Conflict+" "+Conflict)
		expect(t, "each its own", a.runs+", "+b.runs, "of lb1, of lb2, too")
		said := a.propose("another", false)
		expect(t, "a change", *said, "lb2 runs another configuration: see lbctl pair diff, and end it with lbctl pair adopt")
		var end *error
		a.Adopt(winner, func(err error) { end = &err })
		l.settle()
		if end == nil || *end != nil {
			t.Fatalf("adopt %s: %v", winner, end)
		}
		want := map[string]string{"lb1": "of lb1", "lb2": "of lb2, too"}[winner]
		expect(t, "both", fmt.Sprint(a.runs, b.runs, a.State(), b.State()), fmt.Sprint(want, want, Same, Same))
		if at := slices.IndexFunc(b.list, func(r revision.Revision) bool { return b.files[r.ID] == "of lb2" }); at < 0 {
			t.Errorf("lb2's own revision is lost: %v", b.list)
		}
		l.cut()
		a.propose("after", false)
		l.heal()
		l.settle()
		expect(t, "after", b.runs, "after")
	}
}

func TestEditedByHandWhileBehind(t *testing.T) {
	l, a, b := pair(t)
	a.propose("second", false)
	b.file = "by hand"
	l.heal()
	l.settle()
	expect(t, "states", a.State()+" "+b.State(), Conflict+" "+Conflict)
	expect(t, "there", b.file, "by hand")
	var end error
	a.Adopt("lb1", func(err error) { end = err })
	expect(t, "adopt", end, "a configuration file was edited by hand: lbctl reload there first, so that nothing is lost")
}

func TestConfirmationOfOneOnly(t *testing.T) {
	l, a, b := pair(t)
	waiting := revision.Revision{ID: revision.ID{Number: 2, Hash: config.HashOf([]byte("second"))}}
	for _, r := range []*router{a, b} { // confirmed on lb1; lb2 did not hear of it
		if err := r.Commit(waiting, []byte("second")); err != nil {
			t.Fatal(err)
		}
	}
	back := revision.Revision{ID: revision.ID{Number: 3, Hash: config.HashOf([]byte("first"))}, Parent: waiting.Hash, Undoes: 2}
	if err := b.Commit(back, []byte("first")); err != nil {
		t.Fatal(err)
	}
	l.heal()
	l.settle()
	expect(t, "states", a.State()+" "+b.State(), Conflict+" "+Conflict)
	expect(t, "confirmed", a.runs, "second")
}

// armed are two routers that run a revision that waits for its confirmation.
func armed(t *testing.T) (l *line, a, b *router) {
	l, a, b = pair(t)
	l.heal()
	l.settle()
	a.Propose(&Proposal{
		Revision: revision.Revision{ConfirmBy: a.now().Add(time.Hour)}, File: []byte("second"),
		Done: func(revision.Revision, bool, error) {},
	})
	l.settle()
	return l, a, b
}

// Two routers whose clocks differ roll back at one time.
func TestConfirmationByTwoClocks(t *testing.T) {
	for _, fast := range []time.Duration{0, 3 * time.Hour, -3 * time.Hour} {
		l, a, b := armed(t)
		b.fast = fast // from now on
		want := func(what string, left time.Duration) {
			t.Helper()
			for _, r := range []*router{a, b} {
				expect(t, fmt.Sprintf("%s, %s fast: left on %s", what, fast, r.name), r.head().ConfirmBy.Sub(r.now()), left)
			}
		}
		expect(t, "confirmed", *a.confirm(t), "")
		l.settle()
		a.Propose(&Proposal{
			Revision: revision.Revision{ConfirmBy: a.now().Add(time.Hour)}, File: []byte("third"),
			Done: func(revision.Revision, bool, error) {},
		})
		l.settle()
		want("made on both", time.Hour)
		l.now = l.now.Add(20 * time.Minute)
		want("later", 40*time.Minute)
		expect(t, "confirmed", *b.confirm(t), "")
		l.settle()

		l.cut()
		a.Propose(&Proposal{
			Revision: revision.Revision{ConfirmBy: a.now().Add(time.Hour)}, File: []byte("fourth"), Alone: true,
			Done: func(revision.Revision, bool, error) {},
		})
		l.now = l.now.Add(20 * time.Minute)
		l.heal()
		l.settle()
		want("caught up with", 40*time.Minute)
		l.cut()
		l.now = l.now.Add(time.Hour) // overdue here, and not yet rolled back
		b.list = b.list[:len(b.list)-1]
		b.file, b.runs = "third", "third"
		l.heal()
		l.settle()
		if !b.waits() {
			t.Error("what is overdue has become what needs no confirmation")
		}
	}
}

func (r *router) waits() bool { return !r.head().ConfirmBy.IsZero() }

func (r *router) confirm(t *testing.T) *string {
	t.Helper()
	if err := r.Confirm(); err != nil {
		t.Fatal(err)
	}
	said := new(string)
	r.Confirmed(func(err error) { *said += fmt.Sprint(err) })
	return said
}

func TestConfirmationOnBoth(t *testing.T) {
	for _, at := range []string{"lb1", "lb2"} {
		l, a, b := armed(t)
		expect(t, "before", fmt.Sprint(a.waits(), b.waits()), "true true")
		r := map[string]*router{"lb1": a, "lb2": b}[at]
		said := r.confirm(t)
		expect(t, "before it is known", *said, "")
		l.settle()
		expect(t, "said", *said, "<nil>")
		expect(t, "after", fmt.Sprint(a.waits(), b.waits()), "false false")
		expect(t, "once more", *r.confirm(t), "<nil>")
	}
}

// The confirmation that did not come through is heard of with the next link.
func TestConfirmationOverALinkThatDies(t *testing.T) {
	l, a, b := armed(t)
	said := a.confirm(t)
	l.cut()
	expect(t, "said", *said, "the link to lb2 went down")
	expect(t, "there", b.waits(), true)
	expect(t, "without a link", *a.confirm(t), "lb2 cannot be told (apart)")
	l.heal()
	l.settle()
	expect(t, "there", b.waits(), false)
}

func TestConfirmationThatCannotBe(t *testing.T) {
	l, a, b := armed(t)
	b.full = errors.New("no space left on device")
	said := a.confirm(t)
	l.settle()
	for range 3 {
		a.Again()
	}
	expect(t, "said", *said, "lb2 does not answer, though the link is up")
	expect(t, "told there", b.told, []string{"confirm revision " + b.head().ID.String() + ", as lb1 did: no space left on device"})
}

func TestFetch(t *testing.T) {
	l, a, b := pair(t)
	said := ""
	fetch := func() { a.Fetch(func(s Shown) { said += fmt.Sprint(string(s.File), s.Err, ".") }) }
	fetch()
	l.heal()
	l.settle()
	b.propose("of lb2", false)
	l.settle()
	fetch()
	fetch()
	l.settle()
	fetch()
	l.cut()
	expect(t, "said", said, "there is no connection to lb2.lb2 was asked already; try again.of lb2<nil>.the link to lb2 went down.")
}

// The same file was copied to both, which had a past each.
func TestCopiedFile(t *testing.T) {
	l, a, b := pair(t)
	a.propose("second", false)
	b.propose("other", true)
	b.propose("second", true)
	l.heal()
	l.settle()
	expect(t, "states", a.State()+" "+b.State(), Same+" "+Same)
	expect(t, "numbers", a.head().Number+b.head().Number, 6)
}

// Whatever happens in whatever order: no accepted change is lost, no edited file is
// overwritten, and both say "same" only with the same file.
func TestRandomHistories(t *testing.T) {
	for seed := range uint64(10000) {
		history(t, seed)
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

func history(t *testing.T, seed uint64) {
	random := rand.New(rand.NewPCG(seed, 1))
	l, a, b := pair(t)
	accepted := map[string]*router{}
	for n := range 120 {
		r := []*router{a, b}[random.IntN(2)]
		switch random.IntN(24) {
		case 0, 1:
			file := fmt.Sprint("file ", n)
			if random.IntN(8) == 0 {
				file = "not on lb2, " + file
			}
			r.Propose(&Proposal{File: []byte(file), Alone: random.IntN(10) == 0, Done: func(_ revision.Revision, _ bool, err error) {
				if err == nil {
					accepted[file] = r
				}
			}})
		case 2:
			l.cut()
		case 3:
			if !l.up {
				l.heal()
			}
		case 4:
			if random.IntN(3) == 0 {
				r.file = fmt.Sprint("by hand ", n)
				r.Changed()
			}
		case 5: // put back
			r.file = r.runs
			r.Changed()
		case 6:
			if random.IntN(3) == 0 {
				r.crash()
			}
		case 7:
			a.active = !a.active
			b.active = !a.active
		case 8:
			r.full = []error{nil, errors.New("no space left on device")}[random.IntN(2)]
		case 9:
			r.Again()
		case 10: // unproposed, as a rollback
			if r.full == nil && !r.Edited() && random.IntN(3) == 0 {
				head, file := r.head(), fmt.Sprint("own ", n)
				own := revision.ID{Number: head.Number + 1, Hash: config.HashOf([]byte(file))}
				if err := r.Commit(revision.Revision{ID: own, Parent: head.Hash}, []byte(file)); err != nil {
					t.Error(err)
				}
				r.Changed()
			}
		default:
			for range random.IntN(6) {
				l.step(r)
			}
		}
		same(t, l)
	}
	finish(t, l, accepted)
}

// same holds both to their word, when all that was sent has arrived.
func same(t *testing.T, l *line) {
	t.Helper()
	if len(l.waiting) == 0 && l.a.State() == Same && l.b.State() == Same && l.a.runs != l.b.runs {
		t.Errorf("both say same, and run %q and %q", l.a.runs, l.b.runs)
	}
}

func finish(t *testing.T, l *line, accepted map[string]*router) {
	t.Helper()
	a, b := l.a, l.b
	l.cut()
	a.full, b.full, a.file, b.file = nil, nil, a.runs, b.runs
	l.heal()
	for range 4 {
		l.settle()
		a.Again()
		b.Again()
	}
	l.settle()
	states := fmt.Sprint(a.State(), " ", b.State())
	if states != "same same" && states != "conflict conflict" {
		// What cannot run on one router, and was made alone, leaves it behind.
		if !strings.Contains(a.runs, "not on lb2") {
			t.Errorf("in the end: %s: %q and %q; told: %q %q", states, a.runs, b.runs, a.told, b.told)
		}
		return
	}
	for file, by := range accepted {
		kept := slices.ContainsFunc(by.list, func(r revision.Revision) bool { return by.files[r.ID] == file })
		if !kept {
			t.Errorf("%s accepted %q and has lost it", by.name, file)
		}
		other := map[*router]*router{a: b, b: a}[by]
		if states == "same same" && !slices.ContainsFunc(other.list, func(r revision.Revision) bool { return other.files[r.ID] == file }) {
			if by.head().ID != other.head().ID {
				t.Errorf("same, with different heads")
			}
			t.Errorf("%q of %s never came to %s, though they agree", file, by.name, other.name)
		}
	}
	if states == "conflict conflict" && !strings.Contains(a.runs, "not on lb2") {
		a.Adopt("lb1", func(err error) {
			if err != nil {
				t.Errorf("adopt: %v", err)
			}
		})
		l.settle()
		if a.State() != Same || a.runs != b.runs {
			t.Errorf("adopted, they are %s: %q and %q", a.State(), a.runs, b.runs)
		}
	}
}
