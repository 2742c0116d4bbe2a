package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/keylime/keylime-tenant/policy/runtime"
	"github.com/keylime/keylime-tenant/tenant"
)

// explainFlags are the options of explain.
type explainFlags struct {
	mb, runtime    string
	evidence, save string
	keys           []string
}

// recordedList is another name of an IMA list, in recorded evidence.
const recordedList = "ima_ascii.txt"

func newExplainCmd(a *app) *cobra.Command {
	var f explainFlags
	cmd := a.command("explain ID", "why the attestation of an agent fails, and what would accept it",
		`Say why the attestation of an agent fails, or that it is well.

A verifier keeps of a failure the name of one check. explain asks the agent for a quote,
verifies it with the key that the registrar holds, and judges what it shows by tpm_policy
and by the policies, as a verifier does, but with everything that differs: the boot event,
the file, what was expected and found, and the command that lets a policy accept it. What
the verifier has seen comes first. Nothing is changed, on the servers or on the agent.

The verifier shows a policy that was given when the agent was enrolled, and the only one
that it keeps by name; of several it does not show which is meant: give the file then. An
agent that cannot be asked is judged by evidence that was fetched from its machine.

An agent of the push model is judged by what it has shown the verifier (API 3.0): by its
newest attestation or, while the verifier holds a failure against it, the last that failed.
The quote is verified here all the same; when it was asked for, the verifier alone knows.
Of the IMA list such an agent shows only what is new each time: explain puts the parts
together as far as the verifier still has them, and says what is not proven.

Exit code: 0 if the agent is attested or is still to be and nothing was found, 3 if what it
shows is refused or the verifier has given it up, 5 if the verifier does not know it, 6 if
it is not reached or no good quote has come for too long.`,
		`keylime_tenant explain d432fbb3-d2f1-4a97-9ef7-75bd81c00000
keylime_tenant explain ID --save evidence
keylime_tenant explain ID --mb-policy refstate.json -o json | jq -r '.findings[].check'
ssh web-1 sudo cat /sys/kernel/security/tpm0/binary_bios_measurements > web-1/binary_bios_measurements
keylime_tenant explain ID --evidence web-1`,
		agentID, func(ctx context.Context, args []string) error { return a.explain(ctx, &f, args[0]) })
	o := options{flags: cmd.Flags(), section: "Policies"}
	o.text(&f.mb, "mb-policy", "", "FILE", "judge the boot by this measured-boot policy, instead of what the verifier holds")
	o.text(&f.runtime, "runtime-policy", "", "FILE", "judge files by this runtime policy, instead of what the verifier holds")
	o.list(&f.keys, "verification-key", "FILE", "key for signatures of files, instead of those of the policy (repeatable)")
	o.section = "Evidence"
	o.text(&f.evidence, "evidence", "", "DIR", "do not ask the agent: DIR has its boot log ("+tenant.FileBootLog+") or IMA list ("+tenant.FileIMAList+"), and perhaps "+tenant.FileQuote)
	o.text(&f.save, "save", "", "DIR", "keep evidence and policies in DIR, which must be new or empty, for the commands that explain prints")
	cmd.SuggestFor = []string{"why", "diagnose", "reason"}
	cmd.ValidArgsFunction = a.completer(a.enrolledIDs)
	return cmd
}

func (a *app) explain(ctx context.Context, f *explainFlags, id string) error {
	request, err := a.explainRequest(f, id)
	if err != nil {
		return err
	}
	t, err := a.tenant(ctx)
	if err != nil {
		return err
	}
	found, err := t.Explain(ctx, request)
	if err != nil {
		return err
	}
	result := &explanation{Explanation: found, columns: a.streams.Width}
	if f.save != "" {
		if result.Saved, err = a.saveEvidence(f.save, found.Files); err != nil {
			return err
		}
	} else {
		result.offerSaving(f, request.Dir)
	}
	if err := a.show(result); err != nil {
		return err
	}
	return found.Failure()
}

