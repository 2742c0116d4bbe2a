package cli

import (
	"context"
	"errors"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/keylime/keylime-tenant/client"
	"github.com/keylime/keylime-tenant/client/verifier"
	"github.com/keylime/keylime-tenant/tenant"
	"github.com/keylime/keylime-tenant/tenant/tpmdev"
)

// Where the kernel of Linux has its lists.
const (
	kernelIMAList = "/sys/kernel/security/ima/ascii_runtime_measurements"
	kernelBootLog = "/sys/kernel/security/tpm0/binary_bios_measurements"
	// tpmVariable names a TPM to tpm2-tools.
	tpmVariable = "TPM2TOOLS_TCTI"
)

// oneshotFlags are the options of oneshot, and of the old tool.
type oneshotFlags struct {
	runtime, mb, tpmPolicy string
	local                  bool
	caCert                 string

	tpm, ekHandle, password string
	hash, keys, signing     string

	imaLog, bootLog string
}

func newOneshotCmd(a *app) *cobra.Command {
	var f oneshotFlags
	cmd := a.command("oneshot", "attest the machine this runs on, once, without enrolling it",
		`Attest the machine this runs on, once: no agent, no registrar and no enrolment.

Its TPM makes an EK, an AK below it and a quote of PCRs 0 to 15; the quote, the IMA list and
the boot log are held against the policies given, here with everything that is refused, and
then by the verifier. tpm2-tools are not needed, and nothing is left in the TPM. A quote that
is not good is not sent. PCR 10 is quoted with --runtime-policy only: without one a verifier
refuses every machine that measures files.

Root can do all of this; the TPM is open to its group (tss) as well. The verifier wants no
client certificate for this question, so its CA is all that is needed: --verifier-cacert FILE.

What it says holds for this moment, and for whoever believes this machine: nobody has seen
that AK and EK are in one TPM, or that it is a real one. For that, enrol the machine.

In a lab the directory of an agent has the socket of its TPM, tpm.sock, and its lists.

Exit code: 0 if the machine is accepted, 3 if the verifier or the judgement here refuses it,
4 if TPM or verifier want other credentials, 6 if one of them is not reached.`,
		`keylime_tenant oneshot --runtime-policy policy.json --verifier-cacert cacert.crt -v 10.0.0.1
keylime_tenant oneshot --local --mb-policy refstate.json
keylime_tenant oneshot --local --tpm-policy '{"7": ["65caf8dd..."]}' -o json
keylime_tenant oneshot --tpm swtpm:path=lab/agent-1/tpm.sock --runtime-policy policy.json \
    --ima-log lab/agent-1/ascii_runtime_measurements --boot-log lab/agent-1/binary_bios_measurements`,
		noArgs, func(ctx context.Context, _ []string) error { return a.oneshot(ctx, &f) })
	o := options{flags: cmd.Flags(), section: "Policies (at least one)"}
	o.text(&f.runtime, "runtime-policy", "", "FILE", "files of the IMA list that are allowed, plain or signed")
	o.text(&f.mb, "mb-policy", "", "FILE", "boots that are accepted (reference state)")
	o.text(&f.tpmPolicy, "tpm-policy", "", "FILE", "values that PCRs may have; the JSON itself will do too")
	o.section = "Verifier (-v and --cvport say where)"
	o.on(&f.local, "local", "", "judge here alone, without a verifier")
	o.text(&f.caCert, "verifier-cacert", "", "FILE", "the CA of its certificate (trusted_server_ca)")
	o.section = "TPM"
	o.text(&f.tpm, "tpm", "", "ADDRESS", "device:/dev/tpmrm0 (default), device:/dev/tpm0, swtpm:path=SOCKET, swtpm:host=HOST,port=PORT, mssim:host=HOST,port=PORT or tabrmd: ("+tpmVariable+")")
	o.text(&f.ekHandle, "ek-handle", "", "HANDLE", "use the EK at this handle, such as 0x81010001, instead of making one")
	o.text(&f.password, "tpm-endorsement-pw", "", "PASSWORD", "of the endorsement hierarchy; file:PATH reads it from a file, hex: and str: are as in tpm2-tools")
	o.text(&f.hash, "tpm-hash-algorithm", "", "sha256|sha384|sha512|sha1", "bank of PCRs, and hash of the signature (default sha256)")
	o.text(&f.keys, "tpm-encryption-algorithm", "", "rsa|ecc", "kind of the keys (default rsa)")
	o.text(&f.signing, "tpm-signing-algorithm", "", "rsassa|ecdsa", "scheme of the signature (default: what goes with the keys)")
	o.section = "Lists of the machine"
	o.text(&f.imaLog, "ima-log", "", "FILE", "IMA list in its ASCII form (default "+kernelIMAList+")")
	o.text(&f.bootLog, "boot-log", "", "FILE", "boot log (default "+kernelBootLog+")")
	cmd.SuggestFor = []string{"attest", "one-shot", "selfcheck", "evidence"}
	return cmd
}

