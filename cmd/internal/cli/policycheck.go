package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/keylime/keylime-tenant/policy"
	"github.com/keylime/keylime-tenant/policy/eventlog"
	"github.com/keylime/keylime-tenant/policy/measuredboot"
	"github.com/keylime/keylime-tenant/policy/runtime"
)

// checkFlags are the options of policy check.
type checkFlags struct {
	mb, runtime  string
	registers    registerFlags
	keys         []string
	ignoreToMToU bool
}

func newPolicyCheckCmd(a *app) *cobra.Command {
	var f checkFlags
	cmd := a.command("check [--mb-policy POLICY LOG] [--runtime-policy POLICY IMA-LIST]", "say what a verifier would say, and all its reasons",
		`Hold a boot log against a measured-boot policy, or an IMA list against a runtime policy,
as a verifier does, and list everything that is refused: a verifier stops at the first.
With both policies, give both files, in any order; what they are is seen from their
content. Exit code 3 means refused.

A log or list is a claim of the machine. With --pcrs or --quote it is also checked that
it leads to the values of the TPM; without, the verdict says so.

policy check POLICY, without anything to hold against it, is policy lint POLICY.`,
		`keylime_tenant policy check --mb-policy refstate.json boot.log --pcrs pcrs.txt
keylime_tenant policy check --runtime-policy policy.json ascii_runtime_measurements
ssh web-1 sudo cat /sys/kernel/security/ima/ascii_runtime_measurements |
  keylime_tenant policy check --runtime-policy policy.json - -o json`,
		func(cmd *cobra.Command, args []string) error {
			switch {
			case len(args) == 0:
				return usagef("policy check needs a boot log or an IMA list").hint("%s", helpOf(cmd))
			case len(args) > 2:
				return usagef("policy check takes a boot log and an IMA list, so what is %q?", args[2]).hint("%s", helpOf(cmd))
			}
			return nil
		}, func(ctx context.Context, args []string) error { return a.check(ctx, &f, args) })
	o := options{flags: cmd.Flags(), section: "Policies"}
	o.text(&f.mb, "mb-policy", "", "FILE", "measured-boot policy, for a boot log")
	o.text(&f.runtime, "runtime-policy", "", "FILE", "runtime policy, plain or signed, for an IMA list")
	f.registers.add(&o)
	o.section = "IMA"
	o.list(&f.keys, "verification-key", "FILE", "key for signatures in the list, instead of those of the policy (repeatable)")
	o.on(&f.ignoreToMToU, "ignore-violations", "", "let pass what was open for writing while it was measured, as verifiers do by default")
	return cmd
}

// check judges the files named.
func (a *app) check(ctx context.Context, f *checkFlags, args []string) error {
	docs := make([]*document, 0, len(args))
	for _, path := range args {
		d, err := a.openDocument(path)
		if err != nil {
			return err
		}
		defer d.close()
		docs = append(docs, d)
	}
	if f.mb == "" && f.runtime == "" {
		return a.checkAlone(docs)
	}
	log, list, err := sortEvidence(f, docs)
	if err != nil {
		return err
	}
	registers, err := a.registers(&f.registers)
	if err != nil {
		return err
	}
	result := &checkResult{Accepted: true, Findings: []policy.Finding{}, registers: registers}
	var parsed *eventlog.Log
	if log != nil {
		if parsed, err = log.bootLog(); err != nil {
			return err
		}
	}
	if f.mb != "" {
		if err := a.checkBoot(f.mb, log.path, parsed, registers, result); err != nil {
			return err
		}
	}
	if f.runtime != "" {
		if err := a.checkFiles(ctx, f, list, parsed, registers, result); err != nil {
			return err
		}
	}
	if err := a.show(result); err != nil || result.Accepted {
		return err
	}
	return &statusError{Code: exitRefused, Err: fmt.Errorf("refused: %s", count(len(result.Findings), "finding"))}
}

// checkAlone is policy check of a single file without a policy to hold it
// against.
func (a *app) checkAlone(docs []*document) error {
	d := docs[0]
	switch d.content {
	case contentMBPolicy, contentRuntimePolicy, contentSigned, contentJSON:
		if len(docs) > 1 {
			return usagef("policy check needs --mb-policy or --runtime-policy in front of the policy").
				hint("keylime_tenant policy check --mb-policy %s %s", docs[0].path, docs[1].path)
		}
		return a.lint(d)
	case contentBootLog:
		return usagef("%s is a boot log, and there is no policy to hold it against", d.path).hint("add --mb-policy POLICY; keylime_tenant policy show %s shows the log", d.path)
	case contentIMAList, contentIMABinary:
		return usagef("%s is an IMA list, and there is no policy to hold it against", d.path).hint("add --runtime-policy POLICY")
	}
	return d.unfit("a boot log or an IMA list, and a policy")
}

