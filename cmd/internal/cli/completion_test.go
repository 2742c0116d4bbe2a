package cli_test

import (
	"bytes"
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/keylime/keylime-tenant/cmd/internal/cli"
	"github.com/keylime/keylime-tenant/completions"
)

// call runs one call in this process, with an environment of its own.
func call(t *testing.T, env []string, args ...string) (out, errs string, code int) {
	t.Helper()
	var o, e bytes.Buffer
	code = cli.Main(context.Background(), append([]string{"keylime_tenant"}, args...), env, cli.Streams{In: strings.NewReader(""), Out: &o, Err: &e})
	return o.String(), e.String(), code
}

// TestCompletionsCurrent: the generated files are those that the tree makes
// now, and the package embeds all of them.
func TestCompletionsCurrent(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if _, errs, code := call(t, nil, "completion", "--all", dir); code != 0 {
		t.Fatalf("exit code %d: %s", code, errs)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 4 {
		t.Errorf("%d files, want 4", len(entries))
	}
	for _, entry := range entries {
		made, err := os.ReadFile(filepath.Join(dir, entry.Name()))
		if err != nil {
			t.Fatal(err)
		}
		kept, err := fs.ReadFile(completions.Files, entry.Name())
		if err != nil {
			t.Error(err)
			continue
		}
		if !bytes.Equal(made, kept) {
			t.Errorf("completions/%s is not current: run `make generate`", entry.Name())
		}
	}
}
