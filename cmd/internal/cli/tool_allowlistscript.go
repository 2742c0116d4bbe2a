package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/keylime/keylime-tenant/cmd/internal/classic"
	"github.com/keylime/keylime-tenant/policy/runtime"
)

// The names of the script that makes an allowlist.
const (
	allowlistScript     = "create_allowlist.sh"
	allowlistScriptBare = "create_allowlist"
)

// allowlistScriptTool is create_allowlist.sh, from which create_runtime_policy.sh
// has come in Keylime 6.6: it writes the digests of the running machine as an
// allowlist, for --allowlist and for keylime_convert_runtime_policy. It takes what
// [runtimeScriptTool] takes, but leaves /var and /tmp in, as that script did, and
// differs from it in the same things. A machine without a list of the kernel gets
// an allowlist without boot_aggregate, and a warning.
func allowlistScriptTool(ctx context.Context, a *app, args []string) int {
	return newAllowlistScript(a).makeAllowlist(ctx, args)
}

func newAllowlistScript(a *app) *runtimeScriptCall {
	s := newRuntimeScript(a)
	a.old, a.verb = &classic.Call{Verb: allowlistScript}, allowlistScript
	s.hashOption, s.neverHashed, s.use = "-h", `\b(sys|run|proc|lost\+found|dev|media|snap)\b|mnt`, runtimeScript+" has option"
	return s
}

func (s *runtimeScriptCall) makeAllowlist(ctx context.Context, args []string) int {
	if code, ended := s.parseAllowlist(args); ended {
		return code
	}
	if _, err := os.Stat(s.aggregate); errors.Is(err, fs.ErrNotExist) {
		s.announce("WARNING: there is no %s, so that the allowlist has no boot_aggregate", s.aggregate)
		s.aggregate = nothingWord
	}
	request, code := s.request()
	if code != exitOK {
		return code
	}
	if err := writable(s.output); err != nil {
		return s.fail("%v", err)
	}
	return s.make(ctx, s.output, request, (*runtime.Policy).Allowlist, "Done, the allowlist is in %s. Use it: keylime_tenant -c add --allowlist %s ...")
}

// parseAllowlist reads -o and -h as the script's getopts does. If ended, the call
// is over with code.
func (s *runtimeScriptCall) parseAllowlist(args []string) (code int, ended bool) {
	usage := "Usage: " + s.name + " -o FILE [-h sha1sum|sha256sum|sha512sum]\n"
	if len(args) == 0 {
		fmt.Fprint(s.errOut(), "No arguments provided\n"+usage)
		return exitFailure, true
	}
	for i := 0; i < len(args); i++ {
		word := args[i]
		var value *string
		switch {
		case word == "--help" || word == "-h" && i+1 == len(args):
			fmt.Fprint(s.out(), usage+"\nWrites an allowlist of the running machine; -h names the program to hash with, sha1sum if it is absent.\n"+
				"A runtime policy, which says more, is made by keylime_tenant policy create runtime.\n")
			return exitOK, true
		case strings.HasPrefix(word, "-o"):
			value = &s.output
		case strings.HasPrefix(word, "-h"):
			value = &s.algo
		default:
			s.announce("WARNING: %q is none of the options and is passed over", word)
			continue
		}
		if *value = word[2:]; *value == "" && i+1 < len(args) {
			i++
			*value = args[i]
		}
	}
	if code, ended := s.checkAlgo(); ended {
		return code, true
	}
	if s.output == "" {
		fmt.Fprint(s.errOut(), "Missing argument for -o\n"+usage)
		return exitFailure, true
	}
	out, err := filepath.Abs(s.output)
	if err != nil {
		return s.fail("%v", err), true
	}
	s.output = out
	return exitOK, false
}
