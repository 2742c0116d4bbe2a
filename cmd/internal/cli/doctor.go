package cli

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/keylime/keylime-tenant/client"
	"github.com/keylime/keylime-tenant/cmd/internal/config"
	"github.com/keylime/keylime-tenant/tenant"
	"github.com/keylime/keylime-tenant/tenant/doctor"
)

const doctorCodes = `
Exit code: 0 if there is no problem; else that of the worst one: 4 TLS or authorisation,
6 unreachable, 2 configuration or files, 1 anything else. Warnings count with --strict.`

func newDoctorCmd(a *app) *cobra.Command {
	var strict bool
	cmd := a.command("doctor [ID]", "find out what is wrong with the set-up", `Look at everything that a call needs, hop by hop: configuration and TLS files on this
machine, the registrar, the verifier, and the agent ID if one is named: names, ports, TLS
versions, certificates and their dates, who is let in, API versions, clocks, and what
vouches for TPMs. Nothing is changed, and no secret is sent.

Each finding says what was seen, why it matters, and what to change. What could not be
checked is said too. --verbose lists also what is in order.
`+doctorCodes,
		`keylime_tenant doctor
keylime_tenant doctor d432fbb3-d2f1-4a97-9ef7-75bd81c00000
keylime_tenant doctor tls 10.0.0.5:8881`,
		func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usagef("doctor takes one agent id, so what is %q?", args[1]).hint("%s; a single server: %s tls HOST:PORT", helpOf(cmd), cmd.CommandPath())
			}
			return nil
		},
		func(ctx context.Context, args []string) error {
			id := ""
			if len(args) == 1 {
				id = args[0]
				if err := tenant.CheckAgentID(id); err != nil {
					return err
				}
			}
			setup := a.doctorSetup(ctx)
			setup.AgentID = id
			report, err := doctor.Run(ctx, setup)
			return a.showReport(report, err, strict)
		})
	cmd.Flags().BoolVar(&strict, "strict", false, "warnings count as problems in the exit code")
	cmd.ValidArgsFunction = a.completer(a.registeredIDs)
	cmd.SuggestFor = []string{"diagnose", "check", "health"}
	cmd.Annotations = map[string]string{annotationOwnArgs: "yes"}
	cmd.AddCommand(newDoctorTLSCmd(a))
	return cmd
}

// annotationOwnArgs marks a verb that takes arguments besides verbs of its own.
const annotationOwnArgs = "own-args"

func newDoctorTLSCmd(a *app) *cobra.Command {
	var strict bool
	var caFile string
	cmd := a.command("tls HOST:PORT", "look at the TLS of one server", `Look at one server of whatever kind: name, port, TLS version, certificate, whether it asks
for a client certificate and takes ours, and API versions if it speaks Keylime.
`+doctorCodes,
		`keylime_tenant doctor tls 10.0.0.5:8881
keylime_tenant doctor tls '[2001:db8::5]:8891' --ca /tmp/cacert.crt`,
		oneArg("HOST:PORT"), func(ctx context.Context, args []string) error {
			at, err := hostPort(args[0])
			if err != nil {
				return err
			}
			setup := a.doctorSetup(ctx)
			if caFile != "" {
				setup.TLS.CAFiles = []string{caFile}
			}
			report, err := doctor.TLS(ctx, setup, at)
			return a.showReport(report, err, strict)
		})
	cmd.Flags().StringVar(&caFile, "ca", "", "trust the CA certificates in `FILE` instead of trusted_server_ca")
	cmd.Flags().BoolVar(&strict, "strict", false, "warnings count as problems in the exit code")
	return cmd
}

// hostPort reads the address of a server.
func hostPort(text string) (doctor.Server, error) {
	host, port, err := net.SplitHostPort(text)
	n, numErr := strconv.Atoi(port)
	if err != nil || numErr != nil || n < 1 || n > 65535 || host == "" {
		return doctor.Server{}, usagef("%q is not HOST:PORT", text).
			hint("verifiers listen on 8881, registrars on 8891, agents on 9002: keylime_tenant doctor tls 10.0.0.5:8881; an IPv6 address stands in brackets")
	}
	return doctor.Server{Host: host, Port: n}, nil
}

// doctorSetup is what configuration and options say. A configuration that
// cannot be used becomes a finding.
func (a *app) doctorSetup(ctx context.Context) doctor.Setup {
	setup := doctor.Setup{Limit: time.Duration(a.global.timeout), Now: a.now, UID: os.Geteuid()}
	c, err := a.config(ctx)
	if err != nil {
		setup.Configuration.Trouble = trouble(err)
		return setup
	}
	setup.Configuration.Files = append(append([]string{}, c.Sources...), c.SnippetDirs...)
	for _, w := range c.Warnings {
		setup.Configuration.Warnings = append(setup.Configuration.Warnings, doctor.Trouble{Seen: w.Text, Fix: w.Hint})
	}
	setup.Registrar = doctor.Server{Host: c.RegistrarHost, Port: c.RegistrarPort}
	setup.Verifier = doctor.Server{Host: c.VerifierHost, Port: c.VerifierPort}
	setup.EnableAgentTLS = c.EnableAgentMTLS
	setup.EK = doctor.EK{RequireCert: c.RequireEKCert, Require: c.EKRequire, Compat: c.EKCompat, StoreDir: c.TPMCertStore, PinFile: c.PinPath(), Script: c.ScriptPath()}
	files, err := c.TLS()
	if err != nil {
		setup.Configuration.TLSTrouble = trouble(configFailure(err))
		return setup
	}
	if origin := c.Origin("client_key_password"); files.KeyPassword != "" && origin.Kind == config.OriginFile {
		setup.Configuration.PasswordFile = origin.Name
	}
	setup.TLSDir = files.Dir
	setup.TLS = client.TLSFiles{
		CAFiles: files.CAFiles, CertFile: files.CertFile, KeyFile: files.KeyFile, KeyPassword: client.Password(files.KeyPassword.Reveal()),
		CheckHostname: c.CheckHostname, InsecureSkipServer: c.InsecureSkipServer,
	}
	for _, dir := range []string{files.Dir, filepath.Join(c.WorkDir, "cv_ca"), filepath.Join(c.WorkDir, "reg_ca")} {
		setup.OtherCAs = append(setup.OtherCAs, filepath.Join(dir, "cacert.crt"))
	}
	return setup
}

// trouble is an error of the configuration in the words of package doctor.
func trouble(err error) *doctor.Trouble {
	t := &doctor.Trouble{Seen: err.Error()}
	if hinter, ok := err.(interface{ HintText() string }); ok {
		t.Fix = hinter.HintText()
	}
	return t
}

// showReport shows what was found, and makes the exit code of it.
func (a *app) showReport(report *doctor.Report, err error, strict bool) error {
	if err != nil {
		return err
	}
	if err := a.show(newDoctorResult(report, a.global.verbose, a.streams.Width)); err != nil {
		return err
	}
	levels := []doctor.Level{doctor.Problem}
	if strict {
		levels = append(levels, doctor.Warning)
	}
	class, any := report.Worst(levels...)
	if !any {
		return nil
	}
	return &statusError{Code: codeOfClass(class)}
}

// codeOfClass is the exit code of the worst finding.
func codeOfClass(class doctor.Class) int {
	switch class {
	case doctor.ClassTLS:
		return exitAuth
	case doctor.ClassNetwork:
		return exitUnreachable
	case doctor.ClassConfiguration:
		return exitUsage
	}
	return exitFailure
}
