package e2e

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// A step is what a page of docs/ has its reader do: a command with what it prints, or a
// file.
type step struct {
	line   int // of the page
	where  string
	prompt string

	command string
	exit    int
	shown   []string
	instead bool // it is done in another way

	file, content string
}

var (
	fence    = regexp.MustCompile("^```(.*)$")
	prompt   = regexp.MustCompile(`^((\w+)[#$] )(.*)$`)
	exitCode = regexp.MustCompile(`# exit code (\d+)$`)
)

// stepsOf reads a page's fences:
//
//	```console                  commands, each after WHERE# or WHERE$, and what they print
//	```console not in the lab   the same, done in another way where they cannot be run
//	```yaml                     a file that is named in the first line
//	```text                     to be looked at
//
// A command goes on in the next line after a \. One that ends with the comment "exit code
// N" does so; all others end with 0.
func stepsOf(page string) (steps []step, err error) {
	kind, inside, number := "", false, 0
	for line := range strings.Lines(page) {
		number++
		line = strings.TrimRight(line, "\n")
		if mark := fence.FindStringSubmatch(line); mark != nil {
			if inside = !inside; inside {
				kind = mark[1]
			}
			continue
		}
		if !inside {
			continue
		}
		last := len(steps) - 1
		switch kind {
		case "console", "console not in the lab":
			typed := prompt.FindStringSubmatch(line)
			if last >= 0 && strings.HasSuffix(steps[last].command, "\\") {
				steps[last].command += "\n" + line
				continue
			}
			if typed == nil {
				steps[last].shown = append(steps[last].shown, line)
				continue
			}
			s := step{line: number, prompt: typed[1], where: typed[2], command: typed[3], instead: kind != "console"}
			if code := exitCode.FindStringSubmatch(s.command); code != nil {
				s.exit, _ = strconv.Atoi(code[1])
			}
			steps = append(steps, s)
		case "yaml":
			if name, ok := strings.CutPrefix(line, "# /"); ok {
				steps = append(steps, step{line: number, file: "/" + name})
				last++
			}
			steps[last].content += line + "\n"
		case "text":
		default:
			return nil, fmt.Errorf("line %d: nobody knows what to do with a fence of %q", number, kind)
		}
	}
	return steps, nil
}

// alike compares what is shown with what is printed, word by word. A line of ... stands
// for any lines. Numbers, times and MACs are others every time, and one is as good as
// another of its kind; all other words are as shown, and addresses are such.
func alike(shown, printed []string) bool {
	for len(shown) > 0 && shown[0] != "..." {
		if len(printed) == 0 || shape(shown[0]) != shape(printed[0]) {
			return false
		}
		shown, printed = shown[1:], printed[1:]
	}
	if len(shown) == 0 {
		return len(printed) == 0
	}
	for skip := range len(printed) + 1 {
		if alike(shown[1:], printed[skip:]) {
			return true
		}
	}
	return false
}

var kinds = []struct {
	name string
	of   *regexp.Regexp
}{
	{"NUMBER", regexp.MustCompile(`^(\d+|[0-9a-f]{6})$`)}, // six digits of a hash may be one
	{"DATE", regexp.MustCompile(`^\d{4}-\d\d-\d\d$`)},
	{"CLOCK", regexp.MustCompile(`^\d\d:\d\d(:\d\d)?$`)},
	{"TIME", regexp.MustCompile(`^([\d.]+(h|m|s|ms))+$`)},
	{"MONTH", regexp.MustCompile(`^(Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)$`)},
	{"PIN", regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)},
	{"MAC", regexp.MustCompile(`^([0-9a-f]{2}:){5}[0-9a-f]{2}$`)},
}

// commit is what a build from a checkout says besides, if git lets it know.
var commit = regexp.MustCompile(`\b(development) [0-9a-f]{12}\b`)

// shape is a line with the kinds of the words that are never the same.
func shape(line string) string {
	words := strings.Fields(commit.ReplaceAllString(line, "$1"))
	for i, word := range words {
		bare := strings.Trim(word, "(),;:")
		for _, kind := range kinds {
			if kind.of.MatchString(bare) {
				words[i] = strings.Replace(word, bare, kind.name, 1)
				break
			}
		}
	}
	return strings.Join(words, " ")
}

func TestAlike(t *testing.T) {
	for _, test := range []struct {
		shown, printed string
		want           bool
	}{
		{"", "", true},
		{"", "a word", false},
		{"a word", "", false},
		{"a  word", "\ta word ", true},
		{"a word", "a wort", false},
		{"12 of 60 flows", "3 of 4567 flows", true},
		{"12 of 60 flows", "3 of 4567 packets", false},
		{"12 of 60 flows", "no of 60 flows", false},
		{"weight 2 -> 4", "weight 2 -> 4;", false},
		{"10.0.0.11:80 up", "10.0.0.11:80 up", true},
		{"10.0.0.11:80 up", "10.0.0.12:80 up", false},
		{"10.0.0.11:80 up", "10.0.0.11:80 down", false},
		{"Nov 25 03:12:04 real up", "Jan 1 23:59:59 real up", true},
		{"2026-11-25 18:52", "2027-01-01 03:04", true},
		{"4 2b7cc7 file", "4 123456 file", true},
		{"up 2s, revision", "up 1h30m0s, revision", true},
		{"up 2s, revision", "up 2, revision", false},
		{"(0 root)", "(1000 root)", true},
		{"(0 root)", "(0 ann)", false},
		{"development runs", "development 0123456789ab runs", true},
		{"development runs", "1.2.3 runs", false},
		{"a hop fa:66:2f:49:b2:d0", "a hop 00:00:00:00:00:01", true},
		{"a\n...\nd", "a\nb\nc\nd", true},
		{"a\n...\nd", "a\nd", true},
		{"a\n...\nd", "a\nb\nc", false},
		{"...", "a\nb", true},
		{"...\nb", "a", false},
		{"a\n...", "b", false},
	} {
		if got := alike(lines(test.shown), lines(test.printed)); got != test.want {
			t.Errorf("shown %q, printed %q: %v, want %v", test.shown, test.printed, got, test.want)
		}
	}
}

func TestStepsOf(t *testing.T) {
	steps, err := stepsOf("Text\n```text\nlb1# no\n```\n```console\nlb1# a | b  # exit code 3\none\n\ntwo\nclient$ c\n```\n" +
		"```console not in the lab\nlb1# d\n```\n```yaml\n# /etc/f\nk: v\n```\n")
	want := "[{6 lb1 lb1#  a | b  # exit code 3 3 [one  two] false  } {10 client client$  c 0 [] false  } " +
		"{13 lb1 lb1#  d 0 [] true  } {16    0 [] false /etc/f # /etc/f\nk: v\n}]"
	if got := fmt.Sprint(steps); err != nil || got != want {
		t.Errorf("%s, %v, want\n%s", got, err, want)
	}
	if _, err := stepsOf("```sh\nrm -r /\n```\n"); err == nil {
		t.Error("a fence of another kind is passed over")
	}
}

func lines(text string) []string {
	if text = strings.TrimRight(text, "\n"); text == "" {
		return nil
	}
	return strings.Split(text, "\n")
}
