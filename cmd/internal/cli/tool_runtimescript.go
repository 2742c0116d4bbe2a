package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/keylime/keylime-tenant/cmd/internal/classic"
	"github.com/keylime/keylime-tenant/policy/runtime"
	"github.com/keylime/keylime-tenant/policy/runtime/source"
)

// The names of the script, and what it takes without being told.
const (
	runtimeScript      = "create_runtime_policy.sh"
	runtimeScriptBare  = "create_runtime_policy"
	runtimeScriptDir   = "/tmp/kcrp/output"
	runtimeScriptDisks = "/boot/"
	nothingWord        = "none"
)

// runtimeScriptTool is the script create_runtime_policy.sh (TENANT-CLI.md C.2),
// which makes a runtime policy of the running machine. It takes the files that
// the script takes, and differs in these: root is not needed, though without it
// files are missing, which is said; nothing is downloaded, unpacked or removed;
// the files of RAM disks do get into the policy; directories to skip may lie at
// any depth and there may be several; blanks in paths are written as the kernel
// writes them; a failure has exit code 1.
func runtimeScriptTool(ctx context.Context, a *app, args []string) int {
	s := newRuntimeScript(a)
	if code, ended := s.parse(args); ended {
		return code
	}
	request, code := s.request()
	if code != exitOK {
		return code
	}
	out, err := s.target()
	if err == nil {
		err = writable(out)
	}
	if err != nil {
		return s.fail("%v", err)
	}
	return s.make(ctx, out, request, (*runtime.Policy).Marshal, "Done, new runtime policy file present at %s. Use it: keylime_tenant -c add --runtime-policy %s ...")
}

// make hashes what is asked for and writes it in a form; done says so, with two
// places for the name of the file.
func (s *runtimeScriptCall) make(ctx context.Context, out string, request source.Request, form func(*runtime.Policy) []byte, done string) int {
	s.announce("hashing the files of %s with %s", s.rootfs, s.algo)
	p, err := s.collect(ctx, request, func(text string) { s.announce("WARNING: %s", text) })
	var input *source.InputError
	switch {
	case errors.As(err, &input) && input.Source == source.RAMDisk:
		return s.fail("%v: nothing written. %s -x %s to leave RAM disks out, or -x with another directory", err, s.use, nothingWord)
	case err != nil && ctx.Err() == nil:
		return s.fail("%v: nothing written", err)
	case err != nil:
		return s.fail("%v", err)
	}
	if err := s.writeFile(out, form(p), 0o644); err != nil {
		return s.fail("%v", err)
	}
	s.announce(done, out, out)
	return exitOK
}

// scriptHash is a program that the script hashes with, and what it hashes.
type scriptHash struct{ program, algorithm string }

func scriptHashes() []scriptHash {
	return []scriptHash{{"sha1sum", "sha1"}, {"sha256sum", "sha256"}, {"sha512sum", "sha512"}}
}

// runtimeScriptCall is one call of the script.
type runtimeScriptCall struct {
	*app
	// dir is where results go that are named without a directory.
	dir string

	output, algo, disks, aggregate, rootfs, excludes, skip string
	// hashOption is the option that names the hash, neverHashed a pattern of the
	// entries of the root directory that are left out.
	hashOption, neverHashed string
	// use begins an advice to take an option that only create_runtime_policy.sh has.
	use string
}

func newRuntimeScript(a *app) *runtimeScriptCall {
	a.old, a.verb = &classic.Call{Verb: runtimeScript}, runtimeScript
	return &runtimeScriptCall{app: a, dir: runtimeScriptDir, algo: "sha1sum", disks: runtimeScriptDisks, aggregate: kernelList,
		rootfs: "/", excludes: nothingWord, skip: nothingWord, hashOption: "-a", neverHashed: neverHashed, use: "Use option"}
}

// announce writes a message in the script's shape.
func (s *runtimeScriptCall) announce(format string, values ...any) {
	fmt.Fprintf(s.out(), "==> %s - %s - %s\n", s.now().Format(time.UnixDate), s.name, fmt.Sprintf(format, values...))
}

func (s *runtimeScriptCall) fail(format string, values ...any) int {
	s.announce("ERROR: "+format, values...)
	return exitFailure
}

// scriptOption is an option of the script.
type scriptOption struct {
	names []string
	value *string
	about string
}

