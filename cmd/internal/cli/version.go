package cli

import (
	"fmt"
	"runtime/debug"
)

// version is set by the linker (-X); it is never written to by the program.
var version string

// programVersion is what --version prints: the tag of the build, else what
// the Go tool chain recorded about the module and its commit.
func programVersion() string {
	if version != "" {
		return version
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	revision, modified := "", ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision" && len(s.Value) >= 12:
			revision = s.Value[:12]
		case s.Key == "vcs.modified" && s.Value == "true":
			modified = "-dirty"
		}
	}
	if revision == "" {
		return "devel"
	}
	return fmt.Sprintf("devel-%s%s", revision, modified)
}
