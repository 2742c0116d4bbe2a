// Package classic rewrites a call in the grammar of the Python tenant,
// keylime_tenant -c VERB ..., into a call of the Cobra tree, so that there is
// only one implementation of every verb.
//
// It knows the option table, the checks between options, and which options
// concern which verb; it reads no file and knows nothing else of Keylime.
package classic

import (
	"slices"
	"strings"
	"unicode"

	"github.com/keylime/keylime-tenant/cmd/internal/argparse"
)

// defaultID is the agent that is meant when -u is not given.
const defaultID = "d432fbb3-d2f1-4a97-9ef7-75bd81c00000"

// Call is a classic call in the words of the tree.
type Call struct {
	// Verb is the verb as it was given.
	Verb string
	// Argv is what the tree is given: verb, agent id or policy name, options as
	// --name=value. Options that do not concern the verb are left out. An
	// argument that begins with a dash stands at the end, behind "--".
	Argv []string
	// Output is the format that -o asks for, "" if it was not given: the call
	// then speaks the modern contract. It is in Argv too.
	Output string
	// DefaultID says that no agent id was given and the default one is used.
	DefaultID bool
	// Push says that --push-model was given, whatever the verb; Argv has the
	// option for add and update only.
	Push bool
	// Warnings are texts of WARNING records that precede the configuration's,
	// Notices of those that follow them. Those on deprecated ways to give a
	// policy are not among them: package tenant tells these.
	Warnings, Notices []string
}

// Is says whether a command line, without the program's name, uses the classic
// grammar: it begins with an option, and it names its verb by -c or no verb at
// all. Options that the tree takes in front of a verb do not count, nor does
// asking for help or the version alone.
func Is(args []string) bool {
	if len(args) == 0 || !strings.HasPrefix(args[0], "-") {
		return false
	}
	if args[0] == "--" {
		return true
	}
	words := args
	if end := slices.Index(args, "--"); end >= 0 {
		words = args[:end]
	}
	if slices.ContainsFunc(words, isCommand) {
		return true
	}
	help := false
	for i := 0; i < len(words); i++ {
		word := words[i]
		if !strings.HasPrefix(word, "-") || word == "-" {
			return false // a verb behind options of the tree
		}
		name, _, glued := strings.Cut(word, "=")
		switch {
		case name == "-h" || name == "--help" || name == "--version" || isFlag(name):
			help = true
		case takesValue(name):
			// Both grammars have these: what counts is whether a verb follows.
			// -o and --timeout are ours alone.
			help = help || name == "-o" || name == "--output" || name == "--timeout"
			if !glued {
				i++
			}
		default:
			return true
		}
	}
	return !help
}

// isCommand says whether a word is -c, in any way in which it can be written.
func isCommand(word string) bool {
	name, _, _ := strings.Cut(word, "=")
	return strings.HasPrefix(word, "-c") || len(name) > len("--c") && strings.HasPrefix("--command", name)
}

// isFlag says whether the tree takes an option without value before its verb.
func isFlag(name string) bool {
	switch name {
	case "--show-secrets", "--check-hostname", "--insecure-skip-server-verification", "--quiet", "-q", "--verbose", "--debug", "--no-color":
		return true
	}
	return false
}

// takesValue says whether the tree takes an option with a value before its verb.
func takesValue(name string) bool {
	switch name {
	case "-r", "--registrarhost", "-rp", "--registrarport", "-v", "--cv", "-vp", "--cvport", "-vi", "--cvid", "-o", "--output", "--timeout":
		return true
	}
	return false
}

// Rewrite turns a classic command line, without the program's name, into a call
// of the tree. Errors: *[argparse.UsageError] (exit code 2), *[argparse.Help]
// (exit code 0), [*VerbError] and [*IDError] (exit code 1; the Call holds the
// options that concern every verb then).
func Rewrite(args []string) (Call, error) {
	p := parser()
	if err := glued(p, args); err != nil {
		return Call{}, err
	}
	v, err := p.Parse(args)
	if err != nil {
		return Call{}, err
	}
	c := Call{Verb: "add", Push: v.Has("push_model")}
	if verb, given := v.Get("command"); given {
		c.Verb = verb
	}
	c.Output, _ = v.Get("output")
	version := c.version(v)
	if text := crossCheck(c.Verb, v); text != "" {
		return Call{}, p.Fail(text)
	}
	does, known := verbs()[c.Verb]
	if !known {
		return c, &VerbError{Verb: c.Verb}
	}
	id, given := v.Get("agent_uuid")
	if given && does&needsID == 0 && !isID(id) {
		return c, &IDError{ID: id}
	}
	c.Argv = []string{c.Verb}
	var argument string
	switch {
	case does&needsID != 0:
		argument = id
		if c.DefaultID = !given; c.DefaultID {
			argument = defaultID
		}
	case does&namesMB != 0:
		argument, _ = v.Get("mb_policy_name")
	case does&namesRuntime != 0:
		argument = c.runtimeName(does, v)
	}
	dashed := strings.HasPrefix(argument, "-")
	if argument != "" && !dashed || does&needsID != 0 && argument == "" {
		c.Argv = append(c.Argv, argument)
	}
	c.flags(does, v, version)
	if dashed {
		c.Argv = append(c.Argv, "--", argument)
	}
	return c, nil
}