func (a *app) oneshot(ctx context.Context, f *oneshotFlags) error {
	request, err := a.oneshotRequest(f)
	if err != nil {
		return err
	}
	run := &tenant.Oneshot{OpenTPM: a.openTPM(f.tpm), Logs: a.machineLogs(f), Tell: a.note}
	if err := tenant.CheckOneshot(request); err != nil {
		return err
	}
	if !f.local {
		conn, err := a.anonymous(ctx, f.caCert)
		if err != nil {
			return err
		}
		run.Verifier, run.Conn = verifier.New(conn), conn
	}
	result, err := run.Run(ctx, request)
	if err != nil {
		return tpmFailure(err)
	}
	if err := a.show(&oneshotResult{OneshotResult: result, columns: a.streams.Width}); err != nil {
		return err
	}
	if refusal := result.Refusal(); refusal != "" {
		return &statusError{Code: exitRefused, Err: errors.New(refusal)}
	}
	return nil
}

// oneshotRequest reads the files and values of the options.
func (a *app) oneshotRequest(f *oneshotFlags) (r tenant.OneshotRequest, err error) {
	if r.RuntimePolicy, err = a.input("--runtime-policy", f.runtime); err != nil {
		return r, err
	}
	if r.MBPolicy, err = a.input("--mb-policy", f.mb); err != nil {
		return r, err
	}
	if strings.HasPrefix(strings.TrimSpace(f.tpmPolicy), "{") {
		r.TPMPolicy = &tenant.Input{Name: "--tpm-policy", Content: []byte(f.tpmPolicy)}
	} else if r.TPMPolicy, err = a.input("--tpm-policy", f.tpmPolicy); err != nil {
		return r, err
	}
	r.TPM = tpmdev.Request{Hash: f.hash, Keys: f.keys, Signing: f.signing}
	if f.ekHandle != "" && f.ekHandle != "generate" {
		handle, err := strconv.ParseUint(f.ekHandle, 16, 32)
		if rest, prefixed := strings.CutPrefix(strings.ToLower(f.ekHandle), "0x"); prefixed {
			handle, err = strconv.ParseUint(rest, 16, 32)
		}
		if err != nil || handle == 0 {
			return r, usagef("--ek-handle %q is no handle", f.ekHandle).hint("a handle is a hexadecimal number such as 0x81010001; generate, or nothing, makes an EK")
		}
		r.TPM.EKHandle = uint32(handle)
	}
	r.TPM.EndorsementPassword, err = a.tpmPassword("--tpm-endorsement-pw", f.password)
	return r, err
}

// openTPM opens the TPM of an option, of the environment, or of the machine.
func (a *app) openTPM(address string) func(context.Context) (tenant.Quoter, func() error, error) {
	if address == "" {
		address, _ = a.getenv(tpmVariable)
	}
	var buses tpmdev.Buses
	buses.System, _ = a.getenv("DBUS_SYSTEM_BUS_ADDRESS")
	buses.Session, _ = a.getenv("DBUS_SESSION_BUS_ADDRESS")
	return func(ctx context.Context) (tenant.Quoter, func() error, error) {
		t, err := buses.Open(ctx, address)
		if err != nil {
			return nil, nil, err
		}
		return t, t.Close, nil
	}
}

