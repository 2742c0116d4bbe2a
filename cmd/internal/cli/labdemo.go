package cli

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/keylime/keylime-tenant/cmd/internal/render"
	"github.com/keylime/keylime-tenant/tenant/lab"
	"github.com/keylime/keylime-tenant/tenant/lab/recorded"
)

const (
	// demoLimit bounds the whole walk, demoPatience the wait for one state.
	demoLimit    = 2 * time.Minute
	demoPatience = 20 * time.Second
	demoPause    = 200 * time.Millisecond
)

// demoDropIn is the agent's drop-in of the demo.
const demoDropIn = `[agent]
enc_keyname = "derived_key"
extract_payload_zip = true
payload_script = "autorun.sh"
`

// demoScript is the payload's script.
const demoScript = `#!/bin/sh
echo "decrypted and run by $(basename "$0") in $(basename "$PWD")" > proof.txt
`

// demoExclude is the list of paths that nobody checks.
const demoExclude = "/tmp/.*\n"

// zeroDigest is what PCR 23 holds after a boot, in the SHA-256 bank.
const zeroDigest = "0000000000000000000000000000000000000000000000000000000000000000"

// The files of the demo, in the lab's directory.
const (
	demoPayload   = "payload.zip"
	demoRefstate  = "refstate.json"
	demoAllowlist = "allowlist.txt"
	demoExcludes  = "exclude.txt"
)

func newLabDemoCmd(a *app) *cobra.Command {
	var dir string
	cmd := a.command("demo", "walk through the whole story on a lab", `Walk through the whole story on a lab of its own: configure an agent, place it under attestation
with a payload, see it attested and its script run, tamper with it, see it refused, delete it.

Every command is shown with its real output. The walk ends with an error, and another exit code
than 0, as soon as anything is not as it should be.`,
		"keylime_tenant lab demo", noArgs, func(ctx context.Context, _ []string) error {
			ctx, cancel := context.WithTimeout(ctx, demoLimit)
			defer cancel()
			return a.demo(ctx, dir)
		})
	cmd.Flags().StringVar(&dir, "dir", "", "keep the lab's state in `DIR` (default: a temporary directory)")
	return cmd
}

// demo is one walk.
type demo struct {
	ctx     context.Context
	out     io.Writer
	program string
	env     []string
	lab     *lab.Lab
	agent   lab.AgentInfo
}

