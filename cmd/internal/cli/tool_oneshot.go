package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"

	"github.com/keylime/keylime-tenant/client"
	"github.com/keylime/keylime-tenant/client/verifier"
	"github.com/keylime/keylime-tenant/cmd/internal/argparse"
	"github.com/keylime/keylime-tenant/cmd/internal/pyjson"
	"github.com/keylime/keylime-tenant/cmd/internal/render"
	"github.com/keylime/keylime-tenant/tenant"
)

const (
	oneshotProgram = "keylime_oneshot_attestation"
	// oldVerifierPort is where verifiers listen. The script says so too, but
	// tries another one (TENANT-CLI.md C.2).
	oldVerifierPort = "8881"
	oldVerifierCA   = "/var/lib/keylime/cv_ca/cacert.crt"
)

// oneshotParser is the command line of the script keylime_oneshot_attestation.
func oneshotParser() argparse.Parser {
	option := func(name, help string) argparse.Option {
		return argparse.Option{Names: []string{"--" + name}, Dest: name, Metavar: metavar(name), Help: help}
	}
	own := func(name string) argparse.Option {
		return argparse.Option{Names: []string{"--" + name}, Dest: name, Metavar: metavar(name), Own: true}
	}
	host := option("verifier-host", "Host name or address of the Keylime verifier")
	host.Required = true
	debug := option("debug", "Tell each step")
	debug.NArgs = argparse.None
	return argparse.Parser{Prog: oneshotProgram, Epilog: "The TPM is the one that " + tpmVariable + " names, by default device:/dev/tpmrm0.", Options: []argparse.Option{
		option("ek-handle", "Handle of an EK in the TPM, in hexadecimal. 'generate' (the default) makes one for the time of the call."),
		option("tpm-owner-pw", "Taken for the sake of old scripts: no password of the owner hierarchy is needed"),
		option("tpm-endorsement-pw", "Password of the TPM's endorsement hierarchy"),
		option("tpm-encryption-algorithm", "Kind of the keys: rsa (default) or ecc"),
		option("tpm-signing-algorithm", "Scheme of the signature: rsassa or ecdsa (default: what goes with the keys)"),
		option("tpm-hash-algorithm", "Hash of the signature and bank of PCRs: sha256 (default), sha384, sha512 or sha1"),
		option("runtime-policy", "Runtime policy, a file"),
		option("tpm-policy", "TPM policy, a file"),
		option("mb-policy", "Measured boot policy, a file"),
		debug,
		host,
		option("verifier-port", "Port of the Keylime verifier (default: "+oldVerifierPort+")"),
		option("verifier-cacert", "CA of the verifier's certificate (default: "+oldVerifierCA+")"),
		own("tpm"), own("ima-log"), own("boot-log"),
	}}
}

// metavar is the name of a value as argparse makes it of an option's.
func metavar(name string) string {
	out := []byte(name)
	for i, c := range out {
		switch {
		case c == '-':
			out[i] = '_'
		case c >= 'a' && c <= 'z':
			out[i] = c - 'a' + 'A'
		}
	}
	return string(out)
}

