package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// newTopicCmds are the texts that `keylime_tenant help TOPIC` shows. They have
// no body, which is how cobra knows a topic from a verb.
func newTopicCmds() []*cobra.Command {
	topics := []struct{ name, short, text string }{
		{"exit-codes", "what the exit codes mean", exitCodesText()},
		{"environment", "environment variables", environmentText},
		{"configuration", "where values come from", configurationText},
		{"trust", "what is checked, and what is not", trustText},
		{"classic", "the old command line, and its words here", classicText()},
	}
	cmds := make([]*cobra.Command, 0, len(topics))
	for _, t := range topics {
		cmds = append(cmds, &cobra.Command{Use: t.name, Short: t.short, Long: strings.TrimSpace(t.text)})
	}
	return cmds
}

const environmentText = `
Environment variables:

  KEYLIME_TENANT_<OPTION>  value of an option of tenant.conf, the name in upper
                           case: KEYLIME_TENANT_VERIFIER_IP=10.0.0.5
  KEYLIME_TENANT_CONFIG    this file instead of tenant.conf and its drop-ins
  KEYLIME_CA_CONFIG        the same for ca.conf, KEYLIME_LOGGING_CONFIG for
                           logging.conf (classic grammar only)
  KEYLIME_CA_PASSWORD      password of the key store of the CA
  KEYLIME_DIR              working directory of Keylime, else /var/lib/keylime
  KEYLIME_TEST             "on", "true" or "1": the current directory is the
                           working directory, and the EK of an emulator is let pass
  NO_COLOR                 any value: no colour
  XDG_CACHE_HOME           completion keeps ids for seconds there, else in ~/.cache

Proxies (HTTPS_PROXY) and certificates (SSL_CERT_FILE, REQUESTS_CA_BUNDLE) of the
environment are not used for Keylime's servers.
`

const configurationText = `
Where values come from; the later wins:

  1. built-in defaults: those of the template that Keylime 7.14.3 ships
  2. /etc/keylime/tenant.conf, or /usr/etc/keylime/tenant.conf if that is absent
  3. /usr/etc/keylime/tenant.conf.d/*, then /etc/keylime/tenant.conf.d/*, each in
     the order of names
  4. KEYLIME_TENANT_CONFIG=FILE replaces 2 and 3 by that one file
  5. KEYLIME_TENANT_<OPTION> in the environment
  6. options on the command line

  keylime_tenant config show      every value, and where it came from

A misspelt boolean, or a value that is not allowed, is an error that names file and
line. An option that nobody knows is a warning.
`

const trustText = `
What is checked before a share of the payload key leaves this machine:

  servers   Only the CAs of trusted_server_ca are trusted, never the system's. Host
            names are not checked, since Keylime's certificates often carry none;
            --check-hostname turns the check on. A missing client key or CA is an
            error, never a connection without TLS.
  agent     Its certificate must be, byte for byte, the one the registrar holds.
  quote     Signature by the registered AK, nonce, the digest over the PCR values,
            PCR 16 bound to the transport key, accepted algorithms.
  EK        A chain to tpm_cert_store, dates, and the same key as the registered EK,
            in the pull and in the push model; or a pin, or both (ek_require, see
            keylime_tenant ek --help).
  secrets   K, U, V and private keys are never printed, logged or written to
            temporary files; v in a server's answer is hidden unless --show-secrets.

What is not verified here: the registrar is trusted to have bound AK to EK by
credential activation; the verifier is trusted to go on attesting and to enforce the
policies it is given. Whether a measured-boot policy is enforced depends on its
measured_boot_policy_name, which its API does not tell.
`

// classicWords pairs calls of the old command line with their new form.
func classicWords() [][2]string {
	return [][2]string{
		{"-c add -t IP -u ID -f FILE", "add ID --targethost IP --file FILE"},
		{"-c add ... --mb_refstate P.json", "add ID ... --mb-policy P.json"},
		{"-c update -u ID ...", "update ID ..."},
		{"-c delete -u ID", "delete ID"},
		{"-c status -u ID", "status ID"},
		{"-c cvstatus -u ID", "cvstatus ID"},
		{"-c regstatus -u ID", "regstatus ID"},
		{"-c cvlist, -c reglist, -c bulkinfo", "cvlist, reglist, bulkinfo"},
		{"-c reactivate -u ID", "reactivate ID"},
		{"-c regdelete -u ID", "regdelete ID"},
		{"-c addruntimepolicy --runtime-policy-name N --runtime-policy F", "addruntimepolicy N --runtime-policy F"},
		{"-c showmbpolicy --mb-policy-name N", "showmbpolicy N"},
	}
}

func classicText() string {
	var b strings.Builder
	b.WriteString(`The command line of the Python tenant goes on working, with its output and its exit
codes (0 done, 1 failed, 2 usage). Scripts need no change:

  keylime_tenant -c VERB [OPTION]...
  keylime_tenant [OPTION]...             without -c: the verb is add
  keylime_tenant -c VERB -o json ...     -o beside -c: result and exit codes of the
                                         new contract for this call

The same in the new words:

`)
	for _, pair := range classicWords() {
		if len(pair[0]) > 36 {
			fmt.Fprintf(&b, "  %s\n  %-36s  %s\n", pair[0], "", pair[1])
			continue
		}
		fmt.Fprintf(&b, "  %-36s  %s\n", pair[0], pair[1])
	}
	b.WriteString("\nkeylime_tenant -c add -h lists the options of the old command line.\n")
	return b.String()
}
