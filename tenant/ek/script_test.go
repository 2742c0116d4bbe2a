//go:build unix

package ek_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/keylime/keylime-tenant/tenant/ek"
)

// These tests write and run scripts, so they run one after the other: a file
// that another test's child still holds open for writing cannot be run.

// scriptOf writes a shell script into a new working directory.
func scriptOf(t *testing.T, body string) ek.Script {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "check.sh"), []byte("#!/bin/sh\n"+body+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	return ek.Script{Path: "check.sh", WorkDir: dir, Env: []string{"PATH=/usr/bin:/bin"}}
}

func scriptError(t *testing.T, err error) *ek.ScriptError {
	t.Helper()
	var failure *ek.ScriptError
	if !errors.As(err, &failure) {
		t.Fatalf("%T is not a *ScriptError: %v", err, err)
	}
	return failure
}

func TestScriptEnvironment(t *testing.T) {
	s := scriptOf(t, `echo "$0 $#"; pwd; env; echo to stderr >&2`)
	s.Env = append(s.Env, "EXTRA=1", "AGENT_UUID=overridden")
	s.AgentID, s.EKPEM, s.EKTPMB64, s.EKCertB64, s.StoreDir = "agent-1", "-----BEGIN PUBLIC KEY-----\nAA==\n-----END PUBLIC KEY-----\n", "AToA", "MIID", "/store"
	output, err := ek.RunScript(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	dir, err := filepath.EvalSymlinks(s.WorkDir)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{s.Program() + " 0\n", dir + "\n", "\nEXTRA=1\n", "\nAGENT_UUID=agent-1\n", "\nEK=-----BEGIN PUBLIC KEY-----\nAA==\n",
		"\nEK_TPM=AToA\n", "\nEK_CERT=MIID\n", "\nPROVKEYS={}\n", "\nTPM_CERT_STORE=/store\n", "to stderr\n"} {
		if !strings.Contains("\n"+string(output), want) {
			t.Errorf("%q is missing in %q", want, output)
		}
	}
	if strings.Contains(string(output), "overridden") || strings.Contains(string(output), "HOME=") {
		t.Errorf("environment %q", output)
	}
	s.ProvKeysJSON = `{"a": 1}`
	s.Path = filepath.Join(s.WorkDir, s.Path) // absolute
	if output, err := ek.RunScript(t.Context(), s); err != nil || !strings.Contains(string(output), "PROVKEYS={\"a\": 1}\n") {
		t.Errorf("%q, %v", output, err)
	}
}

func TestScriptRefuses(t *testing.T) {
	s := scriptOf(t, `echo no; exit 7`)
	output, err := ek.RunScript(t.Context(), s)
	failure := scriptError(t, err)
	if failure.Kind != ek.ScriptRefused || failure.ExitCode != 7 || string(output) != "no\n" || string(failure.Output) != "no\n" || !strings.Contains(err.Error(), "exit code 7") {
		t.Errorf("%+v, %q", failure, output)
	}
}

func TestScriptNotFound(t *testing.T) {
	s := scriptOf(t, "")
	for _, path := range []string{"none.sh", filepath.Join(s.WorkDir, "none.sh"), "."} {
		s.Path = path
		_, err := ek.RunScript(t.Context(), s)
		if failure := scriptError(t, err); failure.Kind != ek.ScriptNotFound || !strings.Contains(err.Error(), "not found") {
			t.Errorf("%s: %+v", path, failure)
		}
	}
}

func TestScriptNotRun(t *testing.T) {
	s := scriptOf(t, "exit 0")
	if err := os.Chmod(s.Program(), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := ek.RunScript(t.Context(), s)
	if failure := scriptError(t, err); failure.Kind != ek.ScriptNotRun || !errors.Is(err, os.ErrPermission) {
		t.Errorf("%+v", failure)
	}
}

func TestScriptKilled(t *testing.T) {
	_, err := ek.RunScript(t.Context(), scriptOf(t, "kill -9 $$"))
	if failure := scriptError(t, err); failure.Kind != ek.ScriptKilled {
		t.Errorf("%+v", failure)
	}
}

// TestScriptCanceled: the script and its children die with the context.
func TestScriptCanceled(t *testing.T) {
	s := scriptOf(t, `sleep 1000 & echo $! > child; echo started; wait`)
	cause := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	child := filepath.Join(s.WorkDir, "child")
	go func() {
		for { // until the script is surely running
			if text, err := os.ReadFile(child); err == nil && strings.HasSuffix(string(text), "\n") {
				cancel(cause)
				return
			}
			time.Sleep(time.Millisecond)
		}
	}()
	_, err := ek.RunScript(ctx, s)
	if failure := scriptError(t, err); failure.Kind != ek.ScriptCanceled || !errors.Is(err, cause) {
		t.Errorf("%+v", failure)
	}
	text, err := os.ReadFile(child)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	if !gone(pid) {
		t.Errorf("its child %d lives on", pid)
	}
}

// gone says whether a process has ended: it is not there, or a zombie that
// nobody has collected yet. The signal was sent, but may still be on its way.
func gone(pid int) bool {
	for range 1000 {
		if syscall.Kill(pid, 0) != nil {
			return true
		}
		if stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat"); err == nil && strings.Contains(string(stat), ") Z ") {
			return true
		}
		time.Sleep(time.Millisecond)
	}
	return false
}

func TestScriptCanceledBefore(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := ek.RunScript(ctx, scriptOf(t, "exit 0"))
	if failure := scriptError(t, err); failure.Kind != ek.ScriptCanceled || !errors.Is(err, context.Canceled) {
		t.Errorf("%+v", failure)
	}
}

// TestScriptTalks: much output is cut, and does not block the script.
func TestScriptTalks(t *testing.T) {
	output, err := ek.RunScript(t.Context(), scriptOf(t, `head -c 1100000 /dev/zero; exit 0`))
	if err != nil {
		t.Fatal(err)
	}
	const limit = 1 << 20
	if len(output) > limit+100 || !strings.HasSuffix(string(output), "[51424 more bytes are not shown]\n") {
		t.Errorf("%d bytes, ending in %q", len(output), output[max(0, len(output)-50):])
	}
}