func (s *runtimeScriptCall) options() []scriptOption {
	return []scriptOption{
		{[]string{"-o", "--output_file"}, &s.output, "FILE: where the policy goes; without a slash to " + s.dir},
		{[]string{"-a", "--algo"}, &s.algo, "PROGRAM: sha1sum, sha256sum or sha512sum; default sha1sum"},
		{[]string{"-x", "--ramdisk-location"}, &s.disks, "DIR: holds initial RAM disks (initr*), none for none; default " + runtimeScriptDisks},
		{[]string{"-y", "--boot_aggregate-location"}, &s.aggregate, "FILE: an IMA list that begins with boot_aggregate, none for none; default " + kernelList},
		{[]string{"-z", "--rootfs-location"}, &s.rootfs, "DIR: the file tree; default /"},
		{[]string{"-e", "--exclude_list"}, &s.excludes, "FILE: paths that verifiers are not to check, none for none; default none"},
		{[]string{"-s", "--skip-path"}, &s.skip, "PATHS: not to be hashed, with commas between, none for none; default none"},
	}
}

// usage explains the options.
func (s *runtimeScriptCall) usage() string {
	text := "Usage: " + s.name + " -o/--output_file FILE [OPTION VALUE]...\n\nOptions, each also as OPTION=VALUE:\n"
	for _, o := range s.options() {
		value, about, _ := strings.Cut(o.about, ": ")
		text += fmt.Sprintf("  %s %s\n        %s\n", strings.Join(o.names, "/"), value, about)
	}
	return text + "  -h/--help\n        show this and exit\n\nThe same, and more, does keylime_tenant policy create runtime.\n"
}

// parse reads the command line as the script does: what it does not know is
// passed over. If ended, the call is over with code.
func (s *runtimeScriptCall) parse(args []string) (code int, ended bool) {
	known := s.options()
	for i := 0; i < len(args); i++ {
		name, value, joined := strings.Cut(args[i], "=")
		if args[i] == "-h" || args[i] == "--help" {
			fmt.Fprint(s.out(), s.usage())
			return exitOK, true
		}
		at := slices.IndexFunc(known, func(o scriptOption) bool { return slices.Contains(o.names, name) })
		switch {
		case at < 0:
			s.announce("WARNING: %q is none of the options and is passed over", args[i])
			continue
		case !joined && i+1 == len(args):
			return s.fail("option %s lacks its value", args[i]), true
		case !joined:
			i++
			value = args[i]
		}
		*known[at].value = value
	}
	if code, ended := s.checkAlgo(); ended {
		return code, true
	}
	if s.output == "" {
		fmt.Fprint(s.out(), s.usage())
		return exitFailure, true
	}
	return exitOK, false
}

// checkAlgo refuses a program that is none of the three.
func (s *runtimeScriptCall) checkAlgo() (code int, ended bool) {
	if slices.ContainsFunc(scriptHashes(), func(h scriptHash) bool { return h.program == s.algo }) {
		return exitOK, false
	}
	fmt.Fprintf(s.out(), "Invalid hash function argument: %q, pick from \"sha1sum sha256sum sha512sum\"\n", s.algo)
	return exitFailure, true
}

// neverHashed are the words that keep an entry of the root directory out, as
// words within its name, since that is how the script's grep finds them.
const neverHashed = `\b(sys|run|proc|lost\+found|dev|media|snap|mnt|var|tmp)\b`

// request turns the options into a request.
func (s *runtimeScriptCall) request() (r source.Request, code int) {
	at := slices.IndexFunc(scriptHashes(), func(h scriptHash) bool { return h.program == s.algo })
	never := regexp.MustCompile(s.neverHashed)
	r = source.Request{
		Algorithm: scriptHashes()[at].algorithm, Links: true, AllFileSystems: true, Now: s.now(),
		// The script lists names without a dot in front.
		Top: func(name string) bool { return !strings.HasPrefix(name, ".") && !never.MatchString(name) },
	}
	if s.algo == "sha1sum" {
		s.announce("WARNING: SHA-1, which %[1]s sha1sum and no %[1]s at all mean, does not protect against forged files; %[1]s sha256sum does, if the kernel measures with it", s.hashOption)
	}
	root, err := filepath.Abs(s.rootfs)
	if err != nil {
		return r, s.fail("%v", err)
	}
	if r.Rootfs = root; root != filepath.Dir(root) {
		r.Prefix = filepath.ToSlash(root)
		s.announce("WARNING: paths in the policy begin with %s, as the script writes them; as a machine that has this for its / sees them they are written by keylime_tenant policy create runtime --rootfs %s", root, root)
	}
	if s.skip != nothingWord {
		for _, path := range strings.Split(s.skip, ",") {
			if path != "" && !filepath.IsAbs(path) {
				path = filepath.Join(root, path)
			}
			r.SkipPaths = append(r.SkipPaths, path)
		}
	}
	if code := s.bootAggregate(&r); code != exitOK {
		return r, code
	}
	if s.disks != nothingWord {
		r.RamdiskDir = s.ostree(s.disks)
		if _, err := os.Stat(r.RamdiskDir); errors.Is(err, fs.ErrNotExist) {
			s.announce("WARNING: there is no directory %s, so that the policy has no files of RAM disks", r.RamdiskDir)
			r.RamdiskDir = ""
		}
	}
	if s.excludes == nothingWord {
		return r, exitOK
	}
	r.Excludes, err = os.ReadFile(s.excludes)
	if errors.Is(err, fs.ErrNotExist) {
		s.announce("WARNING: there is no exclude list %s, so that the policy excludes nothing", s.excludes)
	} else if err != nil {
		return r, s.fail("exclude list %s: %v", s.excludes, pythonError(err, s.excludes))
	}
	return r, exitOK
}

