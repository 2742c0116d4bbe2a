package cli

import (
	"context"
	"encoding/json"
	"strings"

	"github.com/spf13/cobra"

	"github.com/keylime/keylime-tenant/cmd/internal/render"
	"github.com/keylime/keylime-tenant/payload/ca"
	"github.com/keylime/keylime-tenant/tenant"
)

// resultForm is a document that the program writes with -o json.
type resultForm struct {
	// name is the verb, or what tells several documents of a verb apart.
	name  string
	about string
	// id is the schema that the document names itself; where it names none it
	// is made of name, with the number of a version.
	id    string
	value any
}

// schemaVersion is the version of documents that do not name a schema of their
// own. A change that breaks readers makes it another; new members do not.
const schemaVersion = "v1"

func (f resultForm) schemaID() string {
	if f.id != "" {
		return f.id
	}
	return programName + "/" + strings.ReplaceAll(f.name, " ", "-") + "/" + schemaVersion
}

// resultForms are all documents, in the order of the help.
func resultForms() []resultForm {
	forms := []resultForm{
		{"status", "all agents, or several", tenant.SchemaFleet, tenant.FleetResult{}},
		{"status ID", "everything about one agent", tenant.SchemaAgent, tenant.AgentStatus{}},
		{"status line", "a line of status -o jsonl", render.SchemaLine, render.HealthLine{}},
		{"watch line", "a line of watch -o jsonl", schemaWatch, watchLine{}},
		{"wait", "what was waited for is there", tenant.SchemaWait, tenant.WaitResult{}},
		{"add", "an agent is enrolled; also of update", "", tenant.AddResult{}},
		{"delete", "the attestation of an agent has ended", "", tenant.DeleteResult{}},
		{"explain", "why attestation fails", "", explanation{}},
		{"replay", "what recorded attestations prove", tenant.SchemaReplay, replayResult{}},
		{"oneshot", "whether a machine that is not enrolled satisfies policies", tenant.SchemaOneshot, oneshotResult{}},
		{"reactivate", "an agent is attested anew; also of stop", "", tenant.SwitchResult{}},
		{"reglist", "the ids the registrar knows; also of cvlist", "", tenant.AgentList{}},
		{"regstatus", "the registrar's record", "", tenant.RegistrarAgent{}},
		{"regdelete", "the registrar has forgotten an agent", "", tenant.RegistrarDeleteResult{}},
		{"cvstatus", "the verifier's record", "", tenant.VerifierAgent{}},
		{"bulkinfo", "the verifier's records of all agents", "", tenant.BulkResult{}},
		{"stored policy", "of the verbs on policies stored on the verifier", "", tenant.PolicyResult{}},
		{"policy check", "whether a machine satisfies policies", "", checkResult{}},
		{"policy diff", "how two policies differ", "", diffResult{}},
		{"policy lint", "what a policy leaves open", "", lintResult{}},
		{"policy verify", "the signature of a policy", "", verifyResult{}},
		{"payload inspect", "what an agent will do with a payload", "", inspectionResult{}},
		{"payload encrypt", "where keys and payload are", "", encryptedResult{}},
		{"ca list", "the certificates of a CA", "", certificateList{}},
		{"ca create", "a certificate; also of ca package and ca revoke", "", certificateResult(ca.Certificate{})},
		{"ca init", "a CA", "", caResult{}},
		{"ek verify", "whether a TPM is vouched for", "", ekVerdict{}},
		{"ek trust add", "certificates that were taken into the store; also of ek trust remove", "", trustAdded{}},
		{"ek trust list", "the certificates of the store", "", trustList{}},
		{"ek pin", "an EK that was pinned", "", pinResult{}},
		{"ek pin list", "the EKs that are pinned", "", pinList{}},
		{"doctor", "what is wrong with the set-up", "", doctorResult{}},
		{"config show", "the configuration", "", configResult{}},
		{"config upgrade", "files of another version, and what changes", "", upgradeResult{}},
		{"version", "the version of the program", "", versionResult{}},
		{"lab up", "a lab", "", labResult{}},
		{"error", "a failure, of every verb", "", render.Failure()},
	}
	return forms
}

func newSchemaCmd(a *app) *cobra.Command {
	cmd := a.command("schema [VERB]", "the JSON Schema of results", `Print the JSON Schema (draft 2020-12) of what a verb writes with -o json, or list what
there is. -o yaml has the same members.

A document keeps its schema: a change that breaks readers gets another number, new members
do not. Those about health name their schema in the member "schema".`,
		`keylime_tenant schema
keylime_tenant schema status
keylime_tenant schema policy check`,
		cobra.ArbitraryArgs, func(_ context.Context, args []string) error {
			if len(args) == 0 {
				return a.show(schemaList{resultForms()})
			}
			name := strings.Join(args, " ")
			var names []string
			for _, f := range resultForms() {
				if f.name == name || f.schemaID() == name {
					return a.show(schemaResult{schemaOf(f)})
				}
				names = append(names, f.name)
			}
			u := usagef("there is no schema of %q", name)
			if near := nearest(name, names); near != "" {
				return u.hint("did you mean %s schema %s?", programName, near)
			}
			return u.hint("%s schema lists them", programName)
		})
	for _, f := range resultForms() {
		if !strings.Contains(f.name, " ") {
			cmd.ValidArgs = append(cmd.ValidArgs, f.name+"\t"+f.about)
		}
	}
	return cmd
}

// schemaResult is one schema; it is JSON whatever the format.
type schemaResult struct{ text json.RawMessage }

// MarshalJSON is the schema itself.
func (r schemaResult) MarshalJSON() ([]byte, error) { return r.text, nil }

// Screen is the same, indented.
func (r schemaResult) Screen() render.Screen {
	text, err := json.MarshalIndent(r.text, "", "  ")
	if err != nil { // of text that is no JSON, and it is
		text = r.text
	}
	return render.Screen{{Text: string(text)}}
}

// schemaList are all schemas.
type schemaList struct{ forms []resultForm }

// MarshalJSON lists them by name.
func (l schemaList) MarshalJSON() ([]byte, error) {
	type row struct {
		Name   string `json:"name"`
		Schema string `json:"schema"`
		About  string `json:"about"`
	}
	rows := []row{}
	for _, f := range l.forms {
		rows = append(rows, row{f.name, f.schemaID(), f.about})
	}
	return json.Marshal(map[string][]row{"schemas": rows})
}

// Names are what can be asked for.
func (l schemaList) Names() []string {
	var names []string
	for _, f := range l.forms {
		names = append(names, f.name)
	}
	return names
}

// Screen lists them as a table.
func (l schemaList) Screen() render.Screen {
	t := render.Table{Header: []string{"RESULT OF", "SCHEMA", "WHAT IT IS"}}
	for _, f := range l.forms {
		t.Rows = append(t.Rows, []string{f.name, f.schemaID(), f.about})
	}
	return render.Screen{{Table: &t}}
}
