package cli

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/keylime/keylime-tenant/cmd/internal/classic"
	"github.com/keylime/keylime-tenant/cmd/internal/config"
	"github.com/keylime/keylime-tenant/tenant/ek"
)

// ekScript is the script that comes with Keylime to be the ek_check_script of
// tenant.conf; ekScriptLog is where it writes unless EK_VERIFICATION_LOG says
// otherwise, and ekScriptConfig where it looks for the store.
const (
	ekScript       = "ek-openssl-verify"
	ekScriptLog    = "/var/log/keylime/ek-verification.log"
	ekScriptConfig = "/etc/keylime"
)

// ekScriptTool is the script ek-openssl-verify (TENANT-CLI.md C.2): it verifies
// the EK certificate that the environment holds against a store of which every
// certificate is trusted, as openssl verify -partial_chain does. openssl is not
// needed. Beyond the script it demands that the certificate is for the EK of the
// environment, if that holds one, and refuses signatures with SHA-1.
func ekScriptTool(_ context.Context, a *app, args []string) int {
	a.old, a.verb = &classic.Call{Verb: ekScript}, ekScript
	if len(args) > 0 {
		return ekScriptArguments(a, args)
	}
	log := a.openEKLog()
	defer log.close()
	issuer, file, err := a.verifyEnvironment(log)
	if err != nil {
		log.write("ERROR: "+err.Error(), true)
		return exitFailure
	}
	log.write(fmt.Sprintf("EK certificate of issuer %q successfully verified by %s", issuer, filepath.Base(file)), true)
	return exitOK
}

// ekScriptArguments answers a call with arguments, of which there are none but
// the request for help.
func ekScriptArguments(a *app, args []string) int {
	text := `Usage: ` + ekScript + `

Verifies the certificate of an EK, without arguments, by these variables:
  EK_CERT              the certificate, base64 of DER
  EK_TPM, EK           the EK that it must be for: base64 of TPM2B_PUBLIC, or PEM (optional)
  TPM_CERT_STORE       directory of trusted *.pem files; else tpm_cert_store in
  KEYLIME_CONFIG_DIR   directory of tenant.conf and tenant.conf.d (` + ekScriptConfig + `)
  EK_VERIFICATION_LOG  a log that is appended to (` + ekScriptLog + `)

It can be the ek_check_script of tenant.conf. Exit code: 0 if a certificate of the store
vouches for the EK, else 1. The same does keylime_tenant ek verify FILE --store DIR.
`
	if args[0] == "-h" || args[0] == "--help" {
		io.WriteString(a.out(), text)
		return exitOK
	}
	fmt.Fprintf(a.errOut(), "ERROR: what is %q? %s takes no arguments\n%s", args[0], ekScript, text)
	return exitFailure
}

// verifyEnvironment verifies the certificate of the environment, and tells the
// name of its issuer and the file that vouches for it.
func (a *app) verifyEnvironment(log *ekLog) (issuer, file string, err error) {
	encoded, _ := a.getenv("EK_CERT")
	if encoded == "" {
		return "", "", errors.New("EK_CERT was not provided as an env var")
	}
	der, err := decodeBase64(encoded)
	if err != nil {
		return "", "", errors.New("EK_CERT is not base64, so that it holds no certificate")
	}
	dir, err := a.ekStore()
	if err != nil {
		return "", "", err
	}
	store, err := ek.LoadStore(dir)
	if err != nil {
		return "", "", err
	}
	for _, skipped := range store.Skipped() {
		log.write(fmt.Sprintf("WARNING: %s is not used: %v", skipped.Path, skipped.Err), false)
	}
	for last, anchors := "", store.Anchors(); len(anchors) > 0; anchors = anchors[1:] {
		if anchors[0].Path != last {
			last = anchors[0].Path
			log.write("Checking if "+last+" is the issuer of EK cert...", false)
		}
	}
	verified, err := a.verifyAgainst(store, der)
	if err != nil {
		return "", "", fmt.Errorf("EK signature did not match certificates from TPM cert store: %w", err)
	}
	return verified.Issuer(), verified.AnchorFile(), nil
}

