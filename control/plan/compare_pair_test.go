package plan

import (
	"os"
	"reflect"
	"testing"
)

// No field of a pair or of a router can change without being told.
func TestEveryFieldOfAPairIsCompared(t *testing.T) {
	full, err := os.ReadFile("../config/testdata/full.yaml") // none has its default
	if err != nil {
		t.Fatal(err)
	}
	old, next := parse(t, string(full)), parse(t, string(full))
	for _, value := range []reflect.Value{reflect.ValueOf(&next.Pair).Elem(), reflect.ValueOf(&next.Routers[0]).Elem()} {
		for field := range value.Type().Fields() {
			if field.Name == "Name" {
				continue // a router's: another one
			}
			was := reflect.ValueOf(value.FieldByName(field.Name).Interface())
			value.FieldByName(field.Name).SetZero()
			if changes := Compare(old, next); len(changes) != 1 || len(changes[0].Details) > 1 {
				t.Errorf("%s: %v", field.Name, changes)
			}
			value.FieldByName(field.Name).Set(was)
		}
	}
}

func TestAPairComesAndGoes(t *testing.T) {
	const pair = `
routers:
  - {name: lb1, addresses: {lan: 10.0.0.2}, priority: 150, key: "sha256:1111111111111111111111111111111111111111111111111111111111111111"}
  - {name: lb2, addresses: {lan: 10.0.0.3}, key: "sha256:2222222222222222222222222222222222222222222222222222222222222222"}
pair: {vrid: 7}
`
	alone, paired := parse(t, base), parse(t, base+pair)
	if got := Summary(Compare(alone, paired)); got != "3 settings added" {
		t.Errorf("it comes: %s", got)
	}
	if got := Summary(Compare(paired, alone)); got != "3 settings removed" {
		t.Errorf("it goes: %s", got)
	}
	quick := parse(t, base+pair)
	quick.Pair.VRID, quick.Pair.Fence.Agent = 8, "fence_dummy"
	if got := Summary(Compare(paired, quick)); got != "pair: vrid 7 -> 8, fence changed" {
		t.Errorf("it changes: %s", got)
	}
}
