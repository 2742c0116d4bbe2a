package cli

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// scriptCall makes a call of create_runtime_policy.sh that puts results into dir.
func scriptCall(dir string) (*runtimeScriptCall, *bytes.Buffer) {
	var out bytes.Buffer
	s := newRuntimeScript(newApp([]string{"/usr/share/keylime/scripts/" + runtimeScript}, nil, Streams{In: strings.NewReader(""), Out: &out, Err: &out}))
	s.dir = dir
	return s, &out
}

func TestRuntimeScriptOptions(t *testing.T) {
	t.Parallel()
	type values struct{ Output, Algo, Disks, Aggregate, Rootfs, Excludes, Skip string }
	for _, c := range []struct {
		name, args string
		want       values
		code       int
		ended      bool
		says       string
	}{
		{"defaults", "-o p", values{"p", "sha1sum", "/boot/", kernelList, "/", "none", "none"}, 0, false, ""},
		{"short", "-o p -a sha256sum -x d -y l -z r -e e -s s", values{"p", "sha256sum", "d", "l", "r", "e", "s"}, 0, false, ""},
		{"joined", "-o=p -a=sha512sum -x=d -y=l -z=r -e=e -s=/a,/b", values{"p", "sha512sum", "d", "l", "r", "e", "/a,/b"}, 0, false, ""},
		{"long", "--output_file p --algo sha256sum --ramdisk-location none --boot_aggregate-location none --rootfs-location r --exclude_list e --skip-path s",
			values{"p", "sha256sum", "none", "none", "r", "e", "s"}, 0, false, ""},
		{"long and joined", "--output_file=a=b --algo=sha256sum", values{"a=b", "sha256sum", "/boot/", kernelList, "/", "none", "none"}, 0, false, ""},
		{"unknown ones", "-o p --frob x -q", values{"p", "sha1sum", "/boot/", kernelList, "/", "none", "none"}, 0, false, `"--frob" is none of the options`},
		{"the last counts", "-o a -o b", values{"b", "sha1sum", "/boot/", kernelList, "/", "none", "none"}, 0, false, ""},
		{"no output", "-a sha1sum", values{}, 1, true, "Usage: " + runtimeScript},
		{"nothing", "", values{}, 1, true, "Usage: "},
		{"help", "-o p -h -a md5sum", values{}, 0, true, "Usage: "},
		{"long help", "--help", values{}, 0, true, "--skip-path"},
		{"hash", "-o p -a md5sum", values{}, 1, true, "Invalid hash function argument"},
		{"value missing", "-a sha256sum -o", values{}, 1, true, "option -o lacks its value"},
	} {
		s, out := scriptCall("/d")
		code, ended := s.parse(strings.Fields(c.args))
		if code != c.code || ended != c.ended || !strings.Contains(out.String(), c.says) {
			t.Errorf("%s: %d %v\n%s", c.name, code, ended, out)
		}
		if got := (values{s.output, s.algo, s.disks, s.aggregate, s.rootfs, s.excludes, s.skip}); !ended && got != c.want {
			t.Errorf("%s: got %v, want %v", c.name, got, c.want)
		}
	}
}

