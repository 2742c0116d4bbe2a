// Package classic rewrites a call in the grammar of the Python tenant
// (keylime_tenant -c VERB ...) into one of the Cobra tree.
package classic

import "errors"

// Call is a classic call in the words of the tree.
type Call struct {
	// Verb is the verb, also when the tree knows it by another name.
	Verb string
	// Argv is what the tree is given: verb, agent id or policy name, options as
	// --name=value. Options that do not concern the verb are left out.
	Argv []string
	// Output is the format that -o asks for, "" if it was not given: the call
	// then speaks the modern contract.
	Output string
	// DefaultID says that no agent id was given and the default one is used.
	DefaultID bool
	// Push says that --push-model was given, whatever the verb.
	Push bool
	// Warnings are texts of WARNING records, in order.
	Warnings []string
}

// Is says whether a command line, without the program's name, uses the classic
// grammar.
func Is(args []string) bool { return false }

// Rewrite turns a classic command line, without the program's name, into a call
// of the tree. Errors: *argparse.UsageError, *argparse.Help, [*VerbError],
// [*IDError].
func Rewrite(args []string) (Call, error) { return Call{}, errors.New("not yet") }

// VerbError: there is no such verb. Exit code 1, as upstream.
type VerbError struct{ Verb string }

func (e *VerbError) Error() string { return "invalid command specified: " + e.Verb }

// Classic is the text of the Python tenant.
func (e *VerbError) Classic() string { return "Invalid command specified: " + e.Verb }

// IDError: the agent id of a verb that does not use it has characters that the
// Python tenant refuses. Exit code 1, as upstream.
type IDError struct{ ID string }

func (e *IDError) Error() string { return "agent id: only letters, digits, '_', '-' and '.' are allowed" }

// Classic is the text of the Python tenant.
func (e *IDError) Classic() string {
	return "The agent ID set via agent uuid parameter use invalid characters"
}