// verifyAgainst verifies a certificate, also against the EK that the
// environment holds.
func (a *app) verifyAgainst(store *ek.Store, der []byte) (ek.Verified, error) {
	if encoded, _ := a.getenv("EK_TPM"); encoded != "" {
		tpm, err := decodeBase64(encoded)
		if err != nil {
			return ek.Verified{}, errors.New("EK_TPM is not base64")
		}
		return store.Verify(der, tpm, ek.Options{Now: a.now()})
	}
	verified, err := store.VerifyCertificate(der, ek.Options{Now: a.now()})
	text, _ := a.getenv("EK")
	if err != nil || strings.TrimSpace(text) == "" {
		return verified, err
	}
	return verified, certificateIsFor(verified.Certificate(), []byte(text))
}

// certificateIsFor says why a certificate is not for an EK, TPM2B_PUBLIC or
// PEM.
func certificateIsFor(c *ek.Certificate, key []byte) error {
	public, err := ek.ReadPublic(key)
	switch {
	case err != nil:
		return &ek.VerificationError{Check: ek.CheckPublic, Err: err}
	case !c.IsFor(public):
		return &ek.VerificationError{Check: ek.CheckKeyMatch, Issuer: c.Issuer, AKI: c.AKI,
			Err: fmt.Errorf("the certificate is for another key (%s) than the EK (%s)", c.Algorithm, public.Algorithm())}
	}
	return nil
}

// decodeBase64 reads base64 that may be broken into lines.
func decodeBase64(text string) ([]byte, error) {
	return base64.StdEncoding.DecodeString(strings.Join(strings.Fields(text), ""))
}

// ekStore is the directory of the store: that of the environment, or that of
// the configuration.
func (a *app) ekStore() (string, error) {
	store, _ := a.getenv("TPM_CERT_STORE")
	if store == "" {
		dir, _ := a.getenv("KEYLIME_CONFIG_DIR")
		if dir == "" {
			dir = ekScriptConfig
		}
		if info, err := os.Stat(dir); err != nil || !info.IsDir() {
			return "", fmt.Errorf("KEYLIME_CONFIG_DIR (%s) does not seem to exist", dir)
		}
		var err error
		if store, err = config.StoreIn(dir); err != nil {
			return "", err
		}
	}
	if store == "" {
		return "", errors.New("it was not possible to determine the TPM cert store dir from tenant.conf or tenant.conf.d/ snippets: name it in TPM_CERT_STORE")
	}
	if info, err := os.Stat(store); err != nil || !info.IsDir() {
		return "", fmt.Errorf("TPM cert store is not a valid directory (%s)", store)
	}
	return store, nil
}

// ekLog is the log of the script, and the standard error beside or instead of
// it.
type ekLog struct {
	file *os.File // nil: it cannot be written to
	err  io.Writer
	now  func() time.Time
}

// openEKLog opens the log to append to it. One that is made can be read by its
// owner alone: EKs identify machines. A pipe that nobody reads does not block.
func (a *app) openEKLog() *ekLog {
	path, _ := a.getenv("EK_VERIFICATION_LOG")
	if path == "" {
		path = ekScriptLog
	}
	log := &ekLog{err: a.errOut(), now: a.now}
	if file, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY|syscall.O_NONBLOCK, 0o600); err == nil {
		log.file = file
	}
	return log
}

// write writes a line to the log; aloud, to the standard error as well.
func (l *ekLog) write(text string, aloud bool) {
	line := "[" + l.now().Format(time.UnixDate) + "] " + text + "\n"
	if l.file != nil {
		if _, err := l.file.WriteString(line); err == nil {
			if aloud {
				fmt.Fprintln(l.err, text)
			}
			return
		}
	}
	io.WriteString(l.err, line)
}

func (l *ekLog) close() {
	if l.file != nil {
		l.file.Close()
	}
}
