package cli

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/keylime/keylime-tenant/tenant"
)

func newWaitCmd(a *app) *cobra.Command {
	var (
		goal                    string
		limit, interval, maxAge seconds
	)
	cmd := a.command("wait ID", "wait until an agent is healthy, failed or absent", `Ask the verifier again and again until an agent is what --for says:

  healthy  a quote has been accepted, and the next is not overdue
  failed   the verifier has refused a quote or lost the agent
  absent   the verifier does not have the agent (any longer)

It ends early where waiting cannot help: an agent that has failed or was stopped does not
become healthy of itself (exit code 3), and one that is not enrolled does not either (5).
A verifier that does not answer is asked again. Exit code 6 when the time is up.

--timeout is here the longest wait in all; request_timeout limits each request.`,
		`keylime_tenant wait ID --for healthy --timeout 2m
keylime_tenant delete ID && keylime_tenant wait ID --for absent`,
		agentID, func(ctx context.Context, args []string) error {
			switch tenant.WaitGoal(goal) {
			case tenant.WaitHealthy, tenant.WaitFailed, tenant.WaitAbsent:
			default:
				return usagef("--for %q: what can be waited for is healthy, failed or absent", goal)
			}
			t, err := a.tenant(ctx)
			if err != nil {
				return err
			}
			result, err := t.Wait(ctx, tenant.WaitRequest{ID: args[0], For: tenant.WaitGoal(goal), Limit: time.Duration(limit),
				Pause: time.Duration(interval), MaxAge: time.Duration(maxAge)})
			if err != nil {
				return err
			}
			return a.show(result)
		})
	o := &options{flags: cmd.Flags()}
	goal = string(tenant.WaitHealthy)
	o.flags.StringVar(&goal, "for", goal, "what to wait for")
	o.note("for", "healthy|failed|absent")
	o.limit(&limit, "timeout", "how long to wait in all (default 5m)")
	o.limit(&interval, "interval", "time between two questions (default 0.5s)")
	o.limit(&maxAge, "max-age", "how old the last good quote of a healthy agent may be")
	cmd.ValidArgsFunction = a.completer(a.enrolledIDs)
	return cmd
}
