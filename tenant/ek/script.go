package ek

import (
	"context"
	"errors"
)

// Script is an operator's script that is asked about an EK (PROTOCOL.md 9).
type Script struct {
	// Path is the script; a relative one is looked up in WorkDir.
	Path string
	// WorkDir is the working directory.
	WorkDir string
	// Env is the environment, "NAME=value"; the variables below are added.
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

func (e *ScriptError) Error() string { return "EK script " + e.Path + ": " + string(e.Kind) }

func (e *ScriptError) Unwrap() error { return e.Err }

// RunScript runs the script and waits for it.
func RunScript(ctx context.Context, s Script) (output []byte, err error) {
	return nil, errors.New("not written yet")
}
