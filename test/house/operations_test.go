package house

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// docs/operations.md says of every finding of the doctor and of every reason that is no
// matter of course what it means, and of no others.
func TestOperationsPage(t *testing.T) {
	for _, test := range []struct{ section, file, word string }{
		{"### Findings", "../../control/doctor/findings.go", `api\.Severity\w+, (?:Kind: )?"(\w+)"`},
		{"### Reasons", "../../bpf/abi.h", `__u64 ((?:answer|drop|flow)_\w+);`},
	} {
		_, section, found := strings.Cut(read(t, "../../docs/operations.md"), test.section)
		if !found {
			t.Errorf("docs/operations.md has no section %q", test.section)
		}
		section, _, _ = strings.Cut(section, "\n#")
		var told []string
		for _, row := range regexp.MustCompile("(?m)^\\| (`.*?) \\|").FindAllStringSubmatch(section, -1) {
			told = append(told, words(row[1], "`(\\w+)`")...)
		}
		slices.Sort(told)
		if diff := cmp.Diff(words(read(t, test.file), test.word), told); diff != "" {
			t.Errorf("docs/operations.md, %s (-%s +the page):\n%s", test.section, test.file, diff)
		}
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// words are what a pattern finds in a text, sorted, each once.
func words(text, pattern string) (list []string) {
	for _, match := range regexp.MustCompile(pattern).FindAllStringSubmatch(text, -1) {
		list = append(list, match[1])
	}
	slices.Sort(list)
	return slices.Compact(list)
}
