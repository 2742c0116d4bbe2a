package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/keylime/keylime-tenant/policy/measuredboot"
	"github.com/keylime/keylime-tenant/policy/runtime"
)

func newPolicyMergeCmd(a *app) *cobra.Command {
	var out outFile
	var allow []string
	cmd := a.command("merge POLICY [FILE]...", "let a policy accept more boots or files",
		`Write a policy that accepts what POLICY accepts, and besides:
  of a measured-boot policy   the boots that boot logs show, and those that other
                              measured-boot policies accept
  of a runtime policy         what other runtime policies accept, and the files that
                              IMA lists name
A log or list is believed: take it from a machine in a good state. POLICY itself is not
changed unless -o names it.`,
		`keylime_tenant policy merge refstate.json after-update.log -o refstate.json
keylime_tenant policy merge base.json packages.json -o policy.json
keylime_tenant policy merge policy.json --allow "$(sha256sum /usr/local/bin/x)" -o policy.json`,
		func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 || len(args) == 1 && len(allow) == 0 {
				return usagef("policy merge needs a policy and at least one file to merge into it").hint("%s", helpOf(cmd))
			}
			return nil
		}, func(ctx context.Context, args []string) error {
			if err := out.check("policy merge"); err != nil {
				return err
			}
			d, err := a.openDocument(args[0])
			if err != nil {
				return err
			}
			var text []byte
			switch d.content {
			case contentMBPolicy, contentJSON:
				if len(allow) > 0 {
					return usagef("--allow is about files, and %s is a measured-boot policy", d.path).hint("what it is to accept is taken from boot logs")
				}
				text, err = a.mergeMB(d, args[1:])
			case contentRuntimePolicy, contentSigned:
				text, err = a.mergeRuntime(ctx, d, args[1:], allow)
			default:
				err = d.unfit("a policy")
			}
			if err != nil {
				return err
			}
			return a.writeText(out, text)
		})
	o := options{flags: cmd.Flags()}
	o.list(&allow, "allow", "LINE", "a file and its digest, as sha256sum prints them, for a runtime policy (repeatable)")
	out.add(&o, "the policy")
	return cmd
}

// mergeMB lets a measured-boot policy accept the boots of logs and of other
// policies.
func (a *app) mergeMB(base *document, paths []string) ([]byte, error) {
	p, err := base.mbPolicy()
	if err != nil {
		return nil, err
	}
	if p.IsEmpty() {
		return nil, &fileError{Path: base.path, Cause: "the policy is empty and accepts every boot already"}
	}
	merged := p
	for _, path := range paths {
		if merged, err = a.mergeOne(base.path, merged, path); err != nil {
			return nil, err
		}
	}
	changes := measuredboot.Diff(p, merged)
	for _, c := range changes {
		if c.Weaker {
			a.warn(base.path, "the merged policy is weaker: "+c.Message, "")
		} else {
			a.note(c.Message)
		}
	}
	if len(changes) == 0 {
		a.note(base.path + " accepts this already")
	}
	return merged.Marshal(), nil
}

// mergeOne lets a policy accept the boot of a log, or what another policy
// accepts.
func (a *app) mergeOne(basePath string, p *measuredboot.Policy, path string) (*measuredboot.Policy, error) {
	d, err := a.openDocument(path)
	if err != nil {
		return nil, err
	}
	if d.content == contentMBPolicy {
		more, err := d.mbPolicy()
		if err != nil {
			return nil, err
		}
		merged, fits := measuredboot.Unite(p, more)
		if !fits {
			return nil, fmt.Errorf("%s: %s cannot be merged with it: one demands Secure Boot on, the other off: nothing written", path, basePath)
		}
		return merged, nil
	}
	log, err := d.bootLog()
	if err != nil {
		return nil, err
	}
	merged, err := measuredboot.Merge(p, log)
	if failed := new(measuredboot.MergeError); errors.As(err, &failed) {
		return nil, mergeFailure(basePath, path, failed)
	}
	return merged, err
}