// isID says what the Python tenant takes for an agent id, whatever the verb.
func isID(id string) bool {
	return id != "" && !strings.ContainsFunc(id, func(r rune) bool {
		return r != '.' && r != '-' && r != '_' && !unicode.IsLetter(r) && !unicode.IsNumber(r)
	})
}

// glued refuses values glued to short options of several letters: the Python
// tenant reads -tp9002 as -t p9002, which nobody means (TENANT-CLI.md D).
func glued(p *argparse.Parser, args []string) error {
	for _, word := range args {
		if word == "--" {
			break
		}
		for _, name := range []string{"-tp", "-rp", "-vp", "-vi"} {
			value, found := strings.CutPrefix(word, name)
			if found && value != "" && strings.Trim(value, "0123456789") == "" {
				return p.Fail("argument " + word[:2] + ": " + word + " would mean " + word[:2] + " " + word[2:] + "; write " + name + " " + value)
			}
		}
	}
	return nil
}

// version folds --supported-version into --agent-api-version.
func (c *Call) version(v argparse.Values) string {
	version, _ := v.Get("agent_api_version")
	old, given := v.Get("supported_version")
	if !given {
		return version
	}
	c.Warnings = append(c.Warnings, "--supported-version is deprecated. Use --agent-api-version instead.")
	if v.Has("agent_api_version") {
		return version
	}
	return old
}

// crossCheck is the text for options that do not go together, "" if they do. It
// holds for every verb (TENANT-CLI.md A.1); --exclude alone is allowed (D).
func crossCheck(verb string, v argparse.Values) string {
	given := func(dest string) bool { value, _ := v.Get(dest); return value != "" }
	policy, policyURL, list, listURL := given("runtime_policy"), given("runtime_policy_url"), given("allowlist"), given("allowlist_url")
	switch {
	case (verb == "addallowlist" || verb == "addruntimepolicy") && !policy && !policyURL && !list && !listURL:
		return "--allowlist or --runtime_policy is required to add a runtime policy"
	case list && listURL:
		return "--allowlist and --allowlist-url cannot be specified at the same time"
	case policy && policyURL:
		return "--runtime_policy and --runtime_policy-url cannot be specified at the same time"
	case policyURL && !given("runtime_policy_checksum"):
		return "--runtime_policy-url must have --runtime_policy-checksum to verifier integrity"
	case given("runtime_policy_checksum") && !policyURL && !policy:
		return "--runtime_policy-checksum must have either --runtime_policy or --runtime_policy-url"
	}
	return ""
}

// The ends of the warnings about lists of the old form.
const listsEnd = "Keylime has implemented support for a unified policy format, and will no longer accept separate allow/exclude lists in the near future." +
	"A conversion script to upgrade legacy allow/exclude lists to the new format is available under keylime/cmd/convert_runtime_policy.py."

// runtimeName is the name of the runtime policy that a verb is about. Its old
// option wins where a policy is shown or deleted, and loses where it is stored.
func (c *Call) runtimeName(does concern, v argparse.Values) string {
	switch c.Verb {
	case "addallowlist", "showallowlist", "deleteallowlist":
		successor := strings.TrimSuffix(c.Verb, "allowlist") + "runtimepolicy"
		c.Notices = append(c.Notices, "WARNING: -c "+c.Verb+" is deprecated. Use -c "+successor+" instead."+listsEnd)
	}
	name, _ := v.Get("runtime_policy_name")
	old, _ := v.Get("allowlist_name")
	if does&storesRuntime != 0 && name == "" && old != "" {
		c.Notices = append(c.Notices, "WARNING: --allowlist-name is deprecated. Use --runtime-policy-name instead."+listsEnd)
	}
	if old != "" && (name == "" || does&storesRuntime == 0) {
		return old
	}
	return name
}

// flags hands the options on that concern the verb.
func (c *Call) flags(does concern, v argparse.Values, version string) {
	done := map[string]bool{}
	for _, o := range options() {
		if o.concerns&does == 0 || done[o.flag] {
			continue
		}
		done[o.flag] = true
		values := v.All(o.Dest)
		switch {
		case o.Dest == "agent_api_version" && version != "":
			values = []string{version}
		case o.Dest == "runtime_policy_name" && len(values) == 0:
			values = v.All("allowlist_name")
		}
		for _, value := range values {
			if o.NArgs == argparse.None {
				c.Argv = append(c.Argv, "--"+o.flag)
				continue
			}
			c.Argv = append(c.Argv, "--"+o.flag+"="+value)
		}
	}
}

// VerbError: there is no such verb. Exit code 1, as upstream.
type VerbError struct{ Verb string }

func (e *VerbError) Error() string { return "there is no verb " + e.Verb }

// Classic is the text of the Python tenant.
func (e *VerbError) Classic() string { return "Invalid command specified: " + e.Verb }

// IDError: an agent id was given to a verb that does not use it, and has
// characters that the Python tenant refuses even so. Exit code 1, as upstream.
type IDError struct{ ID string }

func (e *IDError) Error() string {
	return "the agent id holds other characters than letters, digits, '_', '-' and '.'"
}

// Classic is the text of the Python tenant.
func (e *IDError) Classic() string {
	return "The agent ID set via agent uuid parameter use invalid characters"
}
