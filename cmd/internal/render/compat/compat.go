// Package compat speaks as the Python tenant does: log records and printed
// lines (TENANT-CLI.md A.11, A.12 and F).
package compat

import (
	"io"

	"github.com/keylime/keylime-tenant/cmd/internal/pylog"
	"github.com/keylime/keylime-tenant/tenant"
)

// Options say where to write and what the records name.
type Options struct {
	Log      *pylog.Set
	Out, Err io.Writer
	// ShowSecrets prints V instead of "[redacted]".
	ShowSecrets bool
	// Hosts and ports as configured; VerifierID is that of --cvid.
	RegistrarHost, RegistrarPort string
	VerifierHost, VerifierPort   string
	VerifierID                   string
	// Push says that --push-model was given: operational_state is not shown.
	Push bool
}

// Renderer is the presenter of the classic grammar.
type Renderer struct{}

// New makes a renderer.
func New(o Options) *Renderer { return &Renderer{} }

// Event writes the records of an event.
func (r *Renderer) Event(e tenant.Event) {}

// Result ends a call that has succeeded.
func (r *Renderer) Result(verb string, result any) error { return nil }

// Fail writes the records of a failure.
func (r *Renderer) Fail(verb string, err error) {}
