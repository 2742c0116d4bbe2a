package cli

import (
	"errors"
	"io/fs"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/keylime/keylime-tenant/cmd/internal/render"
	"github.com/keylime/keylime-tenant/tenant"
)

// newPolicyCmd makes the verbs that work on policies in files. None of them
// asks a server or reads the configuration.
func newPolicyCmd(a *app) *cobra.Command {
	cmd := newPolicyGroup("policy", "make, test, compare and extend policies in files",
		`Make policies from what a machine shows, test machines against them, and keep them up
to date. All of it works on files, on any machine, without a server and without root.

A measured-boot policy says which boots are good; it is made from a boot log:
  /sys/kernel/security/tpm0/binary_bios_measurements
A runtime policy says which files may run; it is made from file trees, packages or an
IMA list:
  /sys/kernel/security/ima/ascii_runtime_measurements
"add --mb-policy FILE --runtime-policy FILE" holds an agent against them.`)
	create := newPolicyGroup("create", "make a policy",
		`Make a policy from a machine, or a part of a machine, that is as it should be.`)
	create.AddCommand(newPolicyCreateMBCmd(a), newPolicyCreateRuntimeCmd(a))
	cmd.AddCommand(create, newPolicyShowCmd(a), newPolicyCheckCmd(a), newPolicyDiffCmd(a), newPolicyMergeCmd(a),
		newPolicyAddKernelCmd(a), newPolicyLintCmd(a), newPolicyConvertCmd(a), newPolicySignCmd(a), newPolicyVerifyCmd(a))
	return cmd
}

// newPolicyGroup makes a verb that only has verbs below it.
func newPolicyGroup(use, short, long string) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Long: long,
		Args: cobra.ArbitraryArgs, SilenceErrors: true, SilenceUsage: true, DisableFlagsInUseLine: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return unknownVerb(cmd, args[0])
			}
			return cmd.Help()
		},
	}
}

// outFile is where a verb writes the file it makes. For such verbs -o names the
// file, as it does for the old tools, and not the format of the result.
type outFile struct{ path string }

// add defines the option, which takes the place of the global --output.
func (o *outFile) add(opts *options, what string) {
	opts.text(&o.path, "output", "o", "FILE", "write "+what+" to a file instead of standard output")
	opts.flags.StringVar(&o.path, "out", "", "the same as --output")
	_ = opts.flags.MarkHidden("out") // it is there, one line above
}

// check refuses the names of formats: whoever writes -o json wants the result as
// JSON on standard output, where it is anyway.
func (o *outFile) check(cmd string) error {
	if slices.Contains(render.Formats(), render.Format(o.path)) {
		return usagef("-o names a file here, and %q is a format", o.path).
			hint("%s writes JSON in any case; leave -o out, or write -o ./%s if the file is to have that name", cmd, o.path)
	}
	return nil
}

// stdout says that the file goes to standard output.
func (o *outFile) stdout() bool { return o.path == "" || o.path == "-" }

// writeText writes a text of one line, which gets a line break on standard
// output only: so do Keylime's tools, and files stay equal octet by octet.
func (a *app) writeText(o outFile, text []byte) error {
	if o.stdout() {
		text = append(slices.Clip(text), '\n')
	}
	return a.writeFile(o.path, text, 0o644)
}

// note tells a person what was done, where steps are shown at all.
func (a *app) note(text string) {
	if a.global.quiet || !a.global.verbose && !a.global.debug && !a.streams.ErrTTY {
		return
	}
	_, _ = a.errOut().Write([]byte("- " + text + "\n")) // nobody to tell
}

// warnPolicy is a warning about a policy in a file.
const warnPolicy tenant.WarningKind = "policy"

// warn tells what a person should know though nothing failed.
func (a *app) warn(object, text, hint string) {
	if object != "" {
		text = object + ": " + text
	}
	a.present().Event(tenant.Warning{Kind: warnPolicy, Object: object, Text: text, Hint: hint})
}

// fileError is a file named on the command line that is not what is wanted, or
// that cannot be read. It is a mistake of usage.
type fileError struct {
	Path   string
	Cause  string
	Err    error
	Advice string
}

func (e *fileError) Error() string {
	text := e.Cause
	if e.Err != nil {
		if text != "" {
			text += ": "
		}
		text += e.Err.Error()
	}
	return e.Path + ": " + text
}

func (e *fileError) Unwrap() error { return e.Err }

// HintText makes the advice known to package render.
func (e *fileError) HintText() string { return e.Advice }

// unreadable explains why a file cannot be read; logs in securityfs are for
// root alone.
func unreadable(path string, err error) error {
	var in *fs.PathError
	if errors.As(err, &in) {
		err = in.Err // the path is named already
	}
	e := &fileError{Path: path, Err: err}
	switch {
	case errors.Is(err, fs.ErrPermission) && strings.HasPrefix(path, "/sys/"):
		e.Cause = "root alone may read it"
		e.Advice = "sudo cat " + path + " > copy, then use the copy; or pipe it: sudo cat " + path + " | keylime_tenant ... -"
	case errors.Is(err, fs.ErrNotExist) && strings.HasSuffix(path, "binary_bios_measurements"):
		e.Advice = "no boot log here: is there a TPM, and is securityfs mounted on /sys/kernel/security?"
	case errors.Is(err, fs.ErrNotExist) && strings.HasSuffix(path, "_runtime_measurements"):
		e.Advice = "no IMA list here: IMA is switched on by the kernel's command line, for example ima_policy=tcb"
	}
	return e
}
