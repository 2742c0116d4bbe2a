package cli

import (
	"path/filepath"

	"github.com/keylime/keylime-tenant/tenant"
)

// demoEvidence is where the demo keeps what explain has found, in the lab's
// directory.
const demoEvidence = "evidence"

// refused sees that the verifier refuses the agent for a reason.
func (d *demo) refused(event string) error {
	if err := d.until(`"operational_state": "Invalid Quote"`, "-c", "cvstatus", "-u", d.agent.ID); err != nil {
		return err
	}
	d.say("The same in the new grammar, whose exit code says that attestation was refused:")
	_, err := d.run(exitRefused, []string{event}, "cvstatus", d.agent.ID)
	return err
}

// explained asks why the agent is refused, and wants a text in the answer.
func (d *demo) explained(want string, args ...string) error {
	d.say("A verifier keeps the name of one check. What is behind it, explain says: it asks the agent for a quote, verifies it, and judges all that it shows.")
	_, err := d.run(exitRefused, []string{want}, append([]string{"explain", d.agent.ID}, args...)...)
	return err
}

// acceptBoot lets the policy accept the boot that was saved, with the commands
// that explain has printed, and sees the agent attested again.
func (d *demo) acceptBoot() error {
	d.say("If the boot was meant to be so, the commands that explain has printed let the policy accept it as well.")
	policy, log := filepath.Join(demoEvidence, tenant.FileMBPolicy), filepath.Join(demoEvidence, tenant.FileBootLog)
	for _, args := range [][]string{
		{"policy", "merge", policy, log, "-o", policy},
		{"updatembpolicy", d.agent.ID, "--mb-policy", policy},
		{"reactivate", d.agent.ID},
	} {
		if _, err := d.run(0, nil, args...); err != nil {
			return err
		}
	}
	return d.until(`"operational_state": "Get Quote"`, "-c", "cvstatus", "-u", d.agent.ID)
}
