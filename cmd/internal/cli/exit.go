package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/keylime/keylime-tenant/client"
	"github.com/keylime/keylime-tenant/payload/ca"
	"github.com/keylime/keylime-tenant/tenant"
	"github.com/keylime/keylime-tenant/tenant/ek"
	"github.com/keylime/keylime-tenant/tenant/quote"
)

// The exit codes of the modern contract (DESIGN.md section 2). The help topic
// exit-codes is made from exitCodes below.
const (
	exitOK          = 0   // done, and every check asked for passed
	exitFailure     = 1   // other failure
	exitUsage       = 2   // usage or configuration
	exitRefused     = 3   // attestation refused
	exitAuth        = 4   // TLS or authorisation
	exitNotFound    = 5   // not found
	exitUnreachable = 6   // unreachable or timed out
	exitConflict    = 7   // conflict
	exitPartial     = 8   // part of a bulk run failed
	exitInterrupted = 130 // interrupted
)

// exitCodes describes each code; the order is the order of the help topic.
func exitCodes() []struct {
	Code    int
	Meaning string
} {
	return []struct {
		Code    int
		Meaning string
	}{
		{exitOK, "done, and every check asked for passed"},
		{exitFailure, "other failure"},
		{exitUsage, "usage or configuration"},
		{exitRefused, "attestation refused: bad quote, EK not trusted, agent in a failed state"},
		{exitAuth, "TLS or authorisation"},
		{exitNotFound, "not found"},
		{exitUnreachable, "unreachable or timed out"},
		{exitConflict, "conflict: exists already, or in use"},
		{exitPartial, "part of a bulk run failed"},
		{exitInterrupted, "interrupted"},
	}
}

// exitCodesText is the body of the help topic exit-codes.
func exitCodesText() string {
	var b strings.Builder
	b.WriteString("Exit codes of every command:\n\n")
	for _, c := range exitCodes() {
		fmt.Fprintf(&b, "  %3d  %s\n", c.Code, c.Meaning)
	}
	b.WriteString("\nIn the classic grammar (keylime_tenant -c VERB) the old codes hold: 0 done, 1 failed,\n2 usage. With -o beside -c the codes above hold.\n")
	return b.String()
}

// statusError carries an exit code that is not a failure of ours to explain:
// a child's exit code, for example. Its message, if any, is printed as usual.
type statusError struct {
	Code int
	Err  error
}

func (e *statusError) Error() string {
	if e.Err == nil {
		return fmt.Sprintf("exit code %d", e.Code)
	}
	return e.Err.Error()
}

func (e *statusError) Unwrap() error { return e.Err }

// exitCode decides the code of the modern contract for an error. It is the
// only place that does, and looks at kinds of errors, never at their text.
func exitCode(err error) int {
	if err == nil {
		return exitOK
	}
	var (
		status   *statusError
		usage    *usageError
		invalid  *tenant.InvalidError
		refused  *tenant.RefusedError
		file     *client.FileError
		input    *inputError
		document *fileError
		quoteErr *quote.VerificationError
		ekErr    *ek.VerificationError
		script   *ek.ScriptError
	)
	switch {
	case errors.As(err, &status):
		return status.Code
	case errors.Is(err, errInterrupted), errors.Is(err, context.Canceled):
		return exitInterrupted
	case errors.As(err, &usage), errors.As(err, &invalid), errors.As(err, &file), errors.As(err, &input), errors.As(err, &document), isConfigError(err):
		return exitUsage
	case errors.As(err, &script) && (script.Kind == ek.ScriptNotFound || script.Kind == ek.ScriptNotRun):
		return exitUsage // the agent has not been refused: nobody was asked
	case errors.As(err, &quoteErr), errors.As(err, &ekErr), errors.As(err, &refused):
		return exitRefused
	case errors.Is(err, ca.ErrName), errors.Is(err, ca.ErrNoPassword):
		return exitUsage
	case errors.Is(err, tenant.ErrNotFound), errors.Is(err, ca.ErrNoCA), errors.Is(err, ca.ErrNotFound):
		return exitNotFound
	case errors.Is(err, tenant.ErrConflict):
		return exitConflict
	case errors.Is(err, tenant.ErrTimedOut), errors.Is(err, context.DeadlineExceeded):
		return exitUnreachable
	case errors.Is(err, tenant.ErrPartial):
		return exitPartial
	}
	return exitOfKind(client.KindOf(err))
}

// exitOfKind is the code for a failure of the transport.
func exitOfKind(kind client.Kind) int {
	switch kind {
	case client.Unreachable, client.TimedOut:
		return exitUnreachable
	case client.ServerUntrusted, client.ClientRefused, client.Unauthorized:
		return exitAuth
	case client.NotFound:
		return exitNotFound
	case client.Conflict:
		return exitConflict
	case client.Canceled:
		return exitInterrupted
	default:
		return exitFailure
	}
}
