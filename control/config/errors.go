package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// An Error is one fault of a file. Line 0: the file as a whole.
type Error struct {
	Line, Column int
	Path         string // vips[0].reals[1]
	Message      string
	Remedy       string // may be empty
}

// Errors are all faults of a file, sorted by place.
type Errors struct {
	File string
	List []Error
}

func (e *Errors) Error() string {
	var b strings.Builder
	plural := "s"
	if len(e.List) == 1 {
		plural = ""
	}
	fmt.Fprintf(&b, "%s: %d error%s, nothing was changed", e.File, len(e.List), plural)
	for _, fault := range e.List {
		place := ""
		if fault.Line > 0 {
			place = fmt.Sprintf("%d:%d", fault.Line, fault.Column)
		}
		fmt.Fprintf(&b, "\n%-7s", place)
		if fault.Path != "" {
			b.WriteString(fault.Path + ": ")
		}
		b.WriteString(fault.Message)
		if fault.Remedy != "" {
			fmt.Fprintf(&b, "\n       %s", fault.Remedy)
		}
	}
	return b.String()
}

func (e *Errors) sorted() *Errors {
	slices.SortStableFunc(e.List, func(a, b Error) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return e
}

// didYouMean names the key that was probably meant.
func didYouMean(key string, keys []string) string {
	best, least := "", 3
	for _, k := range keys {
		if d := distance(key, k); d < least {
			best, least = k, d
		}
	}
	if best == "" {
		slices.Sort(keys)
		return "; known keys: " + strings.Join(keys, ", ")
	}
	return fmt.Sprintf("; did you mean %q?", best)
}

// distance counts the edits from a to b; two swapped letters are one.
func distance(a, b string) int {
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			rows[i][j] = min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(a)][len(b)]
}
