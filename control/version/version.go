// Package version is which Tarpon this is.
package version

import "runtime/debug"

// Number is set by the build: -ldflags "-X .../control/version.Number=1.2.3".
var Number string

// String is the number, or what the build knows of its commit.
func String() string {
	if Number != "" {
		return Number
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" && len(s.Value) >= 12 {
				return "development " + s.Value[:12]
			}
		}
	}
	return "development"
}