// explainRequest reads the files that the options name.
func (a *app) explainRequest(f *explainFlags, id string) (r tenant.ExplainRequest, err error) {
	r = tenant.ExplainRequest{ID: id, Dir: f.save}
	if r.Dir == "" {
		r.Dir = "evidence-" + id
	} else if err := emptyDirectory(f.save); err != nil {
		return r, err
	}
	if r.MBPolicy, err = a.input("--mb-policy", f.mb); err != nil {
		return r, err
	}
	if r.RuntimePolicy, err = a.input("--runtime-policy", f.runtime); err != nil {
		return r, err
	}
	if len(f.keys) > 0 {
		if r.Keyring, err = runtime.KeyringFromFiles(f.keys...); err != nil {
			return r, usagef("--verification-key: %w", err)
		}
	}
	if f.evidence != "" {
		r.Evidence, err = a.readEvidence(f.evidence)
	}
	return r, err
}

// emptyDirectory refuses a directory that has something in it: what was saved
// before may have been worked on since.
func emptyDirectory(dir string) error {
	entries, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return usagef("--save: %w", err)
	case len(entries) > 0:
		return usagef("--save %s: the directory is not empty", dir).hint("name a new one: nothing is overwritten")
	}
	return nil
}

// readEvidence reads what was fetched from a machine, or saved by explain.
func (a *app) readEvidence(dir string) (*tenant.MachineEvidence, error) {
	m := &tenant.MachineEvidence{Origin: dir}
	read := func(wanted content, names ...string) (data []byte, path string, err error) {
		for _, name := range names {
			path = filepath.Join(dir, name)
			d, err := a.openDocument(path)
			switch {
			case errors.Is(err, fs.ErrNotExist):
				continue
			case err != nil:
				return nil, "", err
			case d.content != wanted && !(d.content == contentEmpty && wanted == contentIMAList):
				return nil, "", d.unfit(wanted.String())
			}
			data, err = d.bytes()
			return data, path, err
		}
		return nil, "", nil
	}
	var err error
	if m.BootLog, m.BootLogFile, err = read(contentBootLog, tenant.FileBootLog); err != nil {
		return nil, err
	}
	if m.IMAList, m.IMAListFile, err = read(contentIMAList, tenant.FileIMAList, recordedList); err != nil {
		return nil, err
	}
	if m.BootLog == nil && m.IMAList == nil {
		return nil, usagef("--evidence %s: neither %s nor %s is there", dir, tenant.FileBootLog, tenant.FileIMAList).
			hint("they are in /sys/kernel/security/tpm0 and /sys/kernel/security/ima of the machine, for root to read")
	}
	path := filepath.Join(dir, tenant.FileQuote)
	text, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return m, nil
	case err != nil:
		return nil, unreadable(path, err)
	}
	m.Quote = &tenant.SavedQuote{}
	if err := json.Unmarshal(text, m.Quote); err != nil || m.Quote.Quote.Quote == "" || m.Quote.Nonce == "" {
		return nil, &fileError{Path: path, Cause: "not a quote as explain --save writes it, with its nonce", Err: err}
	}
	return m, nil
}

// saveEvidence writes files into a new directory and returns their paths.
func (a *app) saveEvidence(dir string, files []tenant.EvidenceFile) ([]string, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, &outputError{Path: dir, Err: err}
	}
	saved := make([]string, 0, len(files))
	for _, file := range files {
		path := filepath.Join(dir, file.Name)
		if err := a.writeFile(path, file.Data, 0o600); err != nil {
			return saved, err
		}
		saved = append(saved, path)
	}
	return saved, nil
}

// offerSaving puts the command that saves evidence before those that need it.
func (x *explanation) offerSaving(f *explainFlags, dir string) {
	needs := func(command []string) bool {
		return slices.ContainsFunc(command, func(word string) bool { return strings.HasPrefix(word, dir+string(filepath.Separator)) })
	}
	if !slices.ContainsFunc(x.Next, func(s tenant.NextStep) bool { return needs(s.Command) }) {
		return
	}
	command := []string{programName, "explain", x.ID}
	add := func(option string, values ...string) {
		for _, value := range values {
			if value != "" && value != "-" {
				command = append(command, option, value)
			}
		}
	}
	add("--mb-policy", f.mb)
	add("--runtime-policy", f.runtime)
	add("--verification-key", f.keys...)
	add("--evidence", f.evidence)
	add("--save", dir)
	first := tenant.NextStep{Text: fmt.Sprintf("save evidence and policies in %s, where the commands below look for them", dir), Command: command}
	x.Next = slices.Insert(x.Next, slices.IndexFunc(x.Next, func(s tenant.NextStep) bool { return needs(s.Command) }), first)
}