// bootAggregate takes the boot aggregate, which must be of the hash that files
// are hashed with.
func (s *runtimeScriptCall) bootAggregate(r *source.Request) (code int) {
	if s.aggregate == nothingWord {
		return exitOK
	}
	digest, algorithms, err := source.BootAggregate(s.aggregate)
	if err != nil {
		return s.fail("%v. %s -y %s to make a policy without it", err, s.use, nothingWord)
	}
	if !slices.Contains(algorithms, r.Algorithm) {
		has := fmt.Sprintf("a hash of %d hexadecimal digits", len(digest))
		advice := "None of the three programs makes such. " + s.use + " -y " + nothingWord + " to leave it out"
		for _, h := range scriptHashes() {
			if slices.Contains(algorithms, h.algorithm) {
				has, advice = h.program, "Use option "+s.hashOption+" "+h.program
			}
		}
		return s.fail("the \"boot aggregate\" in %s was calculated with %s, but files would be with %s. %s", s.aggregate, has, s.algo, advice)
	}
	r.AggregatePath = s.aggregate
	return exitOK
}

// ostree is where RAM disks are: on a system of OSTree that runs they are not
// in /boot itself, but in a directory that the kernel's command line names.
// Another directory than the default is the user's choice and stays.
func (s *runtimeScriptCall) ostree(dir string) string {
	if dir != runtimeScriptDisks {
		return dir
	}
	if info, err := os.Stat("/ostree"); err != nil || !info.IsDir() {
		return dir
	}
	line, err := os.ReadFile("/proc/cmdline")
	if err != nil {
		return dir
	}
	found := ostreeBoot(string(line))
	if found == "" {
		return dir
	}
	s.announce("RAM disks are looked for in %s instead of %s, since this is a system of OSTree", found, dir)
	return found
}

// ostreeBoot finds the directory of the deployment that was booted, by the first
// two steps of the path in ostree=/ostree/boot.1/fedora/... of the command line
// as the script does; "" if there is none.
func ostreeBoot(cmdline string) string {
	_, rest, found := strings.Cut(cmdline, "/ostree/")
	if !found {
		return ""
	}
	name := strings.FieldsFunc(rest, func(r rune) bool { return r == '/' || r == ' ' || r == '\n' })
	if len(name) == 0 || name[0] == ".." || name[0] == "." {
		return ""
	}
	return "/boot/ostree/" + name[0] + "/"
}

// target is the file to write: the one that is named, or, for a name without a
// directory, the file where the script puts it and other scripts look for it.
// That place can be foretold by every user of the machine, so it is used only
// if it belongs to us and nobody else may write there.
func (s *runtimeScriptCall) target() (string, error) {
	if strings.ContainsAny(s.output, `/\`) {
		return s.output, nil
	}
	if s.output == "." || s.output == ".." {
		return "", fmt.Errorf("-o %s is a directory", s.output)
	}
	for _, dir := range []string{filepath.Dir(s.dir), s.dir} {
		if err := privateDir(dir); err != nil {
			return "", fmt.Errorf("%w: not safe to write to. Name a file with a directory: -o ./%s", err, s.output)
		}
	}
	return filepath.Join(s.dir, s.output), nil
}

// privateDir makes a directory that we alone may write to, and everybody may
// read, or says why the one that is there is none.
func privateDir(dir string) error {
	if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	info, err := os.Lstat(dir)
	switch {
	case err != nil:
		return err
	case !info.IsDir():
		return fmt.Errorf("%s is no directory", dir)
	case !ours(info):
		return fmt.Errorf("%s belongs to another user", dir)
	case info.Mode().Perm()&0o022 != 0:
		return fmt.Errorf("%s may be written to by other users", dir)
	}
	return nil
}
