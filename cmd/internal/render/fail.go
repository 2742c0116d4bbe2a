package render

import (
	"errors"
	"strings"

	"github.com/keylime/keylime-tenant/client"
	"github.com/keylime/keylime-tenant/tenant"
	"github.com/keylime/keylime-tenant/tenant/ek"
	"github.com/keylime/keylime-tenant/tenant/quote"
)

// failure is an error in the words that a caller gets, and its JSON form.
type failure struct {
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
	// ExitCode is the exit code of the call.
	ExitCode int `json:"exit_code,omitempty"`
	// Kind is the kind of mistake or refusal, in one word.
	Kind string `json:"kind,omitempty"`
	// Check names the check that refused.
	Check string `json:"check,omitempty"`
	// HTTP and Server belong to an answer of a server.
	HTTP   int    `json:"http_status,omitempty"`
	Server string `json:"server,omitempty"`

	Undone []string          `json:"undone,omitempty"`
	Left   []tenant.Leftover `json:"left,omitempty"`
}

// Hinter is an error that knows what to do about it.
type Hinter interface {
	error
	// HintText is a sentence or a command; may be empty.
	HintText() string
}

// explain reads an error: the message is that of the whole chain, the hint the
// outermost one that is not empty.
func explain(err error) failure {
	f := failure{Message: safeLines(messageOf(err)), Hint: HintOf(err)}
	var undone *tenant.UndoneError
	if errors.As(err, &undone) {
		f.Undone, f.Left = undone.Undone, undone.Left
	}
	var server *client.Error
	if errors.As(err, &server) {
		f.HTTP, f.Server, f.Kind = server.HTTP, server.Server, server.Kind.String()
	}
	var invalid *tenant.InvalidError
	if errors.As(err, &invalid) {
		f.Kind = string(invalid.Kind)
	}
	var file *client.FileError
	if errors.As(err, &file) {
		f.Kind = "tls-file"
	}
	var badQuote *quote.VerificationError
	if errors.As(err, &badQuote) {
		f.Kind, f.Check = "quote", string(badQuote.Check)
	}
	var badEK *ek.VerificationError
	if errors.As(err, &badEK) {
		f.Kind, f.Check = "ek", string(badEK.Check)
	}
	var script *ek.ScriptError
	if errors.As(err, &script) {
		f.Kind, f.Check = "ek", "script"
		if said := strings.TrimSpace(string(script.Output)); said != "" {
			f.Message += "\n" + Safe(script.Path) + " says: " + safeLines(said)
		}
	}
	return f
}

// messageOf is the text of an error. A step whose cause names its object anyway
// does not name it twice.
func messageOf(err error) string {
	if undone, ok := err.(*tenant.UndoneError); ok {
		return messageOf(undone.Err)
	}
	if advised, ok := err.(Hinter); ok {
		// One that adds nothing but its hint has the words of what it wraps.
		if inner := errors.Unwrap(advised); inner != nil && inner.Error() == advised.Error() {
			return messageOf(inner)
		}
	}
	step, ok := err.(*tenant.StepError)
	if !ok {
		return err.Error()
	}
	cause := messageOf(step.Err)
	if step.ID == "" || strings.Contains(cause, step.ID) {
		return string(step.Step) + ": " + cause
	}
	return step.ID + ": " + string(step.Step) + ": " + cause
}

// HintOf is the outermost hint of a chain of errors, "" if there is none.
func HintOf(err error) string {
	if err == nil {
		return ""
	}
	hint := ""
	switch e := err.(type) {
	case Hinter:
		hint = e.HintText()
	case *tenant.InvalidError:
		hint = e.Hint
	case *tenant.StepError:
		hint = e.Hint
	case *tenant.NotFoundError:
		hint = e.Hint
	case *tenant.ConflictError:
		hint = e.Hint
	case *tenant.RefusedError:
		hint = e.Hint
	case *tenant.WaitError:
		hint = e.Hint
	case *client.Error:
		hint = e.Hint
	}
	if hint = strings.TrimSpace(hint); hint != "" {
		return hint
	}
	switch e := err.(type) {
	case interface{ Unwrap() error }:
		return HintOf(e.Unwrap())
	case interface{ Unwrap() []error }:
		for _, inner := range e.Unwrap() {
			if hint := HintOf(inner); hint != "" {
				return hint
			}
		}
	}
	return ""
}