// mergeFailure puts the reason of a merge in words, with the log's name.
func mergeFailure(policyPath, logPath string, failed *measuredboot.MergeError) error {
	text := fmt.Sprintf("%s: %s cannot accept it: %s: nothing written", logPath, policyPath, failed.Cause)
	var incomplete *measuredboot.IncompleteError
	switch {
	case errors.As(failed.Err, &incomplete):
		for _, lack := range incomplete.Lacks {
			text += "\n" + lack.Part + ": " + lack.Seen
		}
	case failed.Err != nil:
		text += "\n" + failed.Err.Error()
	}
	for i, f := range failed.Findings {
		if i == listed {
			text += fmt.Sprintf("\nand %d more", len(failed.Findings)-i)
			break
		}
		text += "\n" + f.Message
	}
	return &advisedError{Err: &mergeError{text, failed},
		Advice: "keylime_tenant policy check --mb-policy " + policyPath + " " + logPath + " shows all that differs"}
}

// mergeError is a failed merge in our words.
type mergeError struct {
	text string
	err  error
}

func (e *mergeError) Error() string { return e.text }
func (e *mergeError) Unwrap() error { return e.err }

// mergeRuntime adds policies, lists and single files to a runtime policy.
func (a *app) mergeRuntime(ctx context.Context, base *document, paths, allow []string) ([]byte, error) {
	p, signed, err := base.runtimePolicy()
	if err != nil {
		return nil, err
	}
	if signed {
		a.warn(base.path, "the merged policy is not signed", "keylime_tenant policy sign signs it")
	}
	all := []*runtime.Policy{p}
	for _, path := range paths {
		more, err := a.runtimeOf(ctx, path)
		if err != nil {
			return nil, err
		}
		all = append(all, more)
	}
	if len(allow) > 0 {
		more, _, err := runtime.FromAllowlist([]byte(strings.Join(allow, "\n")))
		if err != nil || more.Digests.Len() == 0 {
			return nil, usagef("--allow %q is no line of a digest and a path", strings.Join(allow, " ")).hint("sha256sum FILE prints such a line")
		}
		more.IMA.LogHashAlg = p.IMA.LogHashAlg // it says nothing of that
		all = append(all, more)
	}
	merged, err := runtime.Merge(all...)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", base.path, err)
	}
	before, after := p.Summarize(), merged.Summarize()
	a.note(fmt.Sprintf("%s more, %s more", count(after.Files-before.Files, "file"), count(after.FileDigests-before.FileDigests, "digest")))
	merged.Stamp(runtime.GeneratorLegacy, a.now())
	return merged.Marshal(), nil
}

// runtimeOf is a runtime policy: the one in a file, or the one that an IMA list
// gives.
func (a *app) runtimeOf(ctx context.Context, path string) (*runtime.Policy, error) {
	d, err := a.openDocument(path)
	if err != nil {
		return nil, err
	}
	if d.content.isList() {
		return a.policyOfList(ctx, d)
	}
	p, _, err := d.runtimePolicy()
	return p, err
}

