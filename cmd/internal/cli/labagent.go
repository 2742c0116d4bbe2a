package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"slices"

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
}

// Names is the id.
func (r agentResult) Names() []string { return []string{r.ID} }

// Screen is one sentence.
func (r agentResult) Screen() render.Screen {
	return render.Screen{{Text: fmt.Sprintf("agent %s at %s is registered with %s and activated; Ctrl-C ends it", r.ID, r.Address, r.Registrar)}}
}

func newLabAgentCmd(a *app) *cobra.Command {
	var dir, uuid, ip, port, contactIP, registrar, clientCA, ekCA, evidence string
	cmd := a.command("agent --dir DIR", "run one agent with a software TPM, with any registrar", `Run one agent with a software TPM and register it with any registrar, also a real one.

It reads DIR/agent.conf and DIR/agent.conf.d/*.conf as the real agent does, and
KEYLIME_AGENT_<OPTION> in the environment; the options here win. It runs until Ctrl-C.
For tests: its TPM is software, so that a good quote proves nothing about this machine.`,
		`keylime_tenant lab agent --dir /tmp/agent --registrar 127.0.0.1:8890 \
    --trusted-client-ca /var/lib/keylime/cv_ca/cacert.crt --ek-ca /var/lib/keylime/tpm_cert_store/lab.pem`,
		noArgs, func(ctx context.Context, _ []string) (err error) {
			if dir == "" {
				return usagef("lab agent needs --dir, a directory for the agent's state").hint("keylime_tenant lab agent --help")
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
			set("UUID", uuid)
			set("IP", ip)
			set("PORT", port)
			set("CONTACT_PORT", port)
			set("CONTACT_IP", contactIP)
			set("TRUSTED_CLIENT_CA", clientCA)
			agent, err := lab.StartAgent(ctx, lab.AgentOptions{Dir: dir, EvidenceDir: evidence, EKCAFile: ekCA, Env: env, Log: a.agentLog()})
			if err != nil {
				return labFailure(err)
			}
			defer func() { err = errors.Join(err, agent.Close()) }()
			info := agent.Info()
			if err := a.show(agentResult{info.ID, net.JoinHostPort(info.Host, fmt.Sprint(info.Port)), agent.Registrar(), info.Dir}); err != nil {
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
