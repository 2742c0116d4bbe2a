package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/keylime/keylime-tenant/policy/runtime"
	"github.com/keylime/keylime-tenant/policy/runtime/source"
)

// kernelList is where the kernel shows its own measurement list, and
// ownKernel the word that stands for it.
const (
	kernelList = "/sys/kernel/security/ima/ascii_runtime_measurements"
	ownKernel  = "kernel"
)

// sourceFlags are the options of policy create runtime.
type sourceFlags struct {
	out                   outFile
	base, allowlist, list string
	excludes, skip        []string
	workers               int
	request               source.Request
}

func newPolicyCreateRuntimeCmd(a *app) *cobra.Command {
	var f sourceFlags
	cmd := a.command("runtime", "make a runtime policy from files, packages and IMA lists",
		`Make a runtime policy: which files may run, which paths nobody checks, which keys sign
files. Sources can be combined; what they give is merged, sorted and made unique. What is
found is declared good, so take it from a machine, image or repository that is.

Root is not needed. A tree is hashed on all cores; nothing is unpacked to disk and no code
of packages runs. Nothing is written unless all sources could be read.`,
		`keylime_tenant policy create runtime --rootfs / --skip-path /home -o policy.json
keylime_tenant policy create runtime --ima-list ima.txt --exclude exclude.txt -o policy.json
keylime_tenant policy create runtime --local-rpm-repo ./rpms --base-policy policy.json -o policy.json`,
		noArgs, func(ctx context.Context, _ []string) error { return a.createRuntime(ctx, &f) })
	r := &f.request
	o := options{flags: cmd.Flags(), section: "Sources"}
	o.text(&f.list, "ima-list", "m", "FILE", `an IMA list, ASCII or binary; "kernel" is that of the running kernel`)
	o.text(&f.allowlist, "allowlist", "a", "FILE", "lines of digest and path, as sha256sum prints them")
	o.text(&f.base, "base-policy", "p", "FILE", "a runtime policy to add to")
	o.text(&r.AggregatePath, "boot-aggregate", "", "LIST", `an IMA list of which boot_aggregate alone is taken, its first entry; "kernel" as above`)
	o.text(&r.Rootfs, "rootfs", "", "DIR", "a file tree, such as / or a mounted image; other file systems in it are left out")
	o.text(&r.RamdiskDir, "ramdisk-dir", "", "DIR", "initial RAM disks (initr*), such as in /boot")
	o.list(&r.RPMs, "rpm", "FILE", "an RPM package (repeatable)")
	o.text(&r.RPMDir, "local-rpm-repo", "", "DIR", "a directory of RPM packages, searched to its depths")
	o.text(&r.RPMURL, "remote-rpm-repo", "", "URL", "a repository of RPM packages; only metadata and headers are fetched")
	o.section = "What is taken"
	cmd.Flags().StringSliceVarP(&f.skip, "skip-path", "s", nil, "leave out a directory of the tree (repeatable, or a list with commas)")
	o.note("skip-path", "DIR")
	o.on(&r.AnyOwner, "any-owner", "", "take files of the tree that do not belong to root too")
	o.on(&r.Links, "links", "", "take symbolic links to files of the tree too, under the name of the link")
	o.on(&r.AllFileSystems, "all-file-systems", "", "go into file systems of other types in the tree")
	o.text(&r.Prefix, "path-prefix", "", "PATH", "put PATH in front of the paths of the tree: the name under which it will be mounted")
	o.list(&f.excludes, "exclude", "FILE", "Python regular expressions of paths that are not checked, one a line (repeatable)")
	o.on(&r.Keyrings, "keyrings", "k", "take the keys that the list says were loaded")
	o.on(&r.Buffers, "ima-buf", "b", "take the other buffers in the list")
	o.list(&r.IgnoredKeyrings, "ignored-keyring", "NAME", "a keyring whose keys nobody checks (repeatable)")
	o.list(&r.VerificationKeys, "verification-key", "FILE", "a key or certificate that signs files (repeatable)")
	o.text(&r.Algorithm, "algo", "", "NAME", "hash of tree and RAM disks: sha1, sha256, sha384, sha512, sm3_256 (default: that of the other sources, else sha256)")
	cmd.Flags().IntVar(&f.workers, "workers", 0, "read so many files or packages at a time (default: one a core)")
	o.note("workers", "N")
	o.section = "Options"
	f.out.add(&o, "the policy")
	f.addOldNames(cmd)
	return cmd
}

// addOldNames takes the names that keylime-policy has for these options.
func (f *sourceFlags) addOldNames(cmd *cobra.Command) {
	flags, r := cmd.Flags(), &f.request
	flags.StringVar(&f.list, "ima-measurement-list", "", "")
	flags.StringArrayVarP(&f.excludes, "excludelist", "e", nil, "")
	flags.StringArrayVar(&r.IgnoredKeyrings, "ignored-keyrings", nil, "")
	flags.StringArrayVar(&r.VerificationKeys, "add-ima-signature-verification-key", nil, "")
	flags.IntVar(&f.workers, "max-workers", 0, "")
	for _, name := range []string{"ima-measurement-list", "excludelist", "ignored-keyrings", "add-ima-signature-verification-key", "max-workers"} {
		_ = flags.MarkHidden(name) // defined above
	}
}

