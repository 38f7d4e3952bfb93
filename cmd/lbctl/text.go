package main

import (
	"regexp"
	"slices"
	"strings"
)

// columns is how wide what people read is.
const columns = 80

// wrap breaks a text into lines of a width, between words.
func wrap(text string, width int) []string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(text) {
		if line != "" && len(line)+1+len(word) > width {
			lines, line = append(lines, line), ""
		}
		line = strings.TrimPrefix(line+" "+word, " ")
	}
	return append(lines, line)
}

// hanging is a mark and a text, in lines that begin below the text.
func hanging(mark, text string) string {
	var b strings.Builder
	for _, line := range wrap(text, columns-len(mark)) {
		b.WriteString(strings.TrimRight(mark+line, " ") + "\n")
		mark = strings.Repeat(" ", len(mark))
	}
	return b.String()
}

// place begins a line about a fault of a file.
var place = regexp.MustCompile(`^\d+:\d+ +`)

// fit breaks the lines of a message that are too long. Those that begin with a space are
// quotations, with marks below them.
func fit(message string) string {
	var b strings.Builder
	for line := range strings.Lines(message) {
		line = strings.TrimSuffix(line, "\n")
		if len(line) <= columns || strings.HasPrefix(line, " ") {
			b.WriteString(line + "\n")
			continue
		}
		mark := place.FindString(line)
		first, rest, _ := strings.Cut(hanging(mark, line[len(mark):]), "\n")
		b.WriteString(first + "\n")
		if mark == "" {
			mark = "  "
		}
		if rest = strings.TrimSpace(rest); rest != "" {
			b.WriteString(hanging(strings.Repeat(" ", len(mark)), rest))
		}
	}
	return b.String()
}

// row is a row of a table: its head, in so many columns, and the rest. A head that has no
// room there has a line of its own.
func row(head string, width int, rest string) string {
	head, rest = strings.TrimRight(head, " \n"), strings.TrimRight(rest, " ")
	last := head[strings.LastIndex(head, "\n")+1:]
	if len(last) < width {
		return head + strings.Repeat(" ", width-len(last)) + rest + "\n"
	}
	return head + "\n" + strings.Repeat(" ", width) + rest + "\n"
}

// beside is hanging, if the mark leaves room for every word; else the text is below, in so
// many columns.
func beside(mark string, indent int, text string) string {
	room := columns - len(mark)
	if room >= 20 && !slices.ContainsFunc(strings.Fields(text), func(word string) bool { return len(word) > room }) {
		return hanging(mark, text)
	}
	if len(mark) > columns {
		mark = strings.TrimSuffix(fit(mark), "\n")
	}
	return strings.TrimRight(mark, " ") + "\n" + hanging(strings.Repeat(" ", indent), text)
}
