package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// An Error is one fault of a file: where, what, and what to do about it.
type Error struct {
	Place          // zero: the file as a whole
	Path    string // vips[0].reals[1]; may be empty
	Message string
	Remedy  string // may be empty
	Excerpt string // the file's line, where it should be shown; may be empty
}

// Errors are all faults of a file, sorted by place; of very many the first.
type Errors struct {
	File string
	Note string // what goes on instead, such as: revision 41 goes on
	List []Error
	More int // that are not in the list
}

// maxFaults is how many faults are told: a file that is no configuration at all
// has as many as it has lines.
const maxFaults = 100

func (e *Errors) Error() string {
	var b strings.Builder
	plural := "s"
	if len(e.List)+e.More == 1 {
		plural = ""
	}
	fmt.Fprintf(&b, "%s: %d error%s, nothing was changed", e.File, len(e.List)+e.More, plural)
	if e.Note != "" {
		fmt.Fprintf(&b, " (%s)", e.Note)
	}
	b.WriteString("\n")
	for _, fault := range e.List {
		b.WriteString("\n" + fault.String())
	}
	if e.More > 0 {
		fmt.Fprintf(&b, "\n       and %d more", e.More)
	}
	return b.String()
}

// String is a fault in one or more lines, its place first.
func (e Error) String() string {
	const margin = "       "
	var b strings.Builder
	place := ""
	if e.Line > 0 {
		place = fmt.Sprintf("%d:%d", e.Line, e.Column)
	}
	fmt.Fprintf(&b, "%-*s ", len(margin)-1, place)
	if e.Path != "" {
		b.WriteString(e.Path + ": ")
	}
	b.WriteString(e.Message)
	switch {
	case e.Excerpt != "":
		fmt.Fprintf(&b, "\n%s%s\n%s%*s^  %s", margin, e.Excerpt, margin, e.Column-1, "", e.Remedy)
	case e.Remedy != "":
		b.WriteString("\n" + margin + e.Remedy)
	}
	return b.String()
}

// report gathers faults, so that all of a file's are told at once.
type report struct {
	list   []Error
	more   int
	places map[string]Place
}

// fail adds a fault of a path, at its place or at that of what has it.
func (r *report) fail(path, remedy, format string, args ...any) {
	place, ok := r.places[path]
	for outer := path; !ok && outer != ""; {
		outer = outer[:max(strings.LastIndexAny(outer, ".["), 0)]
		place, ok = r.places[outer]
	}
	r.failAt(place, path, remedy, format, args...)
}

func (r *report) failAt(place Place, path, remedy, format string, args ...any) {
	r.add(Error{Place: place, Path: path, Message: fmt.Sprintf(format, args...), Remedy: remedy})
}

func (r *report) add(fault Error) {
	if len(r.list) == maxFaults {
		r.more++
		return
	}
	r.list = append(r.list, fault)
}

// errors is nil without a fault.
func (r *report) errors(file string) error {
	if len(r.list) == 0 {
		return nil
	}
	slices.SortStableFunc(r.list, func(a, b Error) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return &Errors{File: file, List: r.list, More: r.more}
}