// oneshotTool is the script keylime_oneshot_attestation (TENANT-CLI.md C.2), but
// that it needs no tpm2-tools and leaves nothing in the TPM. As with the script,
// 0 says that the verifier has answered, whatever its verdict: suites count on it.
func oneshotTool(ctx context.Context, a *app, args []string) int {
	parser := oneshotParser()
	values, code, ended := a.parseTool(&parser, args)
	if ended {
		return code
	}
	get := func(name, fallback string) string {
		if value, found := values.Get(name); found {
			return value
		}
		return fallback
	}
	log := toolLog{app: a, out: a.errOut(), levels: true}
	port, err := strconv.Atoi(get("verifier-port", oldVerifierPort))
	if err != nil || port < 1 || port > 65535 {
		fmt.Fprintln(a.errOut(), parser.Fail("argument --verifier-port: not a port: "+pyjson.Quote(get("verifier-port", ""))))
		return exitUsage
	}
	for _, name := range []string{"runtime-policy", "tpm-policy", "mb-policy"} {
		path := get(name, "")
		if path == "" || path == "-" {
			continue
		}
		file, err := os.Open(path)
		if err != nil {
			return a.cannotOpen(&parser, "--"+name, path, err)
		}
		_ = file.Close() // only opened to see whether that can be done
	}
	f := oneshotFlags{runtime: get("runtime-policy", ""), mb: get("mb-policy", ""), tpm: get("tpm", ""), ekHandle: get("ek-handle", ""), password: get("tpm-endorsement-pw", ""),
		hash: get("tpm-hash-algorithm", ""), keys: get("tpm-encryption-algorithm", ""), signing: get("tpm-signing-algorithm", ""), imaLog: get("ima-log", ""), bootLog: get("boot-log", "")}
	request, err := a.oneshotRequest(&f)
	if err == nil {
		// Here it is always a file.
		request.TPMPolicy, err = a.input("--tpm-policy", get("tpm-policy", ""))
	}
	if err == nil {
		err = tenant.CheckOneshot(request)
	}
	if err != nil {
		code := log.failed(err)
		if request.RuntimePolicy != nil || request.MBPolicy != nil || request.TPMPolicy != nil {
			// Scripts know a bad policy by what is said of the verifier's answer.
			log.write("ERROR", fmt.Sprintf("nothing was sent: a Failure from verifier %s:%d for oneshot data to verifier would follow", render.Safe(get("verifier-host", "")), port))
		}
		return code
	}
	material, err := client.LoadTLS(client.TLSFiles{CAFiles: []string{get("verifier-cacert", oldVerifierCA)}, CAOption: "--verifier-cacert", Anonymous: true})
	if err != nil {
		return log.failed(err)
	}
	conn, err := client.New(client.Config{Name: client.VerifierName, Host: get("verifier-host", ""), Port: port, TLS: material})
	if err != nil {
		return log.failed(err)
	}
	a.closers = append(a.closers, conn.Close)
	run := &tenant.Oneshot{Verifier: verifier.New(conn), Conn: conn, OpenTPM: a.openTPM(f.tpm), Logs: a.machineLogs(&f)}
	if values.Has("debug") {
		run.Tell = func(text string) { log.write("DEBUG", text) }
	}
	result, err := run.Run(ctx, request)
	if err != nil {
		return log.failed(err)
	}
	return log.oneshot(result)
}

// failed writes an error and what to do about it.
func (l *toolLog) failed(err error) int {
	text := err.Error()
	if step := new(tenant.StepError); errors.As(err, &step) {
		text = string(step.Step) + ": " + step.Err.Error()
	}
	code := l.errorf("%s", render.Safe(text)+untrustedToken(err))
	if hint := render.HintOf(tpmFailure(err)); hint != "" {
		l.write("ERROR", hint)
	}
	return code
}

// untrustedToken is the wording of OpenSSL that scripts know an unknown CA by.
func untrustedToken(err error) string {
	if client.KindOf(err) == client.ServerUntrusted {
		return " [certificate verify failed: self-signed certificate in certificate chain]"
	}
	return ""
}

// oneshot writes what the verifier says, as the script does, and the reasons in
// words, which it does not.
func (l *toolLog) oneshot(r *tenant.OneshotResult) int {
	l.write("INFO", "TPM Quote: "+r.TPM.Quote)
	reply := r.Verifier.Reply
	l.write("INFO", fmt.Sprintf("Verifier HTTP Response Code: %d", reply.HTTP))
	l.write("INFO", "Verifier Response Body: "+pyjson.Repr(reply.Body))
	for _, note := range r.Notes {
		l.write("INFO", render.Safe(note))
	}
	for _, f := range r.Verifier.Failures {
		l.errorf("%s", render.Safe(f.EventID+": "+f.Words))
	}
	switch {
	case !r.Verifier.Valid:
		l.errorf("%s", render.Safe(r.Refusal()))
		l.warn("the exit code is 0 all the same, as it always was: for one that tells the verdict call " + programName + " oneshot")
	case !r.Accepted:
		l.warn(render.Safe(r.Refusal()))
	}
	return exitOK
}
