package metrics

import (
	_ "embed"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
)

//go:generate go test -run ^TestPage$ -update

const repository = "../../"

var update = flag.Bool("update", false, "write docs/metrics.md")

//go:embed testdata/page.md
var frame string

// TestPage: docs/metrics.md has every metric and every alert, and no others.
func TestPage(t *testing.T) {
	const path = repository + "docs/metrics.md"
	page := strings.NewReplacer("{{families}}\n", familyTable(), "{{alerts}}\n", alertTable(t)).Replace(frame)
	if *update {
		if err := os.WriteFile(path, []byte(page), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(page, string(data)); diff != "" {
		t.Errorf("docs/metrics.md is stale, run: go generate ./control/metrics\n%s", diff)
	}
}

func familyTable() string {
	var b strings.Builder
	b.WriteString("| metric | labels | |\n|---|---|---|\n")
	for _, f := range families {
		kind := map[prometheus.ValueType]string{prometheus.CounterValue: "counter", prometheus.GaugeValue: "gauge"}[f.kind]
		fmt.Fprintf(&b, "| `%s` | %s | %s: %s |\n", f.name, strings.Join(f.labels, ", "), kind, f.help)
	}
	return b.String()
}

func alertTable(t *testing.T) string {
	var b strings.Builder
	b.WriteString("| alert | when |\n|---|---|\n")
	for _, rule := range readRules(t) {
		when := "`" + strings.ReplaceAll(rule.Expr, "|", `\|`) + "`"
		if rule.For != "" {
			when += " for " + rule.For
		}
		fmt.Fprintf(&b, "| %s (%s) | %s |\n", rule.Alert, rule.Labels["severity"], when)
	}
	return b.String()
}
