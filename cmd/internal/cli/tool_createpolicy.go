package cli

import (
	"context"
	"net/http"
	"os"
	"slices"
	"time"

	"github.com/keylime/keylime-tenant/cmd/internal/argparse"
	"github.com/keylime/keylime-tenant/policy/runtime"
	"github.com/keylime/keylime-tenant/policy/runtime/source"
)

// createPolicyTool is keylime_create_policy, the older generator of runtime
// policies: one source of digests, the kernel's list unless another is named
// (TENANT-CLI.md C.2, C.3).
func createPolicyTool(ctx context.Context, a *app, args []string) int {
	parser := argparse.Parser{Prog: "keylime_create_policy", Description: "This is tool for adding items to a Keylime's IMA runtime policy", Options: []argparse.Option{
		{Names: []string{"-B", "--base-policy"}, Dest: "base_policy", Metavar: "BASE_POLICY", Help: "Merge new data into the given JSON runtime policy"},
		{Names: []string{"-k", "--keyrings"}, Dest: "keyrings", NArgs: argparse.None, Help: "Create keyrings policy entries"},
		{Names: []string{"-b", "--ima-buf"}, Dest: "ima_buf", NArgs: argparse.None, Help: "Process ima-buf entries other than those related to keyrings"},
		{Names: []string{"-a", "--allowlist"}, Dest: "allowlist", Metavar: "ALLOWLIST", Help: "Use given plain-text allowlist"},
		{Names: []string{"-m", "--ima-measurement-list"}, Dest: "list", Metavar: "IMA_MEASUREMENT_LIST",
			Help: "Use given IMA measurement list for hash, keyring, and critical data extraction rather than " + kernelList + "; use /dev/null for an empty list"},
		{Names: []string{"-i", "--ignored-keyrings"}, Dest: "ignored_keyrings", Metavar: "IGNORED_KEYRINGS", Append: true,
			Help: "Ignored the given keyring; this option may be passed multiple times"},
		{Names: []string{"-o", "--output"}, Dest: "output", Metavar: "OUTPUT", Help: "File to write JSON policy into; default is to print to stdout"},
		{Names: []string{"--no-hashes"}, Dest: "no_hashes", NArgs: argparse.None, Help: "Do not add any hashes to the policy"},
		{Names: []string{"-A", "--add-ima-signature-verification-key"}, Dest: "keys", Metavar: "IMA_SIGNATURE_KEYS", Append: true,
			Help: "Add the given IMA signature verification key to the Keylime-internal 'tenant_keyring'; the key should be an x509 certificate in DER or PEM format but may also be a public or private key file; this option may be passed multiple times"},
		{Names: []string{"-e", "--exclude"}, Dest: "exclude", Metavar: "EXCLUDE_LIST_FILE", Help: "An IMA exclude list file whose contents will be added to the policy"},
		{Names: []string{"-l", "--local-repo"}, Dest: "local_repo", Metavar: "REPO", Help: "Local repo directory"},
		{Names: []string{"-r", "--remote-repo"}, Dest: "remote_repo", Metavar: "URL", Help: "Remote repo directory"},
	}}
	values, code, ended := a.parseTool(&parser, args)
	if ended {
		return code
	}
	t := runtimeTool{toolLog{app: a, out: a.errOut()}, values}
	request, buffers, code := t.oldRequest()
	if code != exitOK {
		return code
	}
	p, err := a.collect(ctx, request, t.warn)
	if err != nil {
		return t.failed(err)
	}
	if buffers.ListPath != "" {
		more, err := a.collect(ctx, buffers, t.warn)
		if err != nil {
			return t.failed(err)
		}
		addSorted(&p.Keyrings, &more.Keyrings)
		addSorted(&p.IMABuf, &more.IMABuf)
	}
	out, _ := values.Get("output")
	if err := a.writeText(outFile{out}, p.Marshal()); err != nil {
		return t.errorf("An error occurred while writing the policy: %v", err)
	}
	return exitOK
}

// addSorted adds digests, and keeps the lists sorted as this tool writes them.
func addSorted(to, more *runtime.DigestMap) {
	for name, digests := range more.All() {
		for _, digest := range digests {
			to.Add(name, digest)
		}
		to.Set(name, slices.Sorted(slices.Values(to.Get(name))))
	}
}

// oldRequest turns the options into a request. Of several sources of digests
// only one counts: allowlist, local repository, remote repository, list. A list
// whose digests do not count may still give keys and buffers: these are a
// request of their own.
func (t *runtimeTool) oldRequest() (r, buffers source.Request, code int) {
	get := func(dest string) string {
		value, _ := t.values.Get(dest)
		return value
	}
	r = source.Request{
		Keyrings: t.values.Has("keyrings"), Buffers: t.values.Has("ima_buf"), Now: t.now(),
		IgnoredKeyrings: t.values.All("ignored_keyrings"), VerificationKeys: t.values.All("keys"),
	}
	list, allowlist := get("list"), ""
	if list == "" {
		list = kernelList
	}
	digests := false
	switch {
	case get("allowlist") != "":
		allowlist = get("allowlist")
	case get("local_repo") != "":
		r.RPMDir = get("local_repo")
	case get("remote_repo") != "":
		r.RPMURL, r.HTTP = get("remote_repo"), &http.Client{Timeout: 10 * time.Minute}
	default:
		digests = !t.values.Has("no_hashes")
	}
	if list != "/dev/null" && (digests || r.Keyrings || r.Buffers) {
		if _, err := os.Stat(list); err != nil {
			return r, buffers, t.errorf("An error occurred: %s", pythonError(err, list))
		}
		if digests {
			r.ListPath = list
		} else {
			buffers = source.Request{ListPath: list, Keyrings: r.Keyrings, Buffers: r.Buffers, IgnoredKeyrings: r.IgnoredKeyrings, Now: r.Now}
		}
	}
	if code = t.readInputs(&r, get("base_policy"), allowlist, get("exclude")); code == exitOK && r.Base != nil {
		// Unlike its successor this tool takes no base that is not complete.
		if _, err := runtime.ParsePolicy(r.Base); err != nil {
			code = t.errorf("Base policy is not a valid runtime policy: %v", err)
		}
	}
	return r, buffers, code
}
