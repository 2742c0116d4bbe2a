package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/keylime/keylime-tenant/cmd/internal/argparse"
	"github.com/keylime/keylime-tenant/cmd/internal/classic"
	"github.com/keylime/keylime-tenant/cmd/internal/render"
)

func newManCmd(a *app) *cobra.Command {
	return a.command("man DIR", "write the manual pages", `Write the manual pages of every verb, of the old command line and of the old tools into
DIR, which is made if it is not there. make install puts them where man finds them.`,
		"keylime_tenant man /usr/local/share/man/man1", oneArg("DIR"), func(ctx context.Context, args []string) error {
			if err := os.MkdirAll(args[0], 0o755); err != nil {
				return &outputError{Path: args[0], Err: err}
			}
			pages := manPages(ctx)
			for _, p := range pages {
				if err := a.writeFile(filepath.Join(args[0], p.name+".1"), p.text, 0o644); err != nil {
					return err
				}
			}
			return a.show(manResult{Dir: args[0], Pages: len(pages)})
		})
}

// manResult tells what was written.
type manResult struct {
	Dir   string `json:"dir"`
	Pages int    `json:"pages"`
}

// Screen says it.
func (r manResult) Screen() render.Screen {
	return render.Screen{{Text: fmt.Sprintf("%d pages written to %s", r.Pages, r.Dir)}}
}

// manPage is a page of section 1.
type manPage struct {
	name string
	text []byte
}

// manPages makes every page.
func manPages(ctx context.Context) []manPage {
	// The tree of a call without environment: pages must not depend on who
	// makes them.
	root := newRootCmd(newApp([]string{programName}, nil, Streams{}))
	pages := []manPage{rootPage(root)}
	var walk func(cmd *cobra.Command)
	walk = func(cmd *cobra.Command) {
		for _, sub := range cmd.Commands() {
			if sub.Hidden || sub.Name() == "help" || !sub.Runnable() && !sub.HasSubCommands() {
				continue
			}
			pages = append(pages, verbPage(sub))
			walk(sub)
		}
	}
	walk(root)
	pages = append(pages, classicPage())
	for _, tool := range oldTools() {
		pages = append(pages, toolPage(ctx, tool))
	}
	return pages
}

func rootPage(root *cobra.Command) manPage {
	r := newRoff(programName, root.Short)
	r.section("SYNOPSIS")
	r.verbatim(programName + " VERB [ARGUMENT] [OPTION]...\n" + programName + " -c VERB [OPTION]...\n" + programName + " VERB --help")
	r.section("DESCRIPTION")
	r.paragraphs(root.Long)
	r.paragraphs("The second form is the old command line, keylime_tenant-classic(1); its output and its exit codes are the old ones. " +
		"With --help each verb explains itself.")
	r.section("OPTIONS")
	r.flags(root.PersistentFlags())
	r.item("--help", "explain the program, or the verb before it")
	r.item("--version", "print the version of the program")
	r.section("COMMANDS")
	for _, sub := range root.Commands() {
		if !sub.Hidden && sub.Runnable() || sub.HasSubCommands() {
			r.item(sub.Name(), sub.Short)
		}
	}
	r.section("EXAMPLES")
	r.verbatim(`keylime_tenant add ID --targethost 10.0.0.7 --mb-policy boot.json --file payload.zip
keylime_tenant status
keylime_tenant explain ID
keylime_tenant -c add -t 10.0.0.7 -u ID --mb_refstate boot.json --exclude list.txt -f payload.zip
keylime_tenant -c cvstatus -u ID`)
	for _, topic := range newTopicCmds() {
		r.section(strings.ToUpper(strings.ReplaceAll(topic.Name(), "-", " ")))
		r.verbatim(topic.Long)
	}
	return manPage{programName, r.bytes()}
}

func verbPage(cmd *cobra.Command) manPage {
	name := strings.ReplaceAll(cmd.CommandPath(), " ", "-")
	r := newRoff(name, cmd.Short)
	r.section("SYNOPSIS")
	synopsis := strings.TrimSuffix(cmd.CommandPath(), cmd.Name()) + cmd.Use
	if cmd.HasSubCommands() {
		synopsis = cmd.CommandPath() + " COMMAND"
	}
	r.verbatim(synopsis + " [OPTION]...")
	r.section("DESCRIPTION")
	if cmd.Long == "" {
		r.paragraphs(cmd.Short)
	}
	r.paragraphs(cmd.Long)
	if cmd.HasSubCommands() {
		r.section("COMMANDS")
		for _, sub := range cmd.Commands() {
			if !sub.Hidden {
				r.item(sub.Name(), sub.Short)
			}
		}
	}
	cmd.Flags().SortFlags, cmd.PersistentFlags().SortFlags = false, false
	if cmd.HasAvailableLocalFlags() {
		r.section("OPTIONS")
		r.flags(cmd.LocalFlags())
	}
	if cmd.Example != "" {
		r.section("EXAMPLES")
		r.verbatim(cmd.Example)
	}
	r.section("SEE ALSO")
	r.paragraphs("keylime_tenant(1) for the options of every verb, exit codes, configuration and environment")
	return manPage{name, r.bytes()}
}