func newPolicyAddKernelCmd(a *app) *cobra.Command {
	var (
		out   outFile
		files struct{ shim, grub, kernel, initrd string }
		parts measuredboot.KernelParts
	)
	cmd := a.command("add-kernel POLICY", "let a measured-boot policy accept the next kernel, before the reboot",
		`Write a measured-boot policy that accepts one more boot chain: the last one of POLICY,
with the parts given here instead. Files are hashed as the firmware and GRUB will measure
them; digests serve where a file is not at hand.

The command line is the one that GRUB measures: the kernel's path as GRUB writes it, then
the arguments. That of /proc/cmdline does too.`,
		`keylime_tenant policy add-kernel refstate.json --kernel /boot/vmlinuz-6.9.1 \
  --initrd /boot/initramfs-6.9.1.img --cmdline "/vmlinuz-6.9.1 root=/dev/vda2 ro" -o refstate.json`,
		oneArg("POLICY"), func(_ context.Context, args []string) error {
			if err := out.check("policy add-kernel"); err != nil {
				return err
			}
			d, err := a.openDocument(args[0])
			if err != nil {
				return err
			}
			p, err := d.mbPolicy()
			if err != nil {
				return err
			}
			if files == (struct{ shim, grub, kernel, initrd string }{}) && parts == (measuredboot.KernelParts{}) {
				return usagef("policy add-kernel needs at least one part of the next boot chain").
					hint("add --kernel FILE, --initrd FILE, --cmdline TEXT or a digest; keylime_tenant policy add-kernel --help")
			}
			measured, err := measureFiles(files.shim, files.grub, files.kernel, files.initrd)
			if err != nil {
				return err
			}
			if err := overlay(&parts, measured); err != nil {
				return err
			}
			added, notes, err := measuredboot.AddKernel(p, parts)
			if err != nil {
				return addKernelFailure(d.path, err)
			}
			if err := a.writeText(out, added.Marshal()); err != nil {
				return err
			}
			for _, text := range notes {
				if strings.HasPrefix(text, "taken from ") {
					a.note(text)
					continue
				}
				a.warn("", text, "")
			}
			return nil
		})
	o := options{flags: cmd.Flags(), section: "The next boot chain"}
	o.text(&files.kernel, "kernel", "", "FILE", "the kernel (vmlinuz)")
	o.text(&files.initrd, "initrd", "", "FILE", "the initrd or initramfs")
	o.text(&parts.CommandLine, "cmdline", "", "TEXT", "the kernel's command line")
	o.text(&parts.CommandLinePattern, "cmdline-pattern", "", "REGEX", "a Python regular expression for it instead")
	o.text(&files.shim, "shim", "", "FILE", "shim (shimx64.efi), if it changes too")
	o.text(&files.grub, "grub", "", "FILE", "GRUB (grubx64.efi), if it changes too")
	o.section = "Digests (sha256) instead of files"
	o.text(&parts.Kernel, "kernel-digest", "", "HEX", "the kernel's Authenticode digest, used with Secure Boot")
	o.text(&parts.Vmlinuz, "vmlinuz-digest", "", "HEX", "the kernel file's digest, used without Secure Boot")
	o.text(&parts.Initrd, "initrd-digest", "", "HEX", "the initrd file's digest")
	o.text(&parts.Shim, "shim-digest", "", "HEX", "shim's Authenticode digest")
	o.text(&parts.Grub, "grub-digest", "", "HEX", "GRUB's Authenticode digest")
	o.section = "Options"
	out.add(&o, "the policy")
	return cmd
}

func addKernelFailure(path string, err error) error {
	var part *measuredboot.PartError
	if !errors.As(err, &part) {
		return err
	}
	if part.Part == "policy" {
		return &fileError{Path: path, Cause: part.Cause}
	}
	return usagef("%w", err).hint("keylime_tenant policy add-kernel --help")
}

// measureFiles hashes the files that are named.
func measureFiles(shim, grub, kernel, initrd string) (measuredboot.KernelParts, error) {
	var files measuredboot.KernelFiles
	for _, one := range []struct {
		path string
		into **io.SectionReader
	}{{shim, &files.Shim}, {grub, &files.Grub}, {kernel, &files.Kernel}, {initrd, &files.Initrd}} {
		if one.path == "" {
			continue
		}
		f, err := os.Open(one.path)
		if err != nil {
			return measuredboot.KernelParts{}, unreadable(one.path, err)
		}
		defer f.Close()
		info, err := f.Stat()
		if err != nil {
			return measuredboot.KernelParts{}, unreadable(one.path, err)
		}
		if !info.Mode().IsRegular() || info.Size() == 0 {
			return measuredboot.KernelParts{}, &fileError{Path: one.path, Cause: "not a file with content"}
		}
		*one.into = io.NewSectionReader(f, 0, info.Size())
	}
	parts, err := files.Parts()
	if part := new(measuredboot.PartError); errors.As(err, &part) {
		path := map[string]string{"shim": shim, "grub": grub, "kernel": kernel, "initrd": initrd}[part.Part]
		return parts, &fileError{Path: path, Cause: part.Cause, Err: part.Err}
	}
	return parts, err
}

// overlay puts digests of files where none was given by hand.
func overlay(parts *measuredboot.KernelParts, measured measuredboot.KernelParts) error {
	for _, one := range []struct {
		option   string
		into     *string
		measured string
	}{
		{"shim", &parts.Shim, measured.Shim}, {"grub", &parts.Grub, measured.Grub}, {"kernel", &parts.Kernel, measured.Kernel},
		{"vmlinuz", &parts.Vmlinuz, measured.Vmlinuz}, {"initrd", &parts.Initrd, measured.Initrd},
	} {
		switch {
		case one.measured == "":
		case *one.into != "":
			return usagef("--%s-digest and the file that has it cannot be given together", one.option)
		default:
			*one.into = one.measured
		}
	}
	return nil
}