// createRuntime makes the policy and writes it.
func (a *app) createRuntime(ctx context.Context, f *sourceFlags) error {
	if err := f.out.check("policy create"); err != nil {
		return err
	}
	if f.workers < 0 {
		return usagef("--workers %d is not a number of workers", f.workers)
	}
	r := f.request
	r.Workers, r.SkipPaths, r.Now = f.workers, f.skip, a.now()
	if f.nothing() {
		return usagef("policy create runtime needs something to make a policy from").
			hint("--rootfs DIR, --ima-list FILE, --allowlist FILE, --base-policy FILE, --local-rpm-repo DIR ...; keylime_tenant policy create runtime --help")
	}
	cleanUp, err := a.sources(f, &r)
	defer cleanUp()
	if err != nil {
		return err
	}
	p, err := a.collect(ctx, r, func(text string) { a.warn("", text, "") })
	if err != nil {
		return sourceFailure(err)
	}
	if err := a.writeText(f.out, p.Marshal()); err != nil {
		return err
	}
	if !f.out.stdout() {
		s := p.Summarize()
		a.note(fmt.Sprintf("%s: %s, %s, %s", f.out.path, count(s.Files, "file"), count(s.FileDigests, "digest"), count(len(s.Excludes), "exclude")))
	}
	return nil
}

// nothing says that no source and nothing to put into a policy is named.
func (f *sourceFlags) nothing() bool {
	r := &f.request
	return f.list == "" && r.AggregatePath == "" && f.allowlist == "" && f.base == "" && r.Rootfs == "" && r.RamdiskDir == "" && r.RPMDir == "" && r.RPMURL == "" &&
		len(r.RPMs) == 0 && len(f.excludes) == 0 && len(r.VerificationKeys) == 0 && len(r.IgnoredKeyrings) == 0
}

// sources reads the small files that the options name.
func (a *app) sources(f *sourceFlags, r *source.Request) (cleanUp func(), err error) {
	cleanUp = func() {}
	if r.Algorithm != "" && !slices.Contains(source.Algorithms(), r.Algorithm) {
		return cleanUp, usagef("--algo %q is none of %s", r.Algorithm, strings.Join(source.Algorithms(), ", "))
	}
	if f.base != "" {
		if r.Base, err = a.fileOf(f.base, contentRuntimePolicy, contentJSON); err != nil {
			return cleanUp, err
		}
	}
	if f.allowlist != "" {
		if r.Allowlist, err = a.fileOf(f.allowlist, contentAllowlist, contentUnknown); err != nil {
			return cleanUp, err
		}
	}
	for _, path := range f.excludes {
		text, err := a.readFile("--exclude", path)
		if err != nil {
			return cleanUp, err
		}
		if _, _, err := runtime.ParseExcludes(text); err != nil {
			return cleanUp, excludeFailure(path, err)
		}
		r.Excludes = append(append(r.Excludes, text...), '\n')
	}
	if f.list != "" {
		if r.ListPath, cleanUp, err = a.listFile(f.list); err != nil {
			return cleanUp, err
		}
	}
	if r.AggregatePath != "" {
		remove := func() {}
		r.AggregatePath, remove, err = a.listFile(r.AggregatePath)
		first := cleanUp
		cleanUp = func() { first(); remove() }
		if err != nil {
			return cleanUp, err
		}
	}
	if r.Prefix != "" && (!strings.HasPrefix(r.Prefix, "/") || strings.HasSuffix(r.Prefix, "/")) {
		return cleanUp, usagef("--path-prefix %q: a path that begins with / and does not end with it is wanted", r.Prefix)
	}
	if r.RPMURL != "" {
		r.HTTP = &http.Client{Timeout: 10 * time.Minute}
	}
	return cleanUp, nil
}

// fileOf reads a file that must hold one of what is wanted.
func (a *app) fileOf(path string, wanted ...content) ([]byte, error) {
	d, err := a.openDocument(path)
	if err != nil {
		return nil, err
	}
	if !slices.Contains(wanted, d.content) {
		return nil, d.unfit(wanted[0].String())
	}
	return d.bytes()
}

// listFile is a file with the measurement list at path. A list that is not in a
// regular file is put into one, which cleanUp removes: it is read more than
// once.
func (a *app) listFile(path string) (file string, cleanUp func(), err error) {
	cleanUp = func() {}
	if path == ownKernel {
		path = kernelList
	}
	d, err := a.openDocument(path)
	if err != nil {
		return "", cleanUp, err
	}
	if !d.content.isList() {
		return "", cleanUp, d.unfit(contentIMAList.String())
	}
	defer d.close()
	if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() && info.Size() > 0 {
		return path, cleanUp, nil
	}
	return d.spool()
}