// classicPage is the page of the old command line.
func classicPage() manPage {
	r := newRoff(programName+"-classic", "the old command line of keylime_tenant")
	r.section("SYNOPSIS")
	r.verbatim("keylime_tenant -c VERB [OPTION]...")
	r.section("DESCRIPTION")
	r.verbatim(strings.TrimSpace(classicText()))
	r.section("OPTIONS")
	_, err := classic.Rewrite([]string{"-c", "cvlist", "--help"})
	if help := new(argparse.Help); errors.As(err, &help) {
		r.verbatim(help.Text)
	}
	r.section("SEE ALSO")
	r.paragraphs("keylime_tenant(1)")
	return manPage{programName + "-classic", r.bytes()}
}

// oldTool is an old tool and the calls that explain it.
type oldTool struct {
	name, short string
	calls       [][]string
	examples    string
}

func oldTools() []oldTool {
	help := []string{"--help"}
	return []oldTool{
		{"create_mb_refstate", "make a measured-boot policy of a boot log", [][]string{help},
			"create_mb_refstate /sys/kernel/security/tpm0/binary_bios_measurements refstate.json"},
		{allowlistScriptBare, "make an allowlist of the running machine", [][]string{help}, "create_allowlist -h sha256sum -o allowlist.txt"},
		{allowlistScript, "make an allowlist of the running machine", [][]string{help}, "create_allowlist.sh -h sha256sum -o allowlist.txt"},
		{runtimeScriptBare, "make a runtime policy of the running machine", [][]string{help}, "create_runtime_policy -a sha256sum -o ./policy.json"},
		{runtimeScript, "make a runtime policy of the running machine", [][]string{help},
			"create_runtime_policy.sh -a sha256sum -o ./policy.json\n" +
				"create_runtime_policy.sh -a sha256sum -z / -s /home,/opt/cache -e excludes.txt -o ./policy.json"},
		{ekScript, "verify the certificate of an EK, as ek_check_script", [][]string{help},
			"EK_CERT=$(base64 -w0 ek_cert.der) TPM_CERT_STORE=/var/lib/keylime/tpm_cert_store ek-openssl-verify\n" +
				"# /etc/keylime/tenant.conf.d/50-ek.conf:\n[tenant]\nek_check_script = /usr/bin/ek-openssl-verify"},
		{"keylime-policy", "make and sign policies", [][]string{help, {"create", "--help"}, {"create", "runtime", "--help"},
			{"create", "measured-boot", "--help"}, {"sign", "--help"}, {"sign", "runtime", "--help"}},
			"keylime-policy create runtime --rootfs / -o policy.json\n" +
				"keylime-policy create runtime -m --add-ima-signature-verification-key key.pem -o policy.json\n" +
				"keylime-policy create measured-boot -e /sys/kernel/security/tpm0/binary_bios_measurements -o refstate.json\n" +
				"keylime-policy sign runtime -r policy.json -k key.pem -o signed.json"},
		{"keylime_attest", "replay the records of durable attestation", [][]string{help}, "keylime_attest\nkeylime_attest -u d432fbb3-d2f1-4a97-9ef7-75bd81c00000 -s 2026-03-01 -e 2026-03-02T12:00:00\nkeylime_attest -s none"},
		{"keylime_ca", "keep the certificate authority", [][]string{help}, "keylime_ca -c init -d ./ca\nkeylime_ca -c create -n web-1 -d ./ca"},
		{"keylime_convert_runtime_policy", "convert old allowlists", [][]string{help}, "keylime_convert_runtime_policy -a allowlist.txt -e exclude.txt -o policy.json"},
		{"keylime_create_policy", "make a runtime policy", [][]string{help}, "keylime_create_policy -m list.txt -o policy.json"},
		{"keylime_upgrade_config", "bring the configuration to another version", [][]string{help},
			"keylime_upgrade_config --input /etc/keylime.conf --out /etc/keylime\nkeylime_upgrade_config --defaults --out ./new"},
		{oneshotProgram, "attest this machine once, without enrolling it", [][]string{help},
			oneshotProgram + " --verifier-host 10.0.0.1 --runtime-policy policy.json\n" +
				oneshotProgram + " --verifier-host 10.0.0.1 --mb-policy refstate.json --tpm-encryption-algorithm ecc"},
		{"keylime_sign_runtime_policy", "sign a runtime policy", [][]string{help}, "keylime_sign_runtime_policy -r policy.json -k key.pem -o signed.json"},
		{encryptProgram, "encrypt a payload under a new key: content_keys.txt and content_payload.txt here", nil,
			encryptProgram + " payload.zip\nkeylime_tenant add ID --key content_keys.txt --payload content_payload.txt"},
	}
}

