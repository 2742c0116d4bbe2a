package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/keylime/keylime-tenant/cmd/internal/argparse"
	"github.com/keylime/keylime-tenant/policy/runtime"
)

// convertTool is keylime_convert_runtime_policy (TENANT-CLI.md C.2, C.3).
func convertTool(_ context.Context, a *app, args []string) int {
	parser := argparse.Parser{Prog: "keylime_convert_runtime_policy", Options: []argparse.Option{
		{Names: []string{"-a", "--allowlist"}, Dest: "allowlist", Metavar: "ALLOWLIST", Help: "allowlist file location"},
		{Names: []string{"-r", "--runtime_policy"}, Dest: "runtime_policy", Metavar: "RUNTIME_POLICY", Help: "Runtime policy file location"},
		{Names: []string{"-e", "--excludelist"}, Dest: "excludelist", Metavar: "EXCLUDELIST", Help: "exclude list file location"},
		{Names: []string{"-v", "--verification_keys"}, Dest: "keys", Metavar: "VERIFICATION_KEYS", NArgs: argparse.AtLeastOne, Help: "list of verification key paths"},
		{Names: []string{"-o", "--output_file"}, Dest: "output_file", Metavar: "OUTPUT_FILE", Help: "Output file path"},
	}}
	values, code, ended := a.parseChattyTool(&parser, args)
	if ended {
		return code
	}
	say := func(format string, words ...any) int {
		fmt.Fprintf(a.out(), format+"\n", words...)
		return exitFailure
	}
	allowlist, old := values.Get("allowlist")
	path, updated := values.Get("runtime_policy")
	out, _ := values.Get("output_file")
	switch {
	case old && updated:
		return say("Cannot provide both --allowlist and --runtime-policy!")
	case !old && !updated:
		return say("Either --allowlist or --runtime_policy is required!")
	case out == "":
		return say("An output file path (-o, --output_file) is required to write new policy!")
	case old:
		path = allowlist
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return say("%s", pythonError(err, path))
	}
	p, err := a.convertOld(filepath.Base(path), data, old, say)
	if err != nil {
		return say("%s: %v", path, err)
	}
	if excludes, given := values.Get("excludelist"); given {
		text, err := os.ReadFile(excludes)
		if err != nil {
			return say("%s", pythonError(err, excludes))
		}
		// The comments of this tool's lists always were comments: no warning.
		patterns, _, err := runtime.ParseExcludes(text)
		if err != nil {
			return say("%s: %v", excludes, err)
		}
		p.AddExcludes(patterns)
	}
	if err := addKeys(p, values.All("keys")); err != nil {
		return say("%v", err)
	}
	if err := a.writeFile(out, p.Marshal(), 0o644); err != nil {
		return say("%v", err)
	}
	return exitOK
}

// convertOld reads an allowlist, or a policy of any version, and says as much as
// the old tool does.
func (a *app) convertOld(name string, data []byte, allowlist bool, say func(string, ...any) int) (*runtime.Policy, error) {
	if allowlist {
		switch recognise(data) {
		case contentJSON:
			if recogniseJSON(data) == contentAllowlist {
				say("%s appears to be JSON-formatted; converting to IMA policy", name)
			}
		default:
			say("%s is not JSON-formatted; attempting to convert to IMA policy from flat file format", name)
		}
		p, warnings, err := runtime.ConvertLegacy(data, nil, a.now())
		for _, text := range warnings {
			say("%s", text)
		}
		return p, err
	}
	if content := recognise(data); content == contentJSON {
		content = recogniseJSON(data)
		if content != contentRuntimePolicy {
			return nil, errors.New("this is " + content.String() + "; wanted is a runtime policy")
		}
	}
	if _, err := runtime.ParsePolicy(data); err != nil {
		if broken := new(runtime.SyntaxError); errors.As(err, &broken) {
			return nil, err
		}
	}
	p, changed, warnings, err := runtime.Convert(data, a.now())
	for _, text := range warnings {
		say("%s", text)
	}
	if err == nil && changed {
		say("Provided policy is of an older version; latest policy has version %d. Updating to latest version.", runtime.Version)
	}
	return p, err
}