// excludeFailure names file and line of a pattern that cannot be used.
func excludeFailure(path string, err error) error {
	var bad *runtime.ExcludeError
	if errors.As(err, &bad) && bad.Line > 0 {
		return &fileError{Path: fmt.Sprintf("%s:%d", path, bad.Line), Err: err}
	}
	return &fileError{Path: path, Err: err}
}

// spool puts what a document holds into a file of its own.
func (d *document) spool() (path string, remove func(), err error) {
	f, err := os.CreateTemp("", "keylime_tenant-*")
	if err != nil {
		return "", func() {}, err
	}
	remove = func() { _ = os.Remove(f.Name()) }
	_, err = io.Copy(f, d.in)
	if err := errors.Join(err, f.Close()); err != nil {
		remove()
		return "", func() {}, &fileError{Path: d.path, Err: err}
	}
	return f.Name(), remove, nil
}

// collect runs the sources, with a progress bar on a terminal.
func (a *app) collect(ctx context.Context, r source.Request, warn func(string)) (*runtime.Policy, error) {
	bar := a.newProgress()
	defer bar.done()
	r.Progress = bar.report
	r.Warn = func(text string) {
		bar.clear()
		warn(text)
	}
	p, err := source.Create(ctx, r)
	bar.done()
	if ctx.Err() != nil {
		return nil, fmt.Errorf("%w: nothing written", context.Cause(ctx))
	}
	return p, err
}

// sourceFailure sorts the failures of sources: a repository that cannot be
// reached, or a source that was named and is none.
func sourceFailure(err error) error {
	var (
		remote    *url.Error
		input     *source.InputError
		algorithm *source.AlgorithmError
	)
	switch {
	case errors.As(err, &remote):
		return &statusError{Code: exitUnreachable, Err: err}
	case errors.As(err, &algorithm):
		return usagef("%w", err).hint("the digests of all sources must be of one kind; --algo is for trees and RAM disks alone")
	case errors.As(err, &input):
		return usagef("%w", err)
	}
	return err
}

func newPolicyConvertCmd(a *app) *cobra.Command {
	var out outFile
	var excludes []string
	var keys []string
	cmd := a.command("convert FILE", "bring an old allowlist or policy to the present format",
		`Write the runtime policy that FILE stands for: an old allowlist (lines of digest and path,
or JSON with "hashes"), or a runtime policy of any version.`,
		"keylime_tenant policy convert allowlist.txt --exclude exclude.txt -o policy.json",
		oneArg("FILE"), func(_ context.Context, args []string) error {
			if err := out.check("policy convert"); err != nil {
				return err
			}
			p, err := a.convert(args[0])
			if err != nil {
				return err
			}
			for _, path := range excludes {
				text, err := a.readFile("--exclude", path)
				if err != nil {
					return err
				}
				patterns, warnings, err := runtime.ParseExcludes(text)
				if err != nil {
					return excludeFailure(path, err)
				}
				for _, w := range warnings {
					a.warn(path, w, "")
				}
				p.AddExcludes(patterns)
			}
			if err := addKeys(p, keys); err != nil {
				return err
			}
			return a.writeText(out, p.Marshal())
		})
	o := options{flags: cmd.Flags()}
	o.list(&excludes, "exclude", "FILE", "an exclude list to put into the policy (repeatable)")
	o.list(&keys, "verification-key", "FILE", "a key or certificate that signs files (repeatable)")
	out.add(&o, "the policy")
	return cmd
}

// convert reads a file of any generation.
func (a *app) convert(path string) (*runtime.Policy, error) {
	d, err := a.openDocument(path)
	if err != nil {
		return nil, err
	}
	switch d.content {
	case contentSigned:
		d.close()
		return nil, &fileError{Path: d.path, Cause: "a signed policy would lose its signature", Advice: "keylime_tenant policy verify " + d.path + " --key PUBLIC_KEY --payload policy.json takes it out first"}
	case contentMBPolicy, contentBootLog, contentIMAList, contentIMABinary, contentEmpty, contentUnknown:
		return nil, d.unfit("an allowlist or a runtime policy")
	}
	data, err := d.bytes()
	if err != nil {
		return nil, err
	}
	p, changed, warnings, err := runtime.Convert(data, a.now())
	if err != nil {
		return nil, &fileError{Path: d.path, Err: err}
	}
	for _, w := range warnings {
		a.warn(d.path, w, "")
	}
	if !changed {
		a.note(d.path + " has the present format already")
	}
	return p, nil
}

// addKeys puts keys that sign files into a policy.
func addKeys(p *runtime.Policy, paths []string) error {
	if len(paths) == 0 {
		return nil
	}
	keys, err := runtime.ParseKeyring(p.VerificationKeys)
	if err != nil {
		return err
	}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			return unreadable(path, err)
		}
		if err := keys.Add(path, data); err != nil {
			return &fileError{Path: path, Err: errors.New(strings.TrimPrefix(err.Error(), path+": "))}
		}
	}
	p.VerificationKeys = keys.String()
	return nil
}