// sortEvidence finds out which file is the boot log and which the IMA list. A
// boot log beside a runtime policy alone says what boot_aggregate must be.
func sortEvidence(f *checkFlags, docs []*document) (log, list *document, err error) {
	for _, d := range docs {
		into, wanted := &log, contentBootLog
		if d.content.isList() || f.mb == "" && d.content != contentBootLog {
			into, wanted = &list, contentIMAList
		}
		if *into != nil {
			return nil, nil, usagef("%s and %s: two files where one %s is wanted", (*into).path, d.path, wanted)
		}
		*into = d
	}
	switch {
	case f.mb != "" && log == nil:
		return nil, nil, list.unfit(contentBootLog.String())
	case f.runtime != "" && list == nil && f.mb != "":
		return nil, nil, usagef("there is no IMA list to hold against --runtime-policy").hint("name it besides %s", log.path)
	case f.runtime != "" && list == nil:
		return nil, nil, log.unfit(contentIMAList.String())
	case f.runtime == "" && list != nil:
		return nil, nil, usagef("%s is an IMA list, and there is no runtime policy to hold it against", list.path).hint("add --runtime-policy POLICY")
	}
	if list != nil && !list.content.isList() && list.content != contentEmpty {
		return nil, nil, list.unfit(contentIMAList.String())
	}
	return log, list, nil
}

// checkBoot judges a boot log.
func (a *app) checkBoot(policyPath, logPath string, log *eventlog.Log, registers *registers, result *checkResult) error {
	d, err := a.openDocument(policyPath)
	if err != nil {
		return err
	}
	p, err := d.mbPolicy()
	if err != nil {
		return err
	}
	v := p.Evaluate(log, measuredboot.EvaluateOptions{PolicyName: policyPath, LogName: logPath})
	bank, values := registers.forBoot()
	if registers != nil {
		if missing := measuredboot.MissingPCRs(values); missing != nil {
			v.Refuse(*missing)
		}
		for _, finding := range measuredboot.ComparePCRs(log, bank, values) {
			v.Refuse(finding)
		}
	}
	result.add(kindBoot, policyPath, logPath, v)
	return nil
}

// checkFiles judges an IMA list, which may be large and is read once.
func (a *app) checkFiles(ctx context.Context, f *checkFlags, list *document, log *eventlog.Log, registers *registers, result *checkResult) error {
	d, err := a.openDocument(f.runtime)
	if err != nil {
		return err
	}
	p, _, err := d.runtimePolicy()
	if err != nil {
		return err
	}
	o := runtime.Options{IgnoreToMToU: f.ignoreToMToU}
	if len(f.keys) > 0 {
		if o.Keyring, err = runtime.KeyringFromFiles(f.keys...); err != nil {
			return usagef("--verification-key: %w", err)
		}
	}
	evaluator, err := runtime.NewEvaluator(p, o)
	if err != nil {
		return &fileError{Path: f.runtime, Err: err}
	}
	evidence := runtime.Evidence{List: list.in, Binary: list.content == contentIMABinary}
	evidence.Bank, evidence.PCR10 = registers.forFiles()
	if log != nil {
		for _, bank := range log.Banks {
			// A bank that cannot be replayed allows no boot_aggregate.
			aggregates, _ := log.BootAggregates(bank)
			evidence.BootAggregates = append(evidence.BootAggregates, aggregates...)
		}
	}
	v, err := evaluator.Evaluate(ctx, nil, evidence)
	if err != nil {
		return &fileError{Path: list.path, Err: err}
	}
	for i := range v.Findings {
		v.Findings[i].Command = allowCommand(f.runtime, &v.Findings[i])
	}
	result.add(kindFiles, f.runtime, list.path, v)
	return nil
}

// allowCommand is the command that lets a runtime policy accept what a finding
// is about, nil where no policy should.
func allowCommand(policyPath string, f *policy.Finding) []string {
	switch f.Check {
	case runtime.CheckNotInPolicy, runtime.CheckDigest:
		if len(f.Found) == 1 {
			return []string{programName, "policy", "merge", policyPath, "--allow", f.Found[0] + "  " + f.Where, "-o", policyPath}
		}
	}
	return f.Command
}