// demo walks through the story.
func (a *app) demo(ctx context.Context, dir string) (err error) {
	if dir == "" {
		if dir, err = os.MkdirTemp("", "keylime-demo-"); err != nil {
			return fmt.Errorf("demo: %w", err)
		}
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	}
	d := &demo{ctx: ctx, out: a.out()}
	if err := d.configure(dir); err != nil {
		return err
	}
	begun := a.now()
	l, err := lab.Up(ctx, lab.Options{Dir: dir, Env: a.env, Log: a.labLog()})
	if err != nil {
		return labFailure(err)
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	if d.env, err = a.labEnv(l); err != nil {
		return err
	}
	d.lab, d.agent, d.program = l, l.Agents()[0], filepath.Join(l.Dir(), "bin", programName)
	d.say("The lab is up: registrar %s, verifier %s, agent %s at %s:%d.", l.RegistrarAddr(), l.VerifierAddr(), d.agent.ID, d.agent.Host, d.agent.Port)
	for _, step := range []func() error{d.prepare, d.place, d.watch, d.runUnknown, d.bootOther, d.extend, d.remove} {
		if err := step(); err != nil {
			return err
		}
	}
	d.say("Everything came as it should, in %.0f s.", a.now().Sub(begun).Seconds())
	return nil
}

// configure writes the agent's drop-in, before the agent starts.
func (d *demo) configure(dir string) error {
	conf := filepath.Join(dir, "agent-1", "agent.conf.d", "50-demo.conf")
	if err := os.MkdirAll(filepath.Dir(conf), 0o700); err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	if err := os.WriteFile(conf, []byte(demoDropIn), 0o600); err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	d.say("A lab in %s. An agent is configured by agent.conf and the drop-ins beside it; the last value wins.", dir)
	d.show("cat "+render.Command([]string{conf}), demoDropIn)
	return nil
}

// write writes a file of the demo into the lab's directory, and shows its
// beginning.
func (d *demo) write(name, text string) error {
	if err := os.WriteFile(filepath.Join(d.lab.Dir(), name), []byte(text), 0o600); err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	const shown = 3
	if lines := strings.SplitAfterN(text, "\n", shown+1); len(lines) > shown && lines[shown] != "" {
		d.show(fmt.Sprintf("head -%d %s", shown, name), strings.Join(lines[:shown], ""))
		return nil
	}
	d.show("cat "+name, text)
	return nil
}

// evidence is the path of a file that the agent's machine shows, as seen from
// the lab's directory.
func (d *demo) evidence(name string) string { return filepath.Join("agent-1", name) }

// prepare makes policies from what the machine shows now, which is declared
// good, and the payload.
func (d *demo) prepare() error {
	if _, err := d.run(0, []string{d.agent.ID}, "-c", "reglist"); err != nil {
		return err
	}
	d.say("A measured-boot policy is made from the boot log of a machine that is known to be good.")
	if _, err := d.run(0, nil, "create_mb_refstate", d.evidence(recorded.BootLogName), demoRefstate); err != nil {
		return err
	}
	d.say("An allow-list says which files may run (here those that the machine has run), an exclude list which nobody checks.")
	list, err := os.ReadFile(filepath.Join(d.agent.Dir, recorded.IMAName))
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	if err := d.write(demoAllowlist, allowlistOf(string(list))); err != nil {
		return err
	}
	if err := d.write(demoExcludes, demoExclude); err != nil {
		return err
	}
	d.say("The payload is a zip file, which holds autorun.sh:")
	if err := writeZip(filepath.Join(d.lab.Dir(), demoPayload), "autorun.sh", demoScript); err != nil {
		return err
	}
	d.show("unzip -p "+demoPayload+" autorun.sh", demoScript)
	return nil
}

// allowlistOf turns an IMA list in template ima-ng into lines of digest and path.
func allowlistOf(list string) string {
	var b strings.Builder
	for line := range strings.Lines(list) {
		// register, template hash, template, algorithm:digest, path
		fields := strings.SplitN(strings.TrimSuffix(line, "\n"), " ", 5)
		if len(fields) == 5 {
			_, digest, _ := strings.Cut(fields[3], ":")
			fmt.Fprintf(&b, "%s  %s\n", digest, fields[4])
		}
	}
	return b.String()
}

// place puts the agent under attestation, with policies and a payload.
func (d *demo) place() error {
	d.say("The agent can decrypt the payload only after its quote, boot log and IMA list have been accepted. PCR 23 has to be as after a boot.")
	_, err := d.run(0, []string{"added to Verifier", "Successful key derivation"}, "-c", "add", "-t", d.agent.Host, "-u", d.agent.ID,
		"--mb_refstate", demoRefstate, "--allowlist", demoAllowlist, "--exclude", demoExcludes,
		"--tpm_policy", `{"23": ["`+zeroDigest+`"]}`, "-f", demoPayload, "--verify")
	return err
}

// watch sees the agent attested and its script run.
func (d *demo) watch() error {
	if err := d.until(`"operational_state": "Get Quote"`, "-c", "cvstatus", "-u", d.agent.ID); err != nil {
		return err
	}
	if _, err := d.run(0, []string{`"operational_state": "Registered"`}, "-c", "regstatus", "-u", d.agent.ID); err != nil {
		return err
	}
	d.say("The agent has unpacked the payload and run its script, which wrote:")
	proof := filepath.Join("agent-1", "secure", "unzipped", "proof.txt")
	var text []byte
	err := d.wait("the file that the payload's script writes", func() (bool, error) {
		var err error
		text, err = os.ReadFile(filepath.Join(d.lab.Dir(), proof))
		return err == nil && bytes.HasSuffix(text, []byte("\n")), nil
	})
	if err != nil {
		return err
	}
	d.show("cat "+proof, string(text))
	return nil
}

// recovers boots the machine as before and sees it attested again.
func (d *demo) recovers() error {
	d.say("Booted as before, the machine is attested again.")
	if _, err := d.run(0, []string{"has been booted"}, "lab", "tamper", "boot"); err != nil {
		return err
	}
	if _, err := d.run(0, []string{"is attested anew"}, "reactivate", d.agent.ID); err != nil {
		return err
	}
	return d.until("healthy: ", "cvstatus", d.agent.ID)
}

// runUnknown runs a file that no policy knows.
func (d *demo) runUnknown() error {
	d.say("Now a file runs on the machine that the allow-list does not know.")
	if _, err := d.run(0, []string{"has run"}, "lab", "tamper", "run", "/usr/local/bin/unknown"); err != nil {
		return err
	}
	if err := d.refused("ima.validation.ima-ng.not_in_allowlist"); err != nil {
		return err
	}
	if err := d.explained("/usr/local/bin/unknown"); err != nil {
		return err
	}
	return d.recovers()
}

// bootOther boots with another kernel command line, and asks why that is refused.
func (d *demo) bootOther() error {
	d.say("Now the machine is booted with something else on its kernel command line.")
	if _, err := d.run(0, []string{"has been booted"}, "lab", "tamper", "boot", "--cmdline", "init=/bin/sh"); err != nil {
		return err
	}
	if err := d.refused("measured_boot.policy_example"); err != nil {
		return err
	}
	if err := d.explained("more: init=/bin/sh", "--save", demoEvidence); err != nil {
		return err
	}
	return d.acceptBoot()
}

// extend changes a register that tpm_policy pins.
func (d *demo) extend() error {
	d.say("Now something extends PCR 23 of the machine's TPM.")
	if _, err := d.run(0, []string{"PCR 23"}, "lab", "tamper", "pcr", "23"); err != nil {
		return err
	}
	return d.refused("pcr_validation.invalid_pcr_23")
}

// remove ends the attestation.
func (d *demo) remove() error {
	d.say("Attestation ends.")
	if _, err := d.run(0, []string{"deleted from the CV"}, "-c", "delete", "-t", d.agent.Host, "-u", d.agent.ID); err != nil {
		return err
	}
	_, err := d.run(0, []string{"'uuids': []"}, "-c", "cvlist")
	return err
}

// say writes a sentence of the story.
func (d *demo) say(format string, args ...any) {
	fmt.Fprintf(d.out, "\n# "+format+"\n", args...)
}

// show writes a command line and its output. Lines too long to be read are cut
// in the middle, and say so.
func (d *demo) show(line, output string) {
	fmt.Fprintf(d.out, "$ %s\n", line)
	for text := range strings.Lines(output) {
		fmt.Fprintln(d.out, shortened(strings.TrimSuffix(text, "\n")))
	}
}

// shortened keeps beginning and end of a long line.
func shortened(line string) string {
	const longest, head, tail = 600, 400, 100
	if len(line) <= longest {
		return line
	}
	return fmt.Sprintf("%s [... %d characters ...] %s", strings.ToValidUTF8(line[:head], ""), len(line)-head-tail, strings.ToValidUTF8(line[len(line)-tail:], ""))
}

// call runs this program and returns what it printed, and its exit code.
func (d *demo) call(args []string) (output string, code int, err error) {
	cmd := exec.CommandContext(d.ctx, d.program, args...)
	cmd.Env, cmd.Dir = d.env, d.lab.Dir()
	text, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	switch {
	case d.ctx.Err() != nil:
		return "", 0, context.Cause(d.ctx)
	case errors.As(err, &exit):
		return string(text), exit.ExitCode(), nil
	case err != nil:
		return "", 0, fmt.Errorf("demo: running %s: %w", d.program, err)
	}
	return string(text), 0, nil
}

func commandLine(args []string) string {
	return render.Command(append([]string{programName}, args...))
}

// run runs and shows a command, and wants an exit code and texts in its output.
func (d *demo) run(wantCode int, want []string, args ...string) (string, error) {
	output, code, err := d.call(args)
	if err != nil {
		return "", err
	}
	d.show(commandLine(args), output)
	if code != wantCode {
		return "", fmt.Errorf("demo: %s ended with exit code %d, not %d", commandLine(args), code, wantCode)
	}
	for _, text := range want {
		if !strings.Contains(output, text) {
			return "", fmt.Errorf("demo: %s did not print %q", commandLine(args), text)
		}
	}
	return output, nil
}

// until runs a command again and again until it prints a text, and shows it
// then.
func (d *demo) until(text string, args ...string) error {
	var output string
	err := d.wait(fmt.Sprintf("%s: %q", commandLine(args), text), func() (bool, error) {
		var err error
		output, _, err = d.call(args)
		return strings.Contains(output, text), err
	})
	d.show(commandLine(args), output)
	return err
}

// wait waits until something is so.
func (d *demo) wait(what string, done func() (bool, error)) error {
	for deadline := time.Now().Add(demoPatience); ; {
		switch ok, err := done(); {
		case err != nil:
			return err
		case ok:
			return nil
		case time.Now().After(deadline):
			return fmt.Errorf("demo: waited %s in vain for %s", demoPatience, what)
		}
		select {
		case <-d.ctx.Done():
			return context.Cause(d.ctx)
		case <-time.After(demoPause):
		}
	}
}

// writeZip writes an archive with one file in it.
func writeZip(path, name, content string) error {
	var b bytes.Buffer
	archive := zip.NewWriter(&b)
	f, err := archive.Create(name)
	if err == nil {
		_, err = io.WriteString(f, content)
	}
	if err = errors.Join(err, archive.Close()); err != nil {
		return fmt.Errorf("demo: making %s: %w", path, err)
	}
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	return nil
}
