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

// zeroDigest is what PCR 23 holds after a boot, in the SHA-256 bank.
const zeroDigest = "0000000000000000000000000000000000000000000000000000000000000000"

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
	for _, step := range []func() error{d.place, d.watch, d.tamper, d.remove} {
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
	d.say("An agent is configured by agent.conf and the drop-ins beside it; the last value wins.")
	d.show("cat "+render.Command([]string{conf}), demoDropIn)
	return nil
}

// place puts the agent under attestation, with a payload.
func (d *demo) place() error {
	if _, err := d.run(0, []string{d.agent.ID}, "-c", "reglist"); err != nil {
		return err
	}
	archive := filepath.Join(d.lab.Dir(), "payload.zip")
	if err := writeZip(archive, "autorun.sh", demoScript); err != nil {
		return err
	}
	d.say("The agent is to be given payload.zip, which holds autorun.sh:")
	d.show("unzip -p payload.zip autorun.sh", demoScript)
	d.say("It can decrypt it only after the verifier has accepted its quote; PCR 23 has to be as after a boot.")
	policy := `{"23": ["` + zeroDigest + `"]}`
	_, err := d.run(0, []string{"added to Verifier"}, "-c", "add", "-t", d.agent.Host, "-u", d.agent.ID, "-f", archive, "--tpm_policy", policy, "--verify")
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
	d.say("The agent has decrypted and unpacked the payload, and run its script, which wrote:")
	proof := filepath.Join(d.agent.Dir, "secure", "unzipped", "proof.txt")
	var text []byte
	err := d.wait("the file that the payload's script writes", func() (bool, error) {
		var err error
		text, err = os.ReadFile(proof)
		return err == nil && bytes.HasSuffix(text, []byte("\n")), nil
	})
	if err != nil {
		return err
	}
	d.show("cat "+render.Command([]string{proof}), string(text))
	return nil
}

// tamper changes a register and sees the agent refused.
func (d *demo) tamper() error {
	d.say("Now something extends PCR 23 of the agent's TPM.")
	if _, err := d.run(0, []string{"PCR 23"}, "lab", "tamper", "pcr", "23"); err != nil {
		return err
	}
	if err := d.until(`"operational_state": "Invalid Quote"`, "-c", "cvstatus", "-u", d.agent.ID); err != nil {
		return err
	}
	d.say("The same in the new grammar, whose exit code tells the refusal:")
	_, err := d.run(exitRefused, []string{"pcr_validation.invalid_pcr_23"}, "cvstatus", d.agent.ID)
	return err
}

// remove ends the attestation.
func (d *demo) remove() error {
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

// show writes a command line and its output.
func (d *demo) show(line, output string) {
	fmt.Fprintf(d.out, "$ %s\n%s", line, output)
	if output != "" && !strings.HasSuffix(output, "\n") {
		fmt.Fprintln(d.out)
	}
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
