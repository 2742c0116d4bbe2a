package cli

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/keylime/keylime-tenant/client"
	"github.com/keylime/keylime-tenant/cmd/internal/render"
	"github.com/keylime/keylime-tenant/tenant/lab"
	"github.com/keylime/keylime-tenant/tenant/lab/agent"
	"github.com/keylime/keylime-tenant/tenant/lab/registrar"
)

// newLabCmd makes the verb lab and what is below it.
func newLabCmd(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "lab", Short: "a whole Keylime on this machine, for learning, demos and tests",
		Long: `A whole Keylime on this machine: a registrar, a verifier and agents with software TPMs
on loopback, in one process, with a throw-away CA. It speaks the real protocol over
real TLS, quotes are really signed and verified, and policies are really evaluated.

With --push the verifier runs in push mode: it asks nobody, and the agents attest themselves
by the protocol of API 3.0, as agents of another making may. explain judges such an agent by
what it has shown the verifier.

The agents boot from a boot log and an IMA list that were recorded on a virtual machine.
It is for learning, demos and tests, and is no production server: payload scripts run
on this machine, as you.`,
		Args: cobra.ArbitraryArgs, SilenceErrors: true, SilenceUsage: true, DisableFlagsInUseLine: true,
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 {
			return unknownVerb(cmd, args[0])
		}
		return cmd.Help()
	}
	cmd.AddCommand(newLabUpCmd(a), newLabRunCmd(a), newLabDemoCmd(a), newLabTamperCmd(a), newLabAgentCmd(a))
	return cmd
}

// labFlags are the options of verbs that start a lab.
type labFlags struct {
	dir, evidence string
	agents        int
	interval      seconds
	push          bool
	device        bool
	identity      string
}

func (f *labFlags) add(flags *pflag.FlagSet) {
	flags.StringVar(&f.dir, "dir", "", "keep the lab's state in `DIR`, and take up the lab that is there (default: a temporary directory)")
	flags.IntVar(&f.agents, "agents", 1, "`NUMBER` of agents")
	flags.StringVar(&f.evidence, "evidence", "", "boot the agents from `DIR`: binary_bios_measurements, and ima_ascii.txt or ascii_runtime_measurements")
	flags.Var(&f.interval, "interval", "time between two quotes, `DURATION` (default 0.5s)")
	flags.BoolVar(&f.push, "push", false, "push model: the agents attest themselves (see keylime_tenant lab --help); --dir keeps its model")
	flags.BoolVar(&f.device, "iak-idevid", false, "the agents register with a device identity too: IAK and IDevID (enable_iak_idevid of agent.conf)")
	flags.StringVar(&f.identity, "tpm-identity", "", "what the registrar demands of agents, `KIND`: default, ek_cert, ek_cert_or_iak_idevid, or iak_idevid, which implies --iak-idevid (tpm_identity of registrar.conf)")
}

// up starts the lab that the options describe.
func (f *labFlags) up(ctx context.Context, a *app) (*lab.Lab, error) {
	if f.agents < 0 {
		return nil, usagef("--agents %d: there cannot be fewer than none", f.agents)
	}
	if f.identity != "" && !slices.Contains(registrar.Identities(), f.identity) {
		return nil, usagef("--tpm-identity %q is none of %s", f.identity, strings.Join(registrar.Identities(), ", "))
	}
	o := lab.Options{Dir: f.dir, Agents: f.agents, EvidenceDir: f.evidence, Interval: time.Duration(f.interval), Push: f.push, DeviceIdentity: f.device || f.identity == registrar.IdentityDevID, TPMIdentity: f.identity, Env: a.env, Log: a.labLog()}
	if f.agents == 0 {
		o.Agents = -1
	}
	l, err := lab.Up(ctx, o)
	return l, labFailure(err)
}

// labLog is where a lab's log goes: to stderr where it was asked for.
func (a *app) labLog() func(string) {
	if !a.global.verbose && !a.global.debug {
		return nil
	}
	return a.logLines()
}

// logLines writes lines to stderr, from any goroutine.
func (a *app) logLines() func(string) {
	var mu sync.Mutex
	return func(line string) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Fprintf(a.errOut(), "lab: %s\n", render.Safe(line))
	}
}

