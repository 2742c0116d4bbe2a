package cli

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/keylime/keylime-tenant/client"
	"github.com/keylime/keylime-tenant/cmd/internal/render"
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

func newVersionCmd(a *app) *cobra.Command {
	return a.command("version", "the version of this program", "Print the version of this program, and the versions of the Keylime API that it speaks.",
		"", noArgs, func(context.Context, []string) error { return a.show(newVersionResult()) })
}

// versionResult is what version shows.
type versionResult struct {
	Version string   `json:"version"`
	API     []string `json:"api_versions"`
	Go      string   `json:"go"`
	System  string   `json:"platform"`
}

func newVersionResult() versionResult {
	r := versionResult{Version: programVersion(), Go: runtime.Version(), System: runtime.GOOS + "/" + runtime.GOARCH}
	for _, v := range client.Supported() {
		r.API = append(r.API, v.String())
	}
	return r
}

// Screen is one line, as people expect of --version.
func (r versionResult) Screen() render.Screen {
	return render.Screen{{Text: fmt.Sprintf("%s %s (Keylime API %s to %s, %s, %s)", programName, r.Version, r.API[0], r.API[len(r.API)-1], r.Go, r.System)}}
}

// Names is the version alone.
func (r versionResult) Names() []string { return []string{r.Version} }