// anonymous makes the client of a verifier for its public routes: without a
// certificate of ours. caCert is the CA to trust, "" for the configured one.
func (a *app) anonymous(ctx context.Context, caCert string) (*client.Client, error) {
	c, err := a.config(ctx)
	if err != nil {
		return nil, err
	}
	// Not begin, which wants a certificate of ours.
	for _, w := range c.Warnings {
		a.present().Event(tenant.Warning{Kind: warnConfig, Object: "configuration", Text: w.Text, Hint: w.Hint})
	}
	if c.InsecureSkipServer {
		a.present().Event(tenant.Warning{Kind: warnInsecure, Object: "--insecure-skip-server-verification",
			Text: "the verifier's certificate is not verified: whoever is in between can say anything in its name"})
	}
	files := client.TLSFiles{Anonymous: true, CheckHostname: c.CheckHostname, InsecureSkipServer: c.InsecureSkipServer}
	if caCert != "" {
		files.CAFiles, files.CAOption = []string{caCert}, "--verifier-cacert"
	} else {
		// That there is no certificate of ours is no matter.
		configured, err := c.TLS()
		if err != nil && len(configured.CAFiles) == 0 && !c.InsecureSkipServer {
			return nil, configFailure(err)
		}
		files.CAFiles = configured.CAFiles
	}
	material, err := client.LoadTLS(files)
	switch {
	case err != nil && caCert == "":
		return nil, &advisedError{Err: a.tlsFailure(c, err), Advice: "name the verifier's CA with --verifier-cacert FILE; --local needs no verifier"}
	case err != nil:
		return nil, err
	}
	conn, err := client.New(client.Config{Name: client.VerifierName, Host: c.VerifierHost, Port: c.VerifierPort, TLS: material, Timeout: c.RequestTimeout, Trace: a.trace})
	if err != nil {
		return nil, err
	}
	a.closers = append(a.closers, conn.Close)
	return conn, nil
}

// tpmPassword reads a password as tpm2-tools do: str:, hex: and file: say what
// it is, and anything else is the password itself.
func (a *app) tpmPassword(option, text string) (tpmdev.Secret, error) {
	kind, value, found := strings.Cut(text, ":")
	if !found {
		return tpmdev.Secret(text), nil
	}
	switch kind {
	case "str":
		return tpmdev.Secret(value), nil
	case "hex":
		octets, err := hexOctets(value)
		if err != nil {
			return "", usagef("%s: not a hexadecimal number after hex:", option)
		}
		return tpmdev.Secret(octets), nil
	case "file":
		data, err := a.readFile(option, value)
		return tpmdev.Secret(strings.TrimRight(string(data), "\r\n")), err
	case "session", "pcr":
		return "", usagef("%s: an authorisation by %s: is not supported here", option, kind).hint("give the password itself, or file:PATH")
	}
	return tpmdev.Secret(text), nil
}

// tpmFailure gives failures of a TPM their exit code and advice.
func tpmFailure(err error) error {
	var e *tpmdev.Error
	if !errors.As(err, &e) || errors.Is(err, errInterrupted) || errors.Is(err, context.Canceled) {
		return err
	}
	if e.Hint != "" {
		err = &advisedError{Err: err, Advice: e.Hint}
	}
	code := exitFailure
	switch e.Kind {
	case tpmdev.BadAddress, tpmdev.Unsupported, tpmdev.NoBank:
		code = exitUsage
	case tpmdev.Forbidden, tpmdev.Password:
		code = exitAuth
	case tpmdev.NoKey:
		code = exitNotFound
	case tpmdev.Absent, tpmdev.Unreachable:
		code = exitUnreachable
	case tpmdev.Occupied:
		code = exitConflict
	}
	return &statusError{Code: code, Err: err}
}
