package cli

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/keylime/keylime-tenant/cmd/internal/render"
	"github.com/keylime/keylime-tenant/payload"
	"github.com/keylime/keylime-tenant/tenant"
)

// newPayloadCmd makes the verbs that prepare what an agent is given.
func newPayloadCmd(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "payload", Short: "prepare and inspect what an agent is given",
		Long: `Prepare and inspect payloads: what "add --file" encrypts, or what "add --key --payload"
sends as it was encrypted before.`,
		Args: cobra.ArbitraryArgs, SilenceErrors: true, SilenceUsage: true, DisableFlagsInUseLine: true,
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 {
			return unknownVerb(cmd, args[0])
		}
		return cmd.Help()
	}
	cmd.AddCommand(newPayloadInspectCmd(a), newPayloadPackCmd(a), newPayloadEncryptCmd(a), newPayloadDecryptCmd(a))
	return cmd
}

func newPayloadInspectCmd(a *app) *cobra.Command {
	return a.command("inspect FILE", "say what an agent will do with a payload", `Say what an agent will do with FILE: whether it unpacks it, whether it runs a script, how
large it is once encrypted, and what will not work as its author may think.`,
		"keylime_tenant payload inspect payload.zip", oneArg("FILE"), func(ctx context.Context, args []string) error {
			content, err := a.readFile("payload", args[0])
			if err != nil {
				return err
			}
			conf, err := a.config(ctx)
			if err != nil {
				return err
			}
			return a.show(inspectionResult{File: args[0], Limit: conf.MaxPayloadSize, Inspection: payload.Inspect(content, conf.MaxPayloadSize)})
		})
}

// inspectionResult is what payload inspect shows.
type inspectionResult struct {
	File  string `json:"file"`
	Limit int    `json:"max_payload_size"`
	payload.Inspection
}

// Screen puts it in words.
func (r inspectionResult) Screen() render.Screen {
	size := fmt.Sprintf("%d bytes, %d once encrypted (max_payload_size %d)", r.Size, r.SealedSize, r.Limit)
	does := "keeps it as one file"
	switch {
	case r.Zip && r.Script:
		does = "unpacks it and runs " + payload.ScriptName
	case r.Zip:
		does = "unpacks it"
	}
	fields := []render.Field{{Name: "size", Value: size}, {Name: "the agent", Value: does}}
	if r.Zip {
		fields = append(fields, render.Field{Name: "entries", Value: quotedNames(r.Entries, 12)})
	}
	for _, w := range r.Warnings {
		fields = append(fields, render.Field{Name: "warning", Value: w, Tone: render.Doubtful})
	}
	return render.Screen{{Title: r.File, Fields: fields}}
}

// quotedNames lists names of others, at most so many, fit for a terminal.
func quotedNames(names []string, most int) string {
	var words []string
	for n, name := range names {
		if n == most {
			words = append(words, fmt.Sprintf("and %d more", len(names)-most))
			break
		}
		quoted := strconv.Quote(name)
		words = append(words, quoted[1:len(quoted)-1])
	}
	return strings.Join(words, ", ")
}

func newPayloadPackCmd(a *app) *cobra.Command {
	var out string
	cmd := a.command("pack DIR", "make a payload of a folder", `Pack the files of DIR into a zip file, for the agent to unpack. If DIR holds autorun.sh,
the agent runs it.`,
		"keylime_tenant payload pack ./payload --out payload.zip", oneArg("DIR"), func(ctx context.Context, args []string) error {
			if out == "" {
				return usagef("payload pack needs a place for the zip file").hint("add --out payload.zip, or --out - for standard output")
			}
			content, err := payload.Pack(args[0])
			if err != nil {
				return err
			}
			if err := a.writeFile(out, content, 0o600); err != nil {
				return err
			}
			for _, w := range payload.Inspect(content, 0).Warnings {
				a.present().Event(tenant.Warning{Kind: tenant.WarnIgnoredPayload, Text: out + ": " + w})
			}
			return context.Cause(ctx)
		})
	cmd.Flags().StringVar(&out, "out", "", "write to `FILE`; - is standard output")
	return cmd
}

