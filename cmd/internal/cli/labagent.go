package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/keylime/keylime-tenant/cmd/internal/render"
	"github.com/keylime/keylime-tenant/tenant/lab"
)

// agentResult is what `lab agent` says when the agent is ready.
type agentResult struct {
	ID        string `json:"id"`
	Address   string `json:"address"`
	Registrar string `json:"registrar"`
	Dir       string `json:"dir"`
	// Verifier is who it attests itself to, "" in the pull model.
	Verifier string `json:"verifier,omitempty"`
	// TPM is the address at which its TPM takes commands.
	TPM string `json:"tpm,omitempty"`
}

// Names is the id.
func (r agentResult) Names() []string { return []string{r.ID} }

// Screen is one sentence.
func (r agentResult) Screen() render.Screen {
	if r.Verifier != "" {
		return render.Screen{{Text: fmt.Sprintf("agent %s is registered with %s and activated; it attests itself to the verifier %s, and listens to nobody; Ctrl-C ends it", r.ID, r.Registrar, r.Verifier)}}
	}
	return render.Screen{{Text: fmt.Sprintf("agent %s at %s is registered with %s and activated; Ctrl-C ends it", r.ID, r.Address, r.Registrar)}}
}

func newLabAgentCmd(a *app) *cobra.Command {
	var dir, uuid, ip, port, contactIP, registrar, clientCA, ekCA, evidence, verifier, verifierCA string
	var push, device bool
	var interval seconds
	cmd := a.command("agent --dir DIR", "run one agent with a software TPM, with any registrar", `Run one agent with a software TPM and register it with any registrar, also a real one.

It reads DIR/agent.conf and DIR/agent.conf.d/*.conf as the real agent does, and
KEYLIME_AGENT_<OPTION> in the environment; the options here win. It runs until Ctrl-C.
For tests: its TPM is software, so that a good quote proves nothing about this machine.

With --push it is an agent of the push model: it listens to nobody, and attests itself to
the verifier by the protocol of API 3.0, as the Rust agent does. A real verifier must run in
push mode (mode = push) and have a policy for it, since without one it asks for no quote.
Keylime 7.14.3 takes such agents with RSA keys only (tpm_signing_alg = "rsassa", the default).`,
		`keylime_tenant lab agent --dir /tmp/agent --registrar 127.0.0.1:8890 \
    --trusted-client-ca /var/lib/keylime/cv_ca/cacert.crt --ek-ca /var/lib/keylime/tpm_cert_store/lab.pem
keylime_tenant lab agent --dir /tmp/agent --push --verifier https://127.0.0.1:8881 \
    --verifier-ca /var/lib/keylime/cv_ca/cacert.crt`,
		noArgs, func(ctx context.Context, _ []string) (err error) {
			if dir == "" {
				return usagef("lab agent needs --dir, a directory for the agent's state").hint("keylime_tenant lab agent --help")
			}
			if !push && (verifier != "" || verifierCA != "" || interval != 0) {
				return usagef("--verifier, --verifier-ca and --interval are for an agent that attests itself").hint("add --push, or leave them out")
			}
			env := slices.Clone(a.env)
			set := func(option, value string) {
				if value != "" {
					env = append(env, "KEYLIME_AGENT_"+option+"="+value)
				}
			}
			if registrar != "" {
				host, number, err := net.SplitHostPort(registrar)
				if err != nil {
					return usagef("--registrar %q: not HOST:PORT", registrar)
				}
				set("REGISTRAR_IP", host)
				set("REGISTRAR_PORT", number)
			}
			if clientCA != "" {
				if clientCA, err = absolute(clientCA); err != nil {
					return err
				}
			}
			if verifierCA != "" {
				if verifierCA, err = absolute(verifierCA); err != nil {
					return err
				}
			}
			set("VERIFIER_URL", verifier)
			set("VERIFIER_TLS_CA_CERT", verifierCA)
			set("UUID", uuid)
			set("IP", ip)
			set("PORT", port)
			set("CONTACT_PORT", port)
			set("CONTACT_IP", contactIP)
			set("TRUSTED_CLIENT_CA", clientCA)
			if device {
				set("ENABLE_IAK_IDEVID", "true")
			}
			agent, err := lab.StartAgent(ctx, lab.AgentOptions{Dir: dir, EvidenceDir: evidence, EKCAFile: ekCA, Push: push, AttestEvery: time.Duration(interval),
				Env: env, Log: a.agentLog()})
			if err != nil {
				return labFailure(err)
			}
			defer func() { err = errors.Join(err, agent.Close()) }()
			info := agent.Info()
			if err := a.show(agentResult{info.ID, net.JoinHostPort(info.Host, fmt.Sprint(info.Port)), agent.Registrar(), info.Dir, agent.Verifier(), info.TPM}); err != nil {
				return err
			}
			<-ctx.Done()
			return nil
		})
	flags := cmd.Flags()
	flags.StringVar(&dir, "dir", "", "keep the agent's state in `DIR`")
	flags.StringVar(&uuid, "uuid", "", "`ID` of the agent; hash_ek and generate have a meaning of their own")
	flags.StringVar(&ip, "ip", "", "`ADDRESS` to listen on (default 127.0.0.1)")
	flags.StringVar(&port, "port", "", "`PORT` to listen on (default 9002)")
	flags.StringVar(&contactIP, "contact-ip", "", "`ADDRESS` at which tenant and verifier reach the agent")
	flags.StringVar(&registrar, "registrar", "", "`HOST:PORT` of the registrar, without TLS (default 127.0.0.1:8890)")
	flags.StringVar(&clientCA, "trusted-client-ca", "", "`FILE` with the CA of tenants and verifiers")
	flags.StringVar(&ekCA, "ek-ca", "", "write the CA of the TPM's EK certificate to `FILE`, for a tpm_cert_store")
	flags.BoolVar(&device, "iak-idevid", false, "register with a device identity too: IAK and IDevID, certified by the CA of --ek-ca (enable_iak_idevid in agent.conf)")
	flags.BoolVar(&push, "push", false, "push model: listen to nobody, and attest itself to the verifier")
	flags.StringVar(&verifier, "verifier", "", "`URL` of the verifier for --push, https://HOST:PORT (verifier_url in agent.conf)")
	flags.StringVar(&verifierCA, "verifier-ca", "", "`FILE` with the CA of the verifier for --push (default: that of --trusted-client-ca)")
	flags.Var(&interval, "interval", "with --push, time between two attestations where the verifier tells none, `DURATION` (default 2s)")
	flags.StringVar(&evidence, "evidence", "", "boot from `DIR`: binary_bios_measurements, and ima_ascii.txt or ascii_runtime_measurements")
	return cmd
}

// agentLog is where a single agent's log goes: to stderr, unless --quiet.
func (a *app) agentLog() func(string) {
	if a.global.quiet {
		return nil
	}
	return a.logLines()
}

// absolute makes a path whole, for those who do not share our current
// directory.
func absolute(path string) (string, error) {
	whole, err := filepath.Abs(path)
	if err != nil {
		return "", fmt.Errorf("path %s: %w", path, err)
	}
	return whole, nil
}
