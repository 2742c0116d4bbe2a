package ek

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"
)

// outputLimit is how much of a script's output is kept, in bytes.
const outputLimit = 1 << 20

// scriptGrace is how long a script that has ended may still have children that
// hold its output open, before they are cut off.
const scriptGrace = 2 * time.Second

// Script is an operator's script that is asked about an EK (PROTOCOL.md 9).
type Script struct {
	// Path is the script; a relative one is looked up in WorkDir.
	Path string
	// WorkDir is the working directory.
	WorkDir string
	// Env is the environment, "NAME=value"; the variables below are added, and
	// win.
	Env []string
	// AgentID is AGENT_UUID.
	AgentID string
	// EKPEM is EK, EKTPMB64 is EK_TPM, EKCertB64 is EK_CERT ("" if none).
	EKPEM, EKTPMB64, EKCertB64 string
	// ProvKeysJSON is PROVKEYS; "" means "{}".
	ProvKeysJSON string
	// StoreDir is TPM_CERT_STORE.
	StoreDir string
}

// Program is the path of the script as it is run.
func (s Script) Program() string {
	if filepath.IsAbs(s.Path) {
		return s.Path
	}
	return filepath.Join(s.WorkDir, s.Path)
}

// environment is the script's environment.
func (s Script) environment() []string {
	keys := s.ProvKeysJSON
	if keys == "" {
		keys = "{}"
	}
	return append(slices.Clone(s.Env),
		"AGENT_UUID="+s.AgentID,
		"EK="+s.EKPEM,
		"EK_TPM="+s.EKTPMB64,
		"EK_CERT="+s.EKCertB64,
		"PROVKEYS="+keys,
		"TPM_CERT_STORE="+s.StoreDir,
	)
}

// ScriptKind says how a script failed.
type ScriptKind string

// The ways in which a script fails.
const (
	ScriptNotFound ScriptKind = "not-found" // there is no such file
	ScriptNotRun   ScriptKind = "not-run"   // it could not be started
	ScriptRefused  ScriptKind = "refused"   // it ended with another exit code than 0
	ScriptKilled   ScriptKind = "killed"    // a signal ended it
	ScriptCanceled ScriptKind = "canceled"  // the context ended first
)

// ScriptError says why a script does not vouch for an EK.
type ScriptError struct {
	Kind ScriptKind
	// Path is the script as it was run.
	Path string
	// ExitCode is the script's, for ScriptRefused.
	ExitCode int
	// Output is what it wrote, on both streams.
	Output []byte
	Err    error
}

func (e *ScriptError) Error() string {
	text := "EK script " + e.Path
	switch e.Kind {
	case ScriptNotFound:
		return text + " not found: make sure its path is correct"
	case ScriptRefused:
		return fmt.Sprintf("%s refuses the EK (exit code %d)", text, e.ExitCode)
	case ScriptNotRun:
		return fmt.Sprintf("%s cannot be run: %v", text, e.Err)
	}
	return fmt.Sprintf("%s was ended: %v", text, e.Err)
}

func (e *ScriptError) Unwrap() error { return e.Err }

// RunScript runs the script, without a shell and without arguments, in its
// working directory, and waits for it. It returns what the script wrote on
// both streams, up to 1 MiB, whatever the outcome; exit code 0 vouches for the
// EK, anything else is a *[ScriptError]. When the context ends, the script and
// all processes it has started are killed (on systems other than Unix the
// script alone).
func RunScript(ctx context.Context, s Script) (output []byte, err error) {
	path := s.Program()
	fail := func(kind ScriptKind, err error) ([]byte, error) {
		return output, &ScriptError{Kind: kind, Path: path, Output: output, Err: err}
	}
	if info, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) || err == nil && !info.Mode().IsRegular() {
		return fail(ScriptNotFound, err)
	}
	written := &limited{}
	cmd := exec.CommandContext(ctx, path)
	cmd.Dir = s.WorkDir
	cmd.Env = s.environment()
	cmd.Stdout, cmd.Stderr = written, written
	cmd.WaitDelay = scriptGrace
	killGroup(cmd)
	if err := cmd.Start(); err != nil {
		if ctx.Err() != nil {
			return fail(ScriptCanceled, context.Cause(ctx))
		}
		return fail(ScriptNotRun, err)
	}
	err = cmd.Wait()
	output = written.bytes()
	if err == nil || (errors.Is(err, exec.ErrWaitDelay) && ctx.Err() == nil) {
		return output, nil
	}
	if ctx.Err() != nil {
		return fail(ScriptCanceled, context.Cause(ctx))
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.Exited() {
		return output, &ScriptError{Kind: ScriptRefused, Path: path, ExitCode: exit.ExitCode(), Output: output, Err: err}
	}
	return fail(ScriptKilled, err)
}

// limited keeps the first outputLimit bytes written to it and takes the rest,
// so that a talkative script does not block.
type limited struct {
	kept bytes.Buffer
	lost int
}

func (l *limited) Write(p []byte) (int, error) {
	n := min(len(p), outputLimit-l.kept.Len())
	l.kept.Write(p[:n])
	l.lost += len(p) - n
	return len(p), nil
}

// bytes is what was kept, with a line that says so if there was more.
func (l *limited) bytes() []byte {
	if l.lost > 0 {
		return fmt.Appendf(l.kept.Bytes(), "\n[%d more bytes are not shown]\n", l.lost)
	}
	return l.kept.Bytes()
}
