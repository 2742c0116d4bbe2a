//go:build unix

package cli_test

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/keylime/keylime-tenant/cmd/internal/cli"
)

// TestInterruptedRead: an interrupt ends a call that waits for a file or for its
// standard input, which the system never would.
func TestInterruptedRead(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	silent := filepath.Join(dir, "silent") // nobody writes to it
	if err := syscall.Mkfifo(silent, 0o600); err != nil {
		t.Fatal(err)
	}
	idle := filepath.Join(dir, "idle") // somebody could, and does not
	if err := syscall.Mkfifo(idle, 0o600); err != nil {
		t.Fatal(err)
	}
	holder, err := os.OpenFile(idle, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer holder.Close()
	for _, args := range []string{
		"payload inspect SILENT", "payload inspect IDLE", "payload inspect -",
		"policy show SILENT", "policy show IDLE", "policy show -",
		"policy check SILENT SILENT", "create_mb_refstate IDLE out.json",
	} {
		in, typing := io.Pipe()
		defer typing.Close()
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(20*time.Millisecond, cancel)
		words := strings.Fields(strings.NewReplacer("SILENT", silent, "IDLE", idle).Replace("keylime_tenant " + args))
		var out, errOut bytes.Buffer
		code := cli.Main(ctx, words, []string{"KEYLIME_DIR=" + dir}, cli.Streams{In: in, Out: &out, Err: &errOut})
		if want := 130; code != want && !strings.HasPrefix(args, "create_mb_refstate") || code == 0 {
			t.Errorf("%s: exit code %d, %s", args, code, errOut.String())
		}
	}
}
