// Package count writes numbers of things as people do.
package count

import "fmt"

// Of is "1 flow" or "2 flows". The noun is one whose plural is an s more.
func Of[N ~int | ~uint64](n N, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
