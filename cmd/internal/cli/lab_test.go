package cli_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/keylime/keylime-tenant/cmd/internal/cli"
	"github.com/keylime/keylime-tenant/tenant/lab"
)

// program starts this test binary as the program, see TestMain.
func program(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), binary)
	cmd.Args = append([]string{"keylime_tenant"}, args...)
	return cmd
}

// awaitLine reads lines until one holds a text.
func awaitLine(t *testing.T, lines *bufio.Scanner, text string) {
	t.Helper()
	var seen []string
	for lines.Scan() {
		if strings.Contains(lines.Text(), text) {
			return
		}
		seen = append(seen, lines.Text())
	}
	t.Fatalf("never printed %q:\n%s", text, strings.Join(seen, "\n"))
}

// TestLabUpEndsWithASignal: Ctrl-C is how a lab ends, so that it is no failure,
// and nothing is left.
func TestLabUpEndsWithASignal(t *testing.T) {
	t.Parallel()
	tmp := t.TempDir()
	cmd := program(t, "lab", "up", "--agents", "1")
	cmd.Env = append(os.Environ(), "TMPDIR="+tmp)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	awaitLine(t, lines, "Ctrl-C ends it")
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, out)
	if err := cmd.Wait(); err != nil {
		t.Errorf("it ended with %v", err)
	}
	if left, err := os.ReadDir(tmp); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// TestLabRunPassesSignalsOn: the command decides what a signal does, and its exit
// code is ours.
func TestLabRunPassesSignalsOn(t *testing.T) {
	t.Parallel()
	tmp := t.TempDir()
	cmd := program(t, "lab", "run", "--agents", "0", "--", "sh", "-c", `trap 'echo trapped; exit 9' TERM; echo ready; while :; do sleep 0.05; done`)
	cmd.Env = append(os.Environ(), "TMPDIR="+tmp)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	awaitLine(t, lines, "ready")
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	awaitLine(t, lines, "trapped")
	var exit *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &exit) || exit.ExitCode() != 9 {
		t.Errorf("it ended with %v", err)
	}
	if left, err := os.ReadDir(tmp); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// TestLabAgent: a single agent registers with any registrar, here that of a lab
// without agents.
func TestLabAgent(t *testing.T) {
	t.Parallel()
	l, err := lab.Up(t.Context(), lab.Options{Agents: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}()
	dir := t.TempDir()
	ekCA := filepath.Join(l.Dir(), "tpm_cert_store", "single.pem")
	args := []string{"keylime_tenant", "lab", "agent", "--dir", dir, "--uuid", "single", "--port", "0", "--registrar", l.RegistrarPlainAddr(),
		"--trusted-client-ca", filepath.Join(l.Dir(), "cv_ca", "cacert.crt"), "--ek-ca", ekCA}
	ctx, cancel := context.WithCancel(t.Context())
	reader, writer := io.Pipe()
	ended := make(chan int, 1)
	go func() {
		ended <- cli.Main(ctx, args, os.Environ(), cli.Streams{In: strings.NewReader(""), Out: writer, Err: io.Discard})
		writer.Close()
	}()
	lines := bufio.NewScanner(reader)
	awaitLine(t, lines, "registered")
	env, err := l.Env(os.Environ(), "")
	if err != nil {
		t.Fatal(err)
	}
	call := func(words ...string) (string, int) {
		var out, errs bytes.Buffer
		code := cli.Main(t.Context(), append([]string{"keylime_tenant"}, words...), env, cli.Streams{In: strings.NewReader(""), Out: &out, Err: &errs})
		return out.String() + errs.String(), code
	}
	if out, code := call("add", "single", "--wait", "attested"); code != 0 {
		t.Errorf("%d %s", code, out)
	}
	if out, code := call("lab", "tamper", "pcr", "23", "--dir", dir); code != 0 || !strings.Contains(out, "agent single") {
		t.Errorf("%d %s", code, out)
	}
	if out, code := call("delete", "single"); code != 0 {
		t.Errorf("%d %s", code, out)
	}
	cancel()
	go func() { _, _ = io.Copy(io.Discard, reader) }()
	select {
	case code := <-ended:
		if code != 0 {
			t.Errorf("exit code %d", code)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("it does not end with its context")
	}
	if out, code := call("lab", "agent"); code != 2 || !strings.Contains(out, "needs --dir") {
		t.Errorf("%d %s", code, out)
	}
}