func TestRuntimeScriptRequest(t *testing.T) {
	t.Parallel()
	list := "../../../testdata/evidence/sb-on/ima_ascii.txt"
	dir := t.TempDir()
	excludes := filepath.Join(dir, "excludes")
	if err := os.WriteFile(excludes, []byte("/tmp/.*\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	wrong := filepath.Join(dir, "wrong")
	if err := os.WriteFile(wrong, []byte("10 "+strings.Repeat("1", 40)+" ima-ng sha256:"+strings.Repeat("a", 64)+" /init\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	md5 := filepath.Join(dir, "md5")
	if err := os.WriteFile(md5, []byte("10 "+strings.Repeat("1", 40)+" ima "+strings.Repeat("a", 32)+" boot_aggregate\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, args string
		code       int
		says       string
		prefix     string
		skip       []string
		excludes   string
	}{
		{"the root", "-a sha256sum -y none -z /", 0, "", "", nil, ""},
		{"a tree", "-a sha256sum -y none -z " + dir + " -s home,/opt," + dir + "/x", 0, "paths in the policy begin with " + dir, dir, []string{dir + "/home", "/opt", dir + "/x"}, ""},
		{"SHA-1", "-y none", 0, "SHA-1", "", nil, ""},
		{"excludes", "-a sha256sum -y none -e " + excludes, 0, "", "", nil, "/tmp/.*\n"},
		{"no such excludes", "-a sha256sum -y none -e " + dir + "/nowhere", 0, "no exclude list", "", nil, ""},
		{"excludes unreadable", "-a sha256sum -y none -e " + dir, 1, "exclude list", "", nil, ""},
		{"no directory of RAM disks", "-a sha256sum -y none -x " + dir + "/nowhere", 0, "no directory " + dir + "/nowhere", "", nil, ""},
		{"aggregate", "-a sha256sum -y " + list, 0, "", "", nil, ""},
		{"aggregate of another hash", "-y " + list, 1, "Use option -a sha256sum", "", nil, ""},
		{"aggregate of no hash that is known", "-y " + md5, 1, "Use option -y none to leave it out", "", nil, ""},
		{"list without aggregate", "-a sha256sum -y " + wrong, 1, "not boot_aggregate", "", nil, ""},
		{"no list", "-y " + dir + "/nowhere", 1, "Use option -y none", "", nil, ""},
		{"empty list", "-y /dev/null", 1, "empty", "", nil, ""},
	} {
		s, out := scriptCall(dir)
		if code, ended := s.parse(strings.Fields("-o p " + c.args)); ended {
			t.Fatal(c.name, code)
		}
		r, code := s.request()
		if code != c.code || !strings.Contains(out.String(), c.says) || c.says == "" && out.Len() > 0 {
			t.Errorf("%s: %d\n%s", c.name, code, out)
		}
		if c.code != 0 {
			continue
		}
		if diff := cmp.Diff([]any{c.prefix, c.skip, c.excludes}, []any{r.Prefix, r.SkipPaths, string(r.Excludes)}); diff != "" || !r.Links || !r.AllFileSystems || r.AnyOwner {
			t.Errorf("%s: %s", c.name, diff)
		}
		for name, want := range map[string]bool{"usr": true, "home": true, "swap.img": true, "mytmp": true, "runner": true, "tmp_x": true,
			".autorelabel": false, "tmp": false, "my-tmp": false, "run.sh": false, "lost+found": false, "var": false, "proc": false} {
			if r.Top(name) != want {
				t.Errorf("%s is looked at: %v", name, !want)
			}
		}
	}
}

// TestRuntimeScriptTarget: names without a directory go where the script puts
// them, if nobody else may write there.
func TestRuntimeScriptTarget(t *testing.T) {
	t.Parallel()
	if os.PathSeparator != '/' {
		t.Log("owners and modes are those of Unix")
		return
	}
	mkdir := func(path string, mode os.FileMode) {
		if err := os.MkdirAll(path, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name, output string
		prepare      func(top string)
		want         string // within top
		refused      string
	}{
		{"a path", "./p.json", nil, "./p.json", ""},
		{"absolute", "/a/p.json", nil, "/a/p.json", ""},
		{"a name", "p.json", nil, "kcrp/output/p.json", ""},
		{"made before", "p.json", func(top string) { mkdir(top+"/kcrp/output", 0o755) }, "kcrp/output/p.json", ""},
		{"writable by others", "p.json", func(top string) { mkdir(top+"/kcrp", 0o777) }, "", "written to by other users"},
		{"the inner one", "p.json", func(top string) { mkdir(top+"/kcrp/output", 0o1777) }, "", "written to by other users"},
		{"a link", "p.json", func(top string) { mkdir(top+"/else", 0o755); must(t, os.Symlink(top+"/else", top+"/kcrp")) }, "", "no directory"},
		{"a file", "p.json", func(top string) { must(t, os.WriteFile(top+"/kcrp", nil, 0o600)) }, "", "no directory"},
		{"dots", "..", nil, "", "is a directory"},
	} {
		top := t.TempDir()
		if c.prepare != nil {
			c.prepare(top)
		}
		s, _ := scriptCall(top + "/kcrp/output")
		s.output = c.output
		got, err := s.target()
		want := c.want
		if strings.HasPrefix(want, "kcrp") {
			want = top + "/" + want
		}
		if got != want || (err != nil) != (c.refused != "") || err != nil && !strings.Contains(err.Error(), c.refused) {
			t.Errorf("%s: %q, %v; want %q", c.name, got, err, want)
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestOstreeBoot(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{
		"BOOT_IMAGE=(hd0,gpt3)/ostree/fedora-coreos-0c1f/vmlinuz-6.1 rw ostree=/ostree/boot.1/fedora-coreos/0c1f/0\n": "/boot/ostree/fedora-coreos-0c1f/",
		"ostree=/ostree/boot.1/x/0": "/boot/ostree/boot.1/",
		"root=/dev/sda1":            "",
		"x /ostree/ ro":             "/boot/ostree/ro/",
		"x /ostree/":                "",
		"x /ostree/../../etc":       "",
	} {
		if got := ostreeBoot(line); got != want {
			t.Errorf("%q: %q, want %q", line, got, want)
		}
	}
}

// TestRuntimeScriptWhole: a whole call, and one that is broken off.
func TestRuntimeScriptWhole(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	call := func(ctx context.Context, args ...string) (int, string) {
		var out bytes.Buffer
		a := newApp(append([]string{runtimeScriptBare}, args...), nil, Streams{In: strings.NewReader(""), Out: &out, Err: &out})
		return a.run(ctx), out.String()
	}
	policy := filepath.Join(dir, "p.json")
	code, out := call(t.Context(), "-o", policy, "-a", "sha256sum", "-x", "none", "-y", "../../../testdata/evidence/sb-on/ima_ascii.txt", "-z", dir)
	if text, err := os.ReadFile(policy); code != 0 || err != nil || !strings.Contains(string(text), `"boot_aggregate": ["3dc37432`) || !strings.Contains(out, "present at "+policy) {
		t.Errorf("%d %v %s\n%s", code, err, text, out)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errInterrupted)
	gone := filepath.Join(dir, "gone.json")
	code, out = call(ctx, "-o", gone, "-x", "none", "-y", "none", "-z", dir)
	if _, err := os.Stat(gone); code != 1 || err == nil || !strings.Contains(out, "interrupted: nothing written") {
		t.Errorf("%d %v\n%s", code, err, out)
	}
	disks := filepath.Join(dir, "disks")
	must(t, os.Mkdir(disks, 0o755))
	must(t, os.WriteFile(filepath.Join(disks, "initrd.img"), []byte("no disk"), 0o600))
	code, out = call(t.Context(), "-o", gone, "-x", disks, "-y", "none", "-z", dir)
	if _, err := os.Stat(gone); code != 1 || err == nil || !strings.Contains(out, "initrd.img") || !strings.Contains(out, "Use option -x none") {
		t.Errorf("%d %v\n%s", code, err, out)
	}
	code, out = call(t.Context(), "-o", filepath.Join(dir, "no/such/p.json"), "-x", "none", "-y", "none", "-z", dir)
	if code != 1 || !strings.Contains(out, "no such") {
		t.Errorf("%d\n%s", code, out)
	}
}

// TestAllowlistScript: create_allowlist.sh, whose -h is no help.
func TestAllowlistScript(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	call := func(args ...string) (int, string) {
		var out bytes.Buffer
		a := newApp(append([]string{allowlistScript}, args...), nil, Streams{In: strings.NewReader(""), Out: &out, Err: &out})
		return a.run(t.Context()), out.String()
	}
	for _, c := range []struct {
		args string
		code int
		says string
	}{
		{"", 1, "No arguments provided"},
		{"-h sha256sum", 1, "Missing argument for -o"},
		{"-o p -h md5sum", 1, "Invalid hash function argument"},
		{"-h", 0, "Usage: create_allowlist.sh -o FILE"},
		{"--help", 0, "policy create runtime"},
	} {
		if code, out := call(strings.Fields(c.args)...); code != c.code || !strings.Contains(out, c.says) {
			t.Errorf("%q: %d\n%s", c.args, code, out)
		}
	}
	s := &runtimeScriptCall{app: newApp([]string{allowlistScript}, nil, Streams{Out: io.Discard, Err: io.Discard}), algo: "sha1sum", hashOption: "-h"}
	if _, ended := s.parseAllowlist([]string{"-ofile", "-hsha512sum", "-x"}); ended || s.algo != "sha512sum" || filepath.Base(s.output) != "file" || !filepath.IsAbs(s.output) {
		t.Errorf("%+v", s)
	}
	// What it writes of a tree, boot_aggregate first.
	must(t, os.MkdirAll(filepath.Join(dir, "tree/var"), 0o755))
	for _, name := range []string{"tree/var/f", "tree/mntx", "tree/proc"} {
		must(t, os.WriteFile(filepath.Join(dir, name), []byte("x"), 0o644))
	}
	s = newAllowlistScript(newApp([]string{allowlistScript}, nil, Streams{Out: io.Discard, Err: io.Discard}))
	s.rootfs, s.disks, s.aggregate = filepath.Join(dir, "tree"), nothingWord, "../../../testdata/evidence/sb-on/ima_ascii.txt"
	list := filepath.Join(dir, "allowlist.txt")
	if code := s.makeAllowlist(t.Context(), []string{"-o", list, "-h", "sha256sum"}); code != 0 {
		t.Fatal(code)
	}
	text, err := os.ReadFile(list)
	lines := strings.Split(string(text), "\n")
	if err != nil || !strings.HasSuffix(lines[0], "  boot_aggregate") || os.Geteuid() == 0 && (len(lines) != 3 || !strings.HasSuffix(lines[1], "tree/var/f")) {
		t.Errorf("%v\n%s", err, text)
	}
}
