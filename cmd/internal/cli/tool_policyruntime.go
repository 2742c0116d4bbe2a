package cli

import (
	"context"
	"errors"
	"io/fs"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/keylime/keylime-tenant/cmd/internal/argparse"
	"github.com/keylime/keylime-tenant/policy/pyre"
	"github.com/keylime/keylime-tenant/policy/runtime"
	"github.com/keylime/keylime-tenant/policy/runtime/source"
)

// policyToolCreateRuntime is keylime-policy create runtime.
func policyToolCreateRuntime(ctx context.Context, a *app, args []string) int {
	parser := argparse.Parser{Prog: policyProgram + " create runtime", Options: []argparse.Option{
		{Names: []string{"--local-rpm-repo"}, Dest: "local_rpm_repo", Metavar: "LOCAL_RPM_REPO", Help: "Local RPM repo directory"},
		{Names: []string{"--remote-rpm-repo"}, Dest: "remote_rpm_repo", Metavar: "REMOTE_RPM_REPO", Help: "Remote RPM repo URL"},
		{Names: []string{"--max-workers"}, Dest: "max_workers", Metavar: "MAX_WORKERS", Check: positive,
			Help: "The maximum number of workers used for RPM processing (must be a positive integer; default 8)."},
		{Names: []string{"--algo"}, Dest: "algo", Choices: []string{"sha1", "sha256", "sha384", "sha512", "sm3_256"},
			Help: "checksum algorithm to be used. If not specified, it will attempt to use the same algorithm the boot aggregate uses or fallback to sha256, otherwise"},
		{Names: []string{"--ramdisk-dir"}, Dest: "ramdisk_dir", Metavar: "RAMDISK_DIR", Help: "path to where the initrds are located, e.g.: /boot"},
		{Names: []string{"--rootfs"}, Dest: "rootfs", Metavar: "ROOTFS", Help: "path to the root filesystem, e.g.: /"},
		{Names: []string{"-s", "--skip-path"}, Dest: "skip_path", Metavar: "SKIP_PATH",
			Help: "comma-separated list of directories; files found there will not have their checksums calculated"},
		{Names: []string{"-o", "--output"}, Dest: "output", Metavar: "OUTPUT", Help: "output file (defaults to stdout)"},
		{Names: []string{"-p", "--base-policy"}, Dest: "base_policy", Metavar: "BASE_POLICY", Help: "Merge new data into the given JSON runtime policy"},
		{Names: []string{"-k", "--keyrings"}, Dest: "keyrings", NArgs: argparse.None, Help: "Create keyrings policy entries"},
		{Names: []string{"-b", "--ima-buf"}, Dest: "ima_buf", NArgs: argparse.None, Help: "Process ima-buf entries other than those related to keyrings"},
		{Names: []string{"-a", "--allowlist"}, Dest: "allowlist", Metavar: "ALLOWLIST", Help: "Read checksums from the given plain-text allowlist"},
		{Names: []string{"-e", "--excludelist"}, Dest: "exclude_list", Metavar: "EXCLUDE_LIST_FILE", Help: "An IMA exclude list file whose contents will be added to the policy"},
		{Names: []string{"-m", "--ima-measurement-list"}, Dest: "list", Metavar: "IMA_MEASUREMENT_LIST", NArgs: argparse.Optional, Const: kernelList,
			Help: "Use an IMA measurement list for hash, keyring, and critical data extraction. If a list is not specified, it uses " + kernelList +
				". Use /dev/null for an empty list."},
		{Names: []string{"--ignored-keyrings"}, Dest: "ignored_keyrings", Metavar: "IGNORED_KEYRINGS", Append: true,
			Help: "Ignores the given keyring; this option may be passed multiple times"},
		{Names: []string{"--add-ima-signature-verification-key"}, Dest: "keys", Metavar: "IMA_SIGNATURE_KEYS", Append: true,
			Help: "Add the given IMA signature verification key to the Keylime-internal 'tenant_keyring'; the key should be an x509 certificate in DER or PEM format but may also be a public or private key file; this option may be passed multiple times"},
		{Names: []string{"--show-legacy-allowlist"}, Dest: "legacy", NArgs: argparse.None,
			Help: "Instead of the actual policy, display only the digests in the legacy allowlist format"},
		{Names: []string{"-v", "--verbose"}, Dest: "verbose", NArgs: argparse.None, Help: "Set log level to DEBUG; may be helpful when diagnosing issues"},
	}}
	values, code, ended := a.parsePolicyTool(&parser, args)
	if ended {
		return code
	}
	t := runtimeTool{toolLog{app: a, out: a.errOut(), verbose: values.Has("verbose")}, values}
	request, code := t.request()
	if code != exitOK {
		return code
	}
	p, err := a.collect(ctx, request, t.warn)
	if err != nil {
		return t.failed(err)
	}
	text := p.Marshal()
	if values.Has("legacy") {
		text = p.Allowlist()
	}
	out, _ := values.Get("output")
	if err := a.writeFile(out, text, 0o644); err != nil {
		return t.errorf("An error occurred while writing the policy: %v", err)
	}
	return exitOK
}

