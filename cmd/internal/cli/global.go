package cli

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/keylime/keylime-tenant/cmd/internal/render"
)

// globalFlags are the options that every verb takes.
type globalFlags struct {
	registrarHost, registrarPort string
	verifierHost, verifierPort   string
	verifierID                   string

	output             string
	timeout            seconds
	showSecrets        bool
	checkHostname      bool
	insecureSkipVerify bool

	quiet, verbose, debug, noColor bool
}

// add defines the options on the root of the tree.
func (g *globalFlags) add(f *pflag.FlagSet) {
	o := options{flags: f, section: "Options of every verb"}
	o.text(&g.registrarHost, "registrarhost", "r", "HOST", "registrar (registrar_ip)")
	o.text(&g.registrarPort, "registrarport", "", "PORT", "its TLS port (registrar_port)")
	o.text(&g.verifierHost, "cv", "v", "HOST", "verifier (verifier_ip)")
	o.text(&g.verifierPort, "cvport", "", "PORT", "its port (verifier_port)")
	o.text(&g.verifierID, "cvid", "", "ID", "in lists: only agents of the verifier of this id")
	o.text(&g.output, "output", "o", "FORMAT", "write the result as table (default), wide, json, jsonl, yaml or name")
	o.limit(&g.timeout, "timeout", "limit of each request, such as 10s (request_timeout)")
	o.on(&g.showSecrets, "show-secrets", "", "show the key share v that the verifier holds")
	o.on(&g.checkHostname, "check-hostname", "", "servers' certificates must carry the host asked for")
	o.on(&g.insecureSkipVerify, "insecure-skip-server-verification", "", "trust any server (tests only)")
	o.on(&g.quiet, "quiet", "q", "no progress, no hints; warnings and errors stay")
	o.on(&g.verbose, "verbose", "", "show each step, also where stderr is no terminal")
	o.on(&g.debug, "debug", "", "show each step and each request with its duration")
	o.on(&g.noColor, "no-color", "", "no colour, as with NO_COLOR in the environment")
}

// wordsOfOld maps the names that options had in the Python tenant, and other
// spellings, to the names of the tree. '_' and '-' are equal beforehand.
func wordsOfOld(name string) string {
	switch name {
	case "mb-refstate":
		return "mb-policy"
	case "sign-verification-key":
		return "signature-verification-key"
	case "supported-version":
		return "agent-api-version"
	case "no-colour":
		return "no-color"
	}
	return name
}

// normalizeFlag makes '_' and '-' equal in names of options.
func normalizeFlag(_ *pflag.FlagSet, name string) pflag.NormalizedName {
	return pflag.NormalizedName(wordsOfOld(strings.ReplaceAll(name, "_", "-")))
}

// oldShorts are the short options of several letters that the Python tenant
// has, and what they are called here. pflag would read them letter by letter.
func oldShort(word string) (long string, known bool) {
	name, value, glued := strings.Cut(word, "=")
	switch name {
	case "-tp":
		long = "--targetport"
	case "-rp":
		long = "--registrarport"
	case "-vp":
		long = "--cvport"
	case "-vi":
		long = "--cvid"
	case "-nvc":
		long = "--no-verifier-check"
	default:
		return word, false
	}
	if glued {
		long += "=" + value
	}
	return long, true
}

// expandShorts replaces [oldShort] options up to "--".
func expandShorts(args []string) []string {
	out := make([]string, len(args))
	for i, word := range args {
		if word == "--" {
			copy(out[i:], args[i:])
			break
		}
		out[i], _ = oldShort(word)
	}
	return out
}

// format is the value of --output; the classic grammar hands its own over.
func (g *globalFlags) format() (render.Format, error) {
	if g.output == "" {
		return render.FormatTable, nil
	}
	f, err := render.ParseFormat(g.output)
	if err != nil {
		return "", usagef("--output: %w", err)
	}
	return f, nil
}

// seconds is a time limit: a Go duration such as 1m30s, or bare seconds.
type seconds time.Duration

func (s *seconds) String() string {
	if s == nil || *s == 0 {
		return ""
	}
	return time.Duration(*s).String()
}

// Type is what the help calls the value.
func (s *seconds) Type() string { return "DURATION" }

// Set reads the value; it has to be positive.
func (s *seconds) Set(text string) error {
	d, err := time.ParseDuration(text)
	if err != nil {
		f, numErr := strconv.ParseFloat(text, 64)
		if numErr != nil {
			return errors.New("neither a duration such as 30s or 2m nor a number of seconds")
		}
		if !(f > 0 && f < 1e9) {
			return fmt.Errorf("%s seconds is no time limit", text)
		}
		d = time.Duration(f * float64(time.Second))
	}
	if d <= 0 {
		return errors.New("a time limit is greater than 0")
	}
	*s = seconds(d)
	return nil
}