// labFailure gives errors of the lab their exit code and advice.
func labFailure(err error) error {
	var config *agent.ConfigError
	var refused *client.Error
	switch {
	case err == nil:
		return nil
	case errors.Is(err, lab.ErrRunning):
		return &statusError{Code: exitConflict, Err: &advisedError{Err: err, Advice: "end it first, or use another --dir"}}
	case errors.Is(err, lab.ErrModel):
		return &statusError{Code: exitConflict, Err: &advisedError{Err: err, Advice: "use another --dir for --push, or leave --push out"}}
	case errors.Is(err, lab.ErrNotRunning):
		return &statusError{Code: exitNotFound, Err: &advisedError{Err: err, Advice: "keylime_tenant lab up starts one, and says its directory"}}
	case errors.Is(err, lab.ErrNoAgent):
		return &statusError{Code: exitNotFound, Err: &advisedError{Err: err, Advice: "keylime_tenant reglist lists the ids"}}
	case errors.As(err, &config):
		return &statusError{Code: exitUsage, Err: err}
	case errors.As(err, &refused) && refused.HTTP == http.StatusBadRequest:
		return &advisedError{Err: err, Advice: "the registrar's log says why; --verbose shows that of a lab"}
	}
	return err
}

// labResult is what `lab up` says.
type labResult struct {
	Dir            string          `json:"dir"`
	TenantConf     string          `json:"tenant_conf"`
	Verifier       string          `json:"verifier"`
	Registrar      string          `json:"registrar"`
	RegistrarPlain string          `json:"registrar_for_agents"`
	Push           bool            `json:"push_model"`
	Agents         []lab.AgentInfo `json:"agents"`
	elapsed        time.Duration
	env            []string
}

// Names are the ids of the agents.
func (r *labResult) Names() []string {
	var names []string
	for _, a := range r.Agents {
		names = append(names, a.ID)
	}
	return names
}

// Screen says what runs, and what to type in another terminal.
func (r *labResult) Screen() render.Screen {
	fields := []render.Field{
		{Name: "VERIFIER", Value: r.Verifier},
		{Name: "REGISTRAR", Value: r.Registrar + " (agents register at " + r.RegistrarPlain + ")"},
	}
	addOptions := ""
	if r.Push {
		addOptions = " --push-model"
		fields[0].Value += " (push mode: it asks nobody for quotes)"
	}
	for _, a := range r.Agents {
		where := fmt.Sprintf("%s at %s:%d", a.ID, a.Host, a.Port)
		if a.Push {
			where = a.ID + " (attests itself, and listens to nobody)"
		}
		fields = append(fields, render.Field{Name: "AGENT", Value: where})
	}
	fields = append(fields, render.Field{Name: "DIRECTORY", Value: r.Dir})
	lines := []string{"In another terminal:", ""}
	for _, entry := range r.env {
		lines = append(lines, "  export "+shellAssignment(entry))
	}
	lines = append(lines,
		"  keylime_tenant reglist",
		`  keylime_tenant add "$LAB_AGENT"`+addOptions+` --wait attested`,
		`  keylime_tenant cvstatus "$LAB_AGENT"`,
		"  keylime_tenant lab tamper --help",
		"", fmt.Sprintf("The lab is up after %.1f s. Ctrl-C ends it.", r.elapsed.Seconds()))
	return render.Screen{{Fields: fields}, {Text: strings.Join(lines, "\n")}}
}

// shellAssignment quotes the value of NAME=value for a shell.
func shellAssignment(entry string) string {
	name, value, _ := strings.Cut(entry, "=")
	return name + "=" + render.Command([]string{value})
}

func newLabUpCmd(a *app) *cobra.Command {
	var flags labFlags
	cmd := a.command("up", "start a lab and say how to use it; Ctrl-C ends it", `Start a lab, say how to use it, and run until Ctrl-C. Nothing is left then but --dir, if given.

Each agent has a directory of its own in the lab's: agent.conf, drop-ins in agent.conf.d,
what it has decrypted in secure, and the boot log and IMA list it reports.`,
		`keylime_tenant lab up
keylime_tenant lab up --agents 3 --dir /tmp/lab
keylime_tenant lab up --push`,
		noArgs, func(ctx context.Context, _ []string) (err error) {
			begun := a.now()
			l, err := flags.up(ctx, a)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, l.Close()) }()
			env, err := l.Env(nil, "")
			if err != nil {
				return err
			}
			err = a.show(&labResult{Dir: l.Dir(), TenantConf: l.TenantConf(), Verifier: l.VerifierAddr(), Registrar: l.RegistrarAddr(),
				RegistrarPlain: l.RegistrarPlainAddr(), Push: l.Push(), Agents: l.Agents(), elapsed: a.now().Sub(begun), env: env})
			if err != nil {
				return err
			}
			<-ctx.Done()
			return nil
		})
	flags.add(cmd.Flags())
	return cmd
}