// toolPage is the page of an old tool: what it says of itself.
func toolPage(ctx context.Context, tool oldTool) manPage {
	r := newRoff(tool.name, tool.short)
	r.section("SYNOPSIS")
	synopsis := tool.name + " [OPTION]..."
	if len(tool.calls) == 0 { // it has no options, and does not explain itself
		synopsis = tool.name + " FILE"
	}
	r.verbatim(synopsis)
	r.section("DESCRIPTION")
	r.paragraphs("The old tool of this name. keylime_tenant answers to it as a link, and as keylime_tenant " + tool.name + ".")
	if len(tool.calls) > 0 {
		r.section("COMMANDS")
	}
	for _, call := range tool.calls {
		var out bytes.Buffer
		a := newApp(append([]string{tool.name}, call...), nil, Streams{In: strings.NewReader(""), Out: &out, Err: &out})
		a.run(ctx)
		r.paragraphs(strings.Join(append([]string{tool.name}, call...), " "))
		r.verbatim(out.String())
	}
	r.section("EXAMPLES")
	r.verbatim(tool.examples)
	r.section("SEE ALSO")
	r.paragraphs("keylime_tenant(1)")
	return manPage{tool.name, r.bytes()}
}

// roff writes a page in the man macros.
type roff struct{ b bytes.Buffer }

func newRoff(name, short string) *roff {
	r := &roff{}
	fmt.Fprintf(&r.b, ".TH %s 1\n", strings.ToUpper(escapeRoff(name)))
	r.section("NAME")
	fmt.Fprintf(&r.b, "%s \\- %s\n", escapeRoff(name), escapeRoff(short))
	return r
}

func (r *roff) bytes() []byte { return r.b.Bytes() }

func (r *roff) section(title string) { fmt.Fprintf(&r.b, ".SH %s\n", title) }

// paragraphs writes text that may be filled; blocks that are indented stay.
func (r *roff) paragraphs(text string) {
	for _, block := range strings.Split(strings.TrimSpace(text), "\n\n") {
		if block == "" {
			continue
		}
		if slices.ContainsFunc(strings.Split(block, "\n"), func(l string) bool { return strings.HasPrefix(l, " ") }) {
			r.verbatim(block)
			continue
		}
		fmt.Fprintf(&r.b, ".PP\n%s\n", escapeRoff(block))
	}
}

// verbatim writes text as it stands.
func (r *roff) verbatim(text string) {
	fmt.Fprintf(&r.b, ".PP\n.nf\n%s\n.fi\n", escapeRoff(strings.TrimRight(text, "\n")))
}

func (r *roff) item(term, text string) {
	fmt.Fprintf(&r.b, ".TP\n\\fB%s\\fR\n%s\n", escapeRoff(term), escapeRoff(text))
}

// flags lists options as the help does: in their order, under their sections,
// with what their values are called.
func (r *roff) flags(set *pflag.FlagSet) {
	section := ""
	for _, f := range shown(set) {
		if titled := annotation(f, annotationSection); titled != section {
			if section = titled; section != "" {
				fmt.Fprintf(&r.b, ".SS %s\n", escapeRoff(section))
			}
		}
		value, usage := pflag.UnquoteUsage(f)
		if f.Value.Type() == "bool" {
			value = ""
		}
		if _, noted := f.Annotations[annotationValue]; noted {
			value, usage = annotation(f, annotationValue), f.Usage
		}
		term := "--" + f.Name
		if f.Shorthand != "" {
			term = "-" + f.Shorthand + ", " + term
		}
		if value != "" {
			term += " " + value
		}
		r.item(term, usage)
	}
}

// escapeRoff makes text stand for itself: no escapes, no requests at the
// beginning of lines, dashes that can be copied.
func escapeRoff(text string) string {
	text = strings.NewReplacer(`\`, `\e`, `-`, `\-`).Replace(text)
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		if strings.HasPrefix(line, ".") || strings.HasPrefix(line, "'") {
			lines[i] = `\&` + line
		}
	}
	return strings.Join(lines, "\n")
}
