package classic

import (
	"slices"
	"strings"

	"github.com/keylime/keylime-tenant/cmd/internal/argparse"
)

// Wanted is what can stand where a shell completes a word.
type Wanted int

// What can be wanted.
const (
	WantNothing Wanted = iota
	// WantNames: one of the names offered.
	WantNames
	// WantRegistered and WantEnrolled: the id of an agent that the registrar or
	// the verifier knows; WantAgent: of any.
	WantRegistered
	WantEnrolled
	WantAgent
	// WantRuntimePolicy and WantMBPolicy: the name of a stored policy.
	WantRuntimePolicy
	WantMBPolicy
	// WantFormat: a format of results.
	WantFormat
	// WantFile: a file, with one of the endings offered if there are any.
	WantFile
	WantDir
)

// Offer says how a word of a classic call can be completed.
type Offer struct {
	Wanted Wanted
	// Names are for [WantNames], with what they are about.
	Names []Name
	// Endings are for [WantFile].
	Endings []string
	// Word is the part of the word that is completed: what follows "=" in
	// --option=value.
	Word string
	// Given are the options that say which servers to ask, by name in the tree.
	Given map[string]string
}

// Name is an option or verb, and what it is about.
type Name struct{ Name, About string }

// Completes says whether the call that is being typed is one of the classic
// grammar: words are complete, last is not. Where only options have been typed
// that both grammars know, a verb may still follow.
func Completes(words []string, last string) bool {
	if slices.ContainsFunc(words, isCommand) || isCommand(last) {
		return true
	}
	for i := 0; i < len(words); i++ {
		name, _, glued := strings.Cut(words[i], "=")
		switch {
		case !strings.HasPrefix(name, "-"):
			return false
		case name == "-h" || name == "--help" || name == "--version" || isFlag(name):
		case takesValue(name):
			if i++; glued {
				i--
			} else if i == len(words) {
				return false // last is its value
			}
		default:
			return true
		}
	}
	return strings.HasPrefix(last, "-")
}

// Complete says what can stand in place of the last word of a classic call.
// Words that cannot be understood are passed over.
func Complete(words []string, last string) Offer {
	verb, given, open := scan(words)
	offer := Offer{Word: last, Given: given}
	if open == nil && strings.HasPrefix(last, "--") && strings.Contains(last, "=") {
		name, value, _ := strings.Cut(last, "=")
		if open = find(name); open == nil || open.NArgs == argparse.None {
			return offer
		}
		offer.Word = value
	}
	switch {
	case open != nil:
		offer.value(open, verb)
	case strings.HasPrefix(last, "-"):
		offer.Wanted, offer.Names = WantNames, optionNames(verb, last)
	}
	return offer
}

// scan reads complete words: the verb, the servers, and the option whose value
// comes next, nil if there is none.
func scan(words []string) (verb string, given map[string]string, open *option) {
	given = map[string]string{}
	for i := 0; i < len(words); i++ {
		name, value, glued := strings.Cut(words[i], "=")
		if rest, short := strings.CutPrefix(words[i], "-c"); short && rest != "" && !glued && !strings.HasPrefix(words[i], "--") {
			name, value, glued = "-c", rest, true
		}
		o := find(name)
		switch {
		case o == nil || o.NArgs == argparse.None:
			continue
		case glued:
		case i+1 == len(words):
			return verb, given, o
		default:
			i++
			value = words[i]
		}
		switch {
		case o.Dest == "command":
			verb = value
		case o.concerns&(toRegistrar|toVerifier) != 0 && o.concerns != always:
			given[o.flag] = value
		}
	}
	return verb, given, nil
}

// find is the option that a word names, in full or by a beginning that no other
// has, nil if there is none.
func find(name string) *option {
	var found *option
	for _, o := range options() {
		for _, known := range o.Names {
			if known == name {
				return &o
			}
			if len(name) > 2 && strings.HasPrefix(name, "--") && strings.HasPrefix(known, name) && !o.Own {
				if found != nil && found.Dest != o.Dest {
					return nil
				}
				found = &o
			}
		}
	}
	return found
}

// value offers values of an option.
func (o *Offer) value(of *option, verb string) {
	does, known := verbs()[verb]
	if !known {
		does = verbs()["add"]
	}
	switch of.Dest {
	case "command":
		o.Wanted, o.Names = WantNames, verbNames()
	case "agent_uuid":
		switch {
		case does&toVerifier == 0, does&enrols != 0 && does&checks == 0:
			o.Wanted = WantRegistered
		case does&toRegistrar == 0, does&checks != 0:
			o.Wanted = WantEnrolled
		default:
			o.Wanted = WantAgent
		}
	case "runtime_policy_name", "allowlist_name":
		o.Wanted = WantRuntimePolicy
	case "mb_policy_name":
		o.Wanted = WantMBPolicy
	case "output":
		o.Wanted = WantFormat
	case "ca_dir", "incl_dir":
		o.Wanted = WantDir
	case "runtime_policy", "mb_policy":
		o.Wanted, o.Endings = WantFile, []string{"json"}
	case "file", "keyfile", "payload", "allowlist", "ima_exclude", "runtime_policy_sig_key",
		"ima_sign_verification_keys", "ima_sign_verification_key_sigs", "ima_sign_verification_key_sig_keys", "ima_sign_verification_key_sig_url_keys":
		o.Wanted = WantFile
	}
}

// verbNames are the verbs in order, those that have a successor at the end.
func verbNames() []Name {
	var names []Name
	for verb := range verbs() {
		about := ""
		if strings.HasSuffix(verb, "allowlist") {
			about = "DEPRECATED: " + strings.TrimSuffix(verb, "allowlist") + "runtimepolicy"
		}
		names = append(names, Name{verb, about})
	}
	slices.SortFunc(names, func(a, b Name) int {
		if (a.About == "") != (b.About == "") {
			return strings.Compare(a.About, b.About)
		}
		return strings.Compare(a.Name, b.Name)
	})
	return names
}

// optionNames are the options that begin so and concern the verb.
func optionNames(verb, beginning string) []Name {
	does, known := verbs()[verb]
	if !known {
		does = always // the verb may still follow
	}
	var names []Name
	for _, o := range options() {
		concerned := o.concerns&does != 0
		switch o.Dest {
		case "command":
			concerned = verb == ""
		case "agent_uuid":
			concerned = does&needsID != 0
		case "runtime_policy_name", "allowlist_name":
			concerned = does&(namesRuntime|enrols) != 0
		case "mb_policy_name":
			concerned = does&(namesMB|enrols) != 0
		case "supported_version":
			concerned = does&enrols != 0
		}
		for _, name := range o.Names {
			if concerned && strings.HasPrefix(name, beginning) {
				names = append(names, Name{name, about(o.Help)})
			}
		}
	}
	return names
}

// about is the first sentence of a help text.
func about(help string) string {
	if end := strings.Index(help, ". "); end >= 0 && !strings.HasPrefix(help, "DEPRECATED") {
		help = help[:end]
	}
	if strings.HasPrefix(help, "valid commands are") {
		return "the verb; without it: add"
	}
	return help
}
