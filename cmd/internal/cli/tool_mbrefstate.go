package cli

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"syscall"

	"github.com/keylime/keylime-tenant/cmd/internal/argparse"
	"github.com/keylime/keylime-tenant/policy/eventlog"
	"github.com/keylime/keylime-tenant/policy/measuredboot"
)

// partialOption is ours: what upstream does without being asked.
func partialOption() argparse.Option {
	return argparse.Option{Names: []string{"--allow-partial"}, Dest: "partial", NArgs: argparse.None, Own: true}
}

// mbRefstateTool is the script create_mb_refstate (TENANT-CLI.md C.3).
func mbRefstateTool(_ context.Context, a *app, args []string) int {
	parser := argparse.Parser{Prog: "create_mb_refstate", Options: []argparse.Option{
		{Dest: "eventlog_file", Help: "Binary UEFI eventlog (Normally /sys/kernel/security/tpm0/binary_bios_measurements)"},
		{Names: []string{"--without-secureboot", "-i"}, Dest: "without_secureboot", NArgs: argparse.None,
			Help: "Set if you want to create a mb_refstate without SecureBoot (only MeasuredBoot)"},
		{Dest: "mb_refstate", Help: "Output path for the generated measure boot reference state."},
		partialOption(),
	}}
	values, code, ended := a.parseTool(&parser, args)
	if ended {
		return code
	}
	log := toolLog{app: a, out: a.errOut(), levels: true}
	path, _ := values.Get("eventlog_file")
	out, _ := values.Get("mb_refstate")
	data, err := a.readFile("eventlog_file", path)
	if err != nil {
		return a.cannotOpen(&parser, "eventlog_file", path, err)
	}
	if err := writable(out); err != nil {
		return a.cannotOpen(&parser, "mb_refstate", out, err)
	}
	p, code := log.reference(data, measuredboot.CreateOptions{WithoutSecureBoot: values.Has("without_secureboot"), AllowPartial: values.Has("partial")},
		"Parsing of binary boot measurements failed with: ", "")
	if p == nil {
		return code
	}
	if p.HasSecureBoot && values.Has("without_secureboot") {
		log.warn("-i was set to create a refstate without SecureBoot, but the provided eventlog has SecureBoot enabled. Ignoring this flag!")
	}
	if err := a.writeFile(out, p.Marshal(), 0o644); err != nil {
		return log.errorf("%v", err)
	}
	return exitOK
}

// cannotOpen is argparse's error about a file that cannot be opened.
func (a *app) cannotOpen(parser *argparse.Parser, dest, path string, err error) int {
	usage := parser.Fail("argument " + dest + ": can't open '" + path + "': " + pythonError(err, path))
	_, _ = a.errOut().Write([]byte(usage.Error() + "\n")) // nobody to tell
	return exitUsage
}

// writable says why a file cannot be made at path, without making it. The
// folder is what matters: a file that exists is replaced.
func writable(path string) error {
	if path == "" || path == "-" {
		return nil // standard output
	}
	if info, err := os.Stat(path); err == nil {
		if info.IsDir() {
			return &os.PathError{Op: "open", Path: path, Err: syscall.EISDIR}
		}
		return nil
	}
	_, err := os.Stat(filepath.Dir(path))
	return err
}

// reference makes a policy of a log, and says in the words of Keylime's
// generators why it does not. With a nil policy the call is over with code.
func (l *toolLog) reference(data []byte, o measuredboot.CreateOptions, parsing, unknownState string) (p *measuredboot.Policy, code int) {
	log, err := eventlog.Read(bytes.NewReader(data))
	if err != nil {
		return nil, l.errorf("%s%v", parsing, err)
	}
	p, err = measuredboot.Create(log, o)
	var off *measuredboot.SecureBootError
	switch {
	case errors.As(err, &off) && !off.Known && unknownState == "":
		return nil, l.errorf("SecureBoot state could not be determined: %v", err)
	case errors.As(err, &off):
		if !off.Known {
			l.warn(unknownState)
		}
		return nil, l.errorf("Provided eventlog has SecureBoot disabled, but -i flag was not set")
	case err != nil:
		return nil, l.errorf("%v: nothing written (--allow-partial writes what there is)", err)
	}
	if !p.HasSecureBoot {
		l.write("INFO", "Adding plain sha256 digest of vmlinuz for GRUB to reference state, because SecureBoot is disabled")
	}
	for _, lack := range p.Lacks() {
		l.warn("the policy is incomplete, " + lack + " is missing: a verifier refuses every boot with it")
	}
	return p, exitOK
}

// policyToolCreateMB is keylime-policy create measured-boot.
func policyToolCreateMB(a *app, args []string) int {
	parser := argparse.Parser{Prog: policyProgram + " create measured-boot", Options: []argparse.Option{
		{Names: []string{"-e", "--eventlog-file"}, Dest: "eventlog_file", Metavar: "EVENTLOG_FILE", Required: true,
			Help: "Binary UEFI eventlog (Normally /sys/kernel/security/tpm0/binary_bios_measurements)"},
		{Names: []string{"--without-secureboot", "-i"}, Dest: "without_secureboot", NArgs: argparse.None,
			Help: "Set if you want to create a measured boot reference state policy without SecureBoot (only MeasuredBoot)"},
		{Names: []string{"-o", "--output"}, Dest: "output", Metavar: "OUTPUT", Help: "Output path for the generated measured boot policy, use '-' for stdout"},
		partialOption(),
	}}
	values, code, ended := a.parsePolicyTool(&parser, args)
	if ended {
		return code
	}
	log := toolLog{app: a, out: a.errOut()}
	path, _ := values.Get("eventlog_file")
	out, _ := values.Get("output")
	parsing := "Parsing of binary boot measurements (" + path + ") failed with: "
	data, err := a.readFile("eventlog_file", path)
	if err != nil {
		return log.errorf("%s%s", parsing, pythonError(err, path))
	}
	p, code := log.reference(data, measuredboot.CreateOptions{WithoutSecureBoot: values.Has("without_secureboot"), AllowPartial: values.Has("partial")},
		parsing, "SecureBoot state could not be determined; assuming disabled")
	if p == nil {
		return code
	}
	if p.HasSecureBoot && values.Has("without_secureboot") {
		log.warn("-i/--without-secureboot was set to create a reference state without SecureBoot, but the provided eventlog has SecureBoot enabled. Ignoring this flag")
	}
	if err := a.writeFile(out, p.Marshal(), 0o644); err != nil {
		return log.errorf("%v", err)
	}
	return exitOK
}