func newPayloadEncryptCmd(a *app) *cobra.Command {
	keys, out := "content_keys.txt", "content_payload.txt"
	cmd := a.command("encrypt FILE", "encrypt a payload beforehand", `Encrypt FILE under new keys, for "add --key --payload". Keep the key file as you would keep
FILE: whoever has it can read the payload.`,
		"keylime_tenant payload encrypt secret.zip --keys k.txt --out p.txt\nkeylime_tenant add ID --key k.txt --payload p.txt", oneArg("FILE"),
		func(_ context.Context, args []string) error {
			content, err := a.readFile("payload", args[0])
			if err != nil {
				return err
			}
			if keys == "-" && out == "-" {
				return usagef("--keys and --out cannot both be standard output")
			}
			if err := a.encrypt(content, keys, out); err != nil {
				return err
			}
			return a.show(encryptedResult{Keys: keys, Payload: out})
		})
	cmd.Flags().StringVar(&keys, "keys", keys, "write the keys to `FILE` (0600)")
	cmd.Flags().StringVar(&out, "out", out, "write the encrypted payload to `FILE`")
	return cmd
}

// encrypt seals content and writes the keys and the sealed text.
func (a *app) encrypt(content []byte, keysPath, outPath string) error {
	keys, err := payload.NewKeys(nil)
	if err != nil {
		return err
	}
	sealed, err := payload.Seal(keys.K, content, nil)
	if err != nil {
		return err
	}
	var text bytes.Buffer
	if err := payload.WriteKeyFile(&text, keys); err != nil {
		return err
	}
	if err := a.writeFile(keysPath, text.Bytes(), 0o600); err != nil {
		return err
	}
	return a.writeFile(outPath, []byte(sealed), 0o600)
}

// encryptedResult tells where the two files are.
type encryptedResult struct {
	Keys    string `json:"keys_file"`
	Payload string `json:"payload_file"`
}

// Screen says it.
func (r encryptedResult) Screen() render.Screen {
	if r.Keys == "-" || r.Payload == "-" {
		return nil // standard output holds the file
	}
	return render.Screen{{Fields: []render.Field{{Name: "keys", Value: r.Keys}, {Name: "payload", Value: r.Payload}}}}
}

func newPayloadDecryptCmd(a *app) *cobra.Command {
	var keys, out string
	cmd := a.command("decrypt FILE", "decrypt a payload again", `Decrypt FILE, which "payload encrypt" or keylime_userdata_encrypt has made, with its key file.`,
		"keylime_tenant payload decrypt content_payload.txt --keys content_keys.txt --out payload.zip", oneArg("FILE"),
		func(_ context.Context, args []string) error {
			if keys == "" || out == "" {
				return usagef("payload decrypt needs the key file and a place for what it decrypts").hint("add --keys FILE --out FILE; --out - is standard output")
			}
			text, err := a.readFile("--keys", keys)
			if err != nil {
				return err
			}
			k, err := payload.ParseKeyFile(text)
			if err != nil {
				return &tenant.InvalidError{Kind: tenant.InvalidKeyFile, Object: "key file " + keys, Err: err}
			}
			sealed, err := a.readFile("payload", args[0])
			if err != nil {
				return err
			}
			plain, err := payload.Open(k.K, strings.TrimSpace(string(sealed)))
			if err != nil {
				return &tenant.InvalidError{Kind: tenant.InvalidPayload, Object: "payload " + args[0], Cause: "key file " + keys + " does not open it", Err: err}
			}
			return a.writeFile(out, plain, 0o600)
		})
	cmd.Flags().StringVarP(&keys, "keys", "k", "", "the key `FILE`")
	cmd.Flags().StringVar(&out, "out", "", "write to `FILE`; - is standard output")
	return cmd
}
