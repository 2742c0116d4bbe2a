//go:build interop

package interop

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// listFiles is a shell's own way to the files that create_runtime_policy.sh is
// documented to hash: root's, below the entries of the tree that are not about
// the running system, hashed by coreutils. The script itself is not in the
// Python package.
const listFiles = `set -eu
cd "$1"
set -- $(ls -1 | grep -vwE 'sys|run|proc|lost\+found|dev|media|snap|mnt|var|tmp' | grep -vxF "$2")
find "$@" -uid 0 '(' -type f -o -type l -xtype f ')' | while read -r name; do sha256sum "$PWD/$name"; done
`

// TestToolsRuntimeScript: the files that find and sha256sum give, through
// Keylime's converter, are those of our create_runtime_policy.sh.
func TestToolsRuntimeScript(t *testing.T) {
	t.Parallel()
	b := newToolBench(t)
	tree := filepath.Join(t.TempDir(), "tree")
	for _, name := range []string{"usr/bin/a", "usr/lib/deep/er/b", "usr/tmp/c", "usr/.hidden/d", ".top/e", ".f", "top", "run.sh", "my-tmp", "mytmp",
		"snap-x/g", "tmp/h", "var/i", "opt/j", "home/k", "proc/1/l", "lost+found/m", "a+b/n", "dev-tools/o", "develop/p", "usr/with blank/q r"} {
		path := filepath.Join(tree, name)
		must(t, os.MkdirAll(filepath.Dir(path), 0o755))
		must(t, os.WriteFile(path, []byte(name), 0o644))
	}
	for link, target := range map[string]string{"bin": "usr/bin", "usr/bin/link": "a", "usr/bin/broken": "nowhere", "usr/dir": "lib", "toplink": "top"} {
		must(t, os.Symlink(target, filepath.Join(tree, link)))
	}
	asRoot := func(argv ...string) []string {
		if os.Geteuid() != 0 {
			return append([]string{"unshare", "-Ur", "--"}, argv...)
		}
		must(t, os.Chown(filepath.Join(tree, "opt/j"), 1000, 1000))
		return argv
	}
	listed := run(t, time.Minute, b.env, b.theirs, asRoot("sh", "-c", listFiles, "sh", tree, "home")...)
	if listed.code != 0 || strings.Count(listed.out, "\n") < 8 {
		t.Fatalf("%d files: %s", strings.Count(listed.out, "\n"), listed.err)
	}
	must(t, os.WriteFile(filepath.Join(b.theirs, "allow.txt"), []byte(listed.out), 0o644))
	must(t, os.WriteFile(filepath.Join(b.theirs, "exclude.txt"), []byte("/tmp/.*\n"), 0o644))
	if converted := b.real(t, "keylime_convert_runtime_policy", "-a", "allow.txt", "-e", "exclude.txt", "-o", "policy.json"); converted.code != 0 {
		t.Fatal(converted.err)
	}
	link := filepath.Join(b.links, "create_runtime_policy.sh")
	must(t, os.Symlink(b.binary, link))
	ours := run(t, time.Minute, b.env, b.theirs, asRoot(link, "-a", "sha256sum", "-x", "none", "-y", "none", "-z", tree, "-s", "home", "-e", "exclude.txt", "-o", "./ours.json")...)
	if ours.code != 0 {
		t.Fatal(ours.out, ours.err)
	}
	theirs, mine := policyValue(t, filepath.Join(b.theirs, "policy.json")), policyValue(t, filepath.Join(b.theirs, "ours.json"))
	// The kernel writes blanks as underscores, and so do we.
	digests := theirs["digests"].(map[string]any)
	for path, digest := range digests {
		if written := strings.ReplaceAll(path, " ", "_"); written != path {
			digests[written] = digest
			delete(digests, path)
		}
	}
	if diff := cmp.Diff(theirs, mine); diff != "" {
		t.Errorf("-find, sha256sum and Keylime's converter +ours\n%s", diff)
	}
}

// policyValue is a policy without what differs at all times.
func policyValue(t *testing.T, path string) map[string]any {
	t.Helper()
	text, err := os.ReadFile(path)
	must(t, err)
	var value map[string]any
	must(t, json.Unmarshal(text, &value))
	delete(value, "meta")
	return value
}