// failed says why there is no policy, in upstream's words where it has some.
func (t *runtimeTool) failed(err error) (code int) {
	base, _ := t.values.Get("base_policy")
	var (
		algorithm *source.AlgorithmError
		input     *source.InputError
		broken    *runtime.SyntaxError
	)
	switch {
	case errors.As(err, &algorithm) && algorithm.Previous == "":
		t.warn("Invalid digest algorithm found in the " + algorithm.Source)
		t.warn("Aborting operation")
		return exitFailure
	case errors.As(err, &algorithm):
		t.warn("The digest algorithm in the " + algorithm.Source + " does not match the previously set '" + algorithm.Previous + "' algorithm")
		t.warn("Aborting operation")
		return exitFailure
	case errors.As(err, &input) && input.Source == "base policy" && errors.As(err, &broken):
		return t.errorf("An error occurred while parsing a JSON object from file %s: %s", base, broken.Reason)
	case errors.As(err, &input) && input.Source == "base policy":
		return t.errorf("Could not convert the provided base policy to a valid runtime policy: %v", input.Err)
	}
	return t.errorf("%v", err)
}

// positive says what is wrong with a number of workers.
func positive(text string) string {
	if n, err := strconv.Atoi(strings.TrimSpace(text)); err != nil || n <= 0 {
		return "'" + text + "' is not a positive integer."
	}
	return ""
}

// runtimeTool is one call of keylime-policy create runtime or
// keylime_create_policy.
type runtimeTool struct {
	toolLog
	values argparse.Values
}

// request turns the options into a request.
func (t *runtimeTool) request() (r source.Request, code int) {
	get := func(dest string) string {
		value, _ := t.values.Get(dest)
		return value
	}
	r = source.Request{
		Algorithm: get("algo"), Rootfs: get("rootfs"), RamdiskDir: get("ramdisk_dir"), RPMDir: get("local_rpm_repo"), RPMURL: get("remote_rpm_repo"),
		Keyrings: t.values.Has("keyrings"), Buffers: t.values.Has("ima_buf"),
		IgnoredKeyrings: t.values.All("ignored_keyrings"), VerificationKeys: t.values.All("keys"), Now: t.now(),
	}
	if skip := get("skip_path"); skip != "" {
		r.SkipPaths = strings.Split(skip, ",")
	}
	if workers := get("max_workers"); workers != "" {
		r.Workers, _ = strconv.Atoi(strings.TrimSpace(workers)) // judged by the parser
	}
	if r.RPMURL != "" {
		r.HTTP = &http.Client{Timeout: 10 * time.Minute}
	}
	if list := get("list"); list != "" && list != "/dev/null" {
		t.debugf("Measurement list is %s", list)
		if info, err := os.Stat(list); err != nil || info.IsDir() {
			t.warn("The IMA measurement list file '" + list + "' does not seem to exist")
			return r, exitFailure
		}
		r.ListPath = list
	}
	code = t.readInputs(&r, get("base_policy"), get("allowlist"), get("exclude_list"))
	return r, code
}

// readInputs reads base policy, allowlist and exclude list.
func (t *runtimeTool) readInputs(r *source.Request, base, allowlist, excludes string) (code int) {
	for _, one := range []struct {
		path, failing string
		into          *[]byte
	}{
		{base, "An error occurred while loading the policy: ", &r.Base},
		{allowlist, "An error occurred while accessing the allowlist: ", &r.Allowlist},
		{excludes, "An error occurred: ", &r.Excludes},
	} {
		if one.path == "" {
			continue
		}
		data, err := os.ReadFile(one.path)
		if err != nil {
			return t.errorf("%s%s", one.failing, pythonError(err, one.path))
		}
		*one.into = append(data, '\n')
	}
	for _, path := range r.VerificationKeys {
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			return t.errorf("%s", pythonError(err, path))
		}
	}
	return t.checkRules(r.Excludes)
}

// checkRules refuses patterns in upstream's words.
func (t *runtimeTool) checkRules(list []byte) (code int) {
	_, warnings, err := runtime.ParseExcludes(list)
	for _, text := range warnings {
		t.warn(text)
	}
	var (
		bad     *runtime.ExcludeError
		refused *pyre.Error
	)
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &bad) && errors.As(err, &refused):
		return t.errorf("Bad IMA exclude list rule '%s': Invalid regex: %s.", bad.Pattern, refused.Msg)
	}
	return t.errorf("Bad IMA exclude list: %v", err)
}
