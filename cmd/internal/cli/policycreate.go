package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/keylime/keylime-tenant/policy/eventlog"
	"github.com/keylime/keylime-tenant/policy/measuredboot"
)

func newPolicyCreateMBCmd(a *app) *cobra.Command {
	var out outFile
	var opts measuredboot.CreateOptions
	cmd := a.command("measured-boot LOG", "make a measured-boot policy from a boot log",
		`Make a measured-boot policy (reference state) that accepts the boot that LOG shows. LOG
is the binary boot log of a machine in a good state; - is standard input. On Linux it is
/sys/kernel/security/tpm0/binary_bios_measurements, which root alone may read.

A log that gives no complete policy is refused: nothing is written then. The old
spellings go on working: create_mb_refstate LOG OUT, keylime-policy create measured-boot.`,
		`keylime_tenant policy create measured-boot boot.log -o refstate.json
ssh web-1 sudo cat /sys/kernel/security/tpm0/binary_bios_measurements |
  keylime_tenant policy create measured-boot - -o web-1.json
keylime_tenant add ID --mb-policy web-1.json`,
		oneArg("LOG"), func(_ context.Context, args []string) error {
			if err := out.check("policy create"); err != nil {
				return err
			}
			d, err := a.openDocument(args[0])
			if err != nil {
				return err
			}
			log, err := d.bootLog()
			if err != nil {
				return err
			}
			p, err := a.createMB(d.path, log, opts)
			if err != nil {
				return err
			}
			if err := a.writeText(out, p.Marshal()); err != nil {
				return err
			}
			if !out.stdout() {
				a.note(out.path + ": " + mbSummary(p))
			}
			return nil
		})
	o := options{flags: cmd.Flags()}
	out.add(&o, "the policy")
	o.on(&opts.WithoutSecureBoot, "without-secureboot", "i", "allow a log with Secure Boot off")
	o.on(&opts.AllowPartial, "allow-partial", "", "write what the log gives, though a verifier refuses every boot with it")
	return cmd
}

// createMB makes a policy of a log and warns of what does not look right.
func (a *app) createMB(path string, log *eventlog.Log, opts measuredboot.CreateOptions) (*measuredboot.Policy, error) {
	p, err := measuredboot.Create(log, opts)
	if err != nil {
		return nil, createFailure(path, err, opts)
	}
	if p.HasSecureBoot && opts.WithoutSecureBoot {
		a.warn(path, "Secure Boot is on in this log, so --without-secureboot is ignored: the policy demands Secure Boot", "")
	}
	for _, text := range p.Warnings() {
		a.warn(path, text, "")
	}
	if lacks := p.Lacks(); len(lacks) > 0 {
		for _, lack := range lacks {
			a.warn(path, "the policy is incomplete: "+lack+" is missing", "")
		}
		return p, nil
	}
	if v := p.Evaluate(log, measuredboot.EvaluateOptions{}); !v.Accepted {
		a.warn(path, "a verifier will refuse this boot with any policy of this kind: "+v.Findings[0].Message,
			"keylime_tenant policy check --mb-policy POLICY "+path+" shows all findings")
	}
	return p, nil
}

// createFailure says what to do about a log of which no policy can be made.
func createFailure(path string, err error, opts measuredboot.CreateOptions) error {
	var (
		off        *measuredboot.SecureBootError
		incomplete *measuredboot.IncompleteError
	)
	e := &advisedError{Err: fmt.Errorf("%s: %w: nothing written", path, err)}
	switch {
	case errors.As(err, &off) && off.Seen == "":
		e.Advice = "turn Secure Boot on; or add --without-secureboot, if the policy is to demand that it is off"
	case errors.As(err, &off):
		e.Advice = "a measured-boot policy takes a machine that boots by UEFI, shim and GRUB"
	case errors.As(err, &incomplete):
		e.Err = &lackError{path, incomplete}
		if !opts.AllowPartial {
			e.Advice = "--allow-partial writes what there is, to be completed by hand; a verifier refuses every boot until then"
		}
	}
	return e
}

// lackError lists what a log does not give, a line each.
type lackError struct {
	path string
	*measuredboot.IncompleteError
}

func (e *lackError) Error() string {
	text := e.path + ": the log gives no complete policy: nothing written"
	if e.Seen != "" {
		text += "; " + e.Seen
	}
	for _, lack := range e.Lacks {
		text += "\n" + lack.Part + ": " + lack.Seen
	}
	return text
}

func (e *lackError) Unwrap() error { return e.IncompleteError }

// mbSummary is a policy in one line.
func mbSummary(p *measuredboot.Policy) string {
	switch {
	case p.IsEmpty():
		return "checks nothing"
	case p.HasSecureBoot:
		return fmt.Sprintf("Secure Boot on, %s, %s in db, %s in dbx, %s",
			count(len(p.Firmware), "firmware"), count(len(p.DB), "entry"), count(len(p.DBX), "entry"), count(len(p.Kernels), "boot chain"))
	}
	return fmt.Sprintf("Secure Boot off, %s, %s", count(len(p.Firmware), "firmware"), count(len(p.Kernels), "boot chain"))
}

// count writes a number and its noun.
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	if last := len(noun) - 1; noun[last] == 'y' {
		return fmt.Sprintf("%d %sies", n, noun[:last])
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
