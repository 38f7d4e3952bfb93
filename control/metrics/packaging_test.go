package metrics

import (
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"
)

// A rule is an alert of packaging/prometheus.
type rule struct {
	Alert, Expr, For    string
	Labels, Annotations map[string]string
}

func readRules(t *testing.T) (rules []rule) {
	t.Helper()
	data, err := os.ReadFile(repository + "packaging/prometheus/tarpon.rules.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Groups []struct {
			Name  string
			Rules []rule
		}
	}
	if err := yaml.Unmarshal(data, &file); err != nil {
		t.Fatal(err)
	}
	for _, group := range file.Groups {
		rules = append(rules, group.Rules...)
	}
	return rules
}

// exported are the labels of every metric that a scrape has.
func exported(t *testing.T) map[string][]string {
	t.Helper()
	gathered, err := newRegistry(shop()).Gather()
	if err != nil {
		t.Fatal(err)
	}
	byScrape := []string{"instance", "job"}
	labels := map[string][]string{"up": byScrape}
	for _, family := range gathered {
		labels[family.GetName()] = byScrape
	}
	for _, f := range families {
		labels[f.name] = append(f.labels, byScrape...)
	}
	return labels
}

var (
	metricOf   = regexp.MustCompile(`\b((?:tarpon|process|go)_\w+|up\b)(?:\{([^}]*)\})?`)
	matcherOf  = regexp.MustCompile(`(\w+)\s*(?:=~|!~|!=|=)\s*"(?:[^"\\]|\\.)*"`)
	groupingOf = regexp.MustCompile(`\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)`)
)

// checkQuery says what of a query no scrape has.
func checkQuery(query string, exported map[string][]string) (faults []string) {
	metrics := metricOf.FindAllStringSubmatch(query, -1)
	if len(metrics) == 0 {
		return []string{"no metric of ours"}
	}
	var all []string
	for _, m := range metrics {
		labels, ok := exported[m[1]]
		if !ok {
			faults = append(faults, "no metric "+m[1])
		}
		for _, label := range matcherOf.FindAllStringSubmatch(m[2], -1) {
			if ok && !slices.Contains(labels, label[1]) {
				faults = append(faults, m[1]+" has no label "+label[1])
			}
		}
		all = append(all, labels...)
	}
	for _, grouping := range groupingOf.FindAllStringSubmatch(query, -1) {
		for label := range strings.SplitSeq(grouping[1], ",") {
			if label = strings.TrimSpace(label); !slices.Contains(all, label) {
				faults = append(faults, "no label "+label+" to group by")
			}
		}
	}
	return faults
}

// TestCheckQuery: the tests below would see what is wrong.
func TestCheckQuery(t *testing.T) {
	exported := exported(t)
	for query, want := range map[string]string{
		`sum by (vip) (rate(tarpon_real_packets_total{direction="in", vip=~"$vip"}[1m]))`: "",
		`up{job="tarpon"} == 0`:                    "",
		`rate(process_cpu_seconds_total[1m])`:      "",
		`tarpon_real_ups == 0`:                     "no metric tarpon_real_ups",
		`tarpon_real_up{vips="x"}`:                 "tarpon_real_up has no label vips",
		`sum by (vip, leg) (tarpon_real_up)`:       "no label leg to group by",
		`sum(rate(process_cpu_minutes_total[1m]))`: "no metric process_cpu_minutes_total",
		`time() > 0`: "no metric of ours",
		`tarpon_leg_up{leg="a"} + tarpon_vip_up{b="c"}`: "no metric tarpon_vip_up",
	} {
		if got := strings.Join(checkQuery(query, exported), "; "); got != want {
			t.Errorf("%s: %q, want %q", query, got, want)
		}
	}
}

var templateLabel = regexp.MustCompile(`\$labels\.(\w+)`)

func TestAlerts(t *testing.T) {
	exported := exported(t)
	seen := map[string]bool{}
	for _, rule := range readRules(t) {
		for _, fault := range checkQuery(rule.Expr, exported) {
			t.Errorf("%s: %s", rule.Alert, fault)
		}
		severity := rule.Labels["severity"]
		if rule.Alert == "" || seen[rule.Alert] || severity != "critical" && severity != "warning" ||
			rule.Annotations["summary"] == "" || rule.Annotations["description"] == "" {
			t.Errorf("not whole, or twice: %+v", rule)
		}
		seen[rule.Alert] = true
		var labels []string
		for _, m := range metricOf.FindAllStringSubmatch(rule.Expr, -1) {
			labels = append(labels, exported[m[1]]...)
		}
		for _, text := range rule.Annotations {
			for _, label := range templateLabel.FindAllStringSubmatch(text, -1) {
				if !slices.Contains(labels, label[1]) {
					t.Errorf("%s: %q: there is no label %s", rule.Alert, text, label[1])
				}
			}
		}
	}
	if len(seen) < 7 {
		t.Errorf("only %d alerts", len(seen))
	}
}

func TestDashboard(t *testing.T) {
	data, err := os.ReadFile(repository + "packaging/grafana/tarpon.json")
	if err != nil {
		t.Fatal(err)
	}
	var board struct {
		Panels []struct {
			ID      int
			Type    string
			Title   string
			Targets []struct{ Expr, LegendFormat string }
		}
		Templating struct {
			List []struct{ Name, Type, Definition string }
		}
	}
	if err := json.Unmarshal(data, &board); err != nil {
		t.Fatal(err)
	}
	exported := exported(t)
	ids := map[int]bool{}
	for _, panel := range board.Panels {
		if ids[panel.ID] {
			t.Errorf("%s: id %d is another panel's", panel.Title, panel.ID)
		}
		ids[panel.ID] = true
		if len(panel.Targets) == 0 && panel.Type != "row" {
			t.Errorf("%s: shows nothing", panel.Title)
		}
		for _, target := range panel.Targets {
			for _, fault := range checkQuery(target.Expr, exported) {
				t.Errorf("%s: %s: %s", panel.Title, target.Expr, fault)
			}
		}
	}
	for _, variable := range board.Templating.List {
		if variable.Type == "query" {
			for _, fault := range checkQuery(variable.Definition, exported) {
				t.Errorf("variable %s: %s", variable.Name, fault)
			}
		}
	}
	if len(board.Panels) == 0 {
		t.Error("there are no panels")
	}
}
