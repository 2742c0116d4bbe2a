package source

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestTreeChoices: what create_runtime_policy.sh takes of a tree otherwise than
// keylime-policy.
func TestTreeChoices(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	for _, name := range []string{"usr/a", "usr/tmp/b", "tmp/c", "top", "opt/x/d", "opt/x-y/e"} {
		write(t, filepath.Join(root, name), []byte(name))
	}
	for link, target := range map[string]string{"usr/link": "a", "usr/broken": "/nowhere", "usr/dir": "tmp", "bin": "usr", "usr/to": "link"} {
		if err := os.Symlink(target, filepath.Join(root, link)); err != nil {
			t.Fatal(err)
		}
	}
	skip := []string{filepath.Join(root, "opt"), filepath.Join(root, "tmp")}
	for _, c := range []struct {
		name string
		r    Request
		want []string
	}{
		{"as keylime-policy", Request{SkipPaths: skip}, []string{"/top top", "/usr/a usr/a", "/usr/tmp/b usr/tmp/b"}},
		{"links", Request{SkipPaths: skip, Links: true}, []string{"/top top", "/usr/a usr/a", "/usr/link usr/a", "/usr/tmp/b usr/tmp/b", "/usr/to usr/a"}},
		{"prefix", Request{SkipPaths: skip, Prefix: "/image"}, []string{"/image/top top", "/image/usr/a usr/a", "/image/usr/tmp/b usr/tmp/b"}},
		{"own choice at the top", Request{Top: func(name string) bool { return name == "tmp" || name == "opt" }}, []string{"/opt/x-y/e opt/x-y/e", "/opt/x/d opt/x/d", "/tmp/c tmp/c"}},
		{"directory and file to skip", Request{SkipPaths: []string{filepath.Join(root, "opt/x"), filepath.Join(root, "top"), filepath.Join(root, "usr")}}, []string{"/opt/x-y/e opt/x-y/e"}},
		{"all file systems", Request{SkipPaths: skip, AllFileSystems: true}, []string{"/top top", "/usr/a usr/a", "/usr/tmp/b usr/tmp/b"}},
	} {
		c.r.Rootfs, c.r.AnyOwner = root, true
		p, warnings := create(t, c.r)
		var want []string
		for _, line := range c.want {
			path, content, _ := strings.Cut(line, " ")
			want = append(want, path+" "+sha(content))
		}
		if diff := cmp.Diff(want, digestsOf(&p.Digests)); diff != "" || warnings != "" {
			t.Errorf("%s: %s\n%s", c.name, warnings, diff)
		}
	}
	if os.Geteuid() != 0 {
		return
	}
	if err := os.Lchown(filepath.Join(root, "usr/link"), 1, 1); err != nil {
		t.Fatal(err)
	}
	p, _ := create(t, Request{Rootfs: root, Links: true})
	if p.Digests.Has("/usr/link") || !p.Digests.Has("/usr/to") {
		t.Errorf("the owner of the link counts: %q", digestsOf(&p.Digests))
	}
}

func TestBootAggregate(t *testing.T) {
	t.Parallel()
	hash := strings.Repeat("1", 40)
	line := func(digest, name string) string { return "10 " + hash + " ima-ng " + digest + " " + name + "\n" }
	a, b := strings.Repeat("a", 64), strings.Repeat("b", 40)
	for _, c := range []struct{ name, list, digest, algorithms, refused string }{
		{"sha256", line("sha256:"+a, "boot_aggregate") + line("sha256:"+a, "/init"), a, "sha256", ""},
		{"template ima", "10 " + hash + " ima " + b + " boot_aggregate\n", b, "sha1", ""},
		{"sha1", line("sha1:"+b, "boot_aggregate"), b, "sha1", ""},
		{"unknown hash", line("md5:"+strings.Repeat("c", 32), "boot_aggregate"), strings.Repeat("c", 32), "", ""},
		{"something else first", line("sha256:"+a, "/init") + line("sha256:"+a, "boot_aggregate"), "", "", "not boot_aggregate"},
		{"a buffer of that name", "10 " + hash + " ima-buf sha256:" + a + " boot_aggregate 00\n", "", "", "not boot_aggregate"},
		{"no list", "hello world\n", "", "", "IMA measurement list"},
		{"empty", "", "", "", "empty"},
	} {
		path := filepath.Join(t.TempDir(), "list")
		write(t, path, []byte(c.list))
		digest, algorithms, err := BootAggregate(path)
		if digest != c.digest || strings.Join(algorithms, " ") != c.algorithms || (err != nil) != (c.refused != "") || err != nil && !strings.Contains(err.Error(), c.refused) {
			t.Errorf("%s: %q %q %v", c.name, digest, algorithms, err)
		}
		var input *InputError
		if err != nil && (!errors.As(err, &input) || input.Path != path) {
			t.Errorf("%s: %#v", c.name, err)
		}
	}
	list := evidence + "sb-on/ima_ascii.txt"
	p, warnings := create(t, Request{AggregatePath: list, Algorithm: "sha256", RamdiskDir: t.TempDir()})
	if got := digestsOf(&p.Digests); len(got) != 1 || !strings.HasPrefix(got[0], "boot_aggregate ") {
		t.Errorf("%q %s", got, warnings)
	}
	var algorithm *AlgorithmError
	if _, err := Create(t.Context(), Request{AggregatePath: list, Algorithm: "sha1"}); !errors.As(err, &algorithm) || algorithm.Source != "boot aggregate" {
		t.Error(err)
	}
	if _, err := Create(t.Context(), Request{AggregatePath: "nowhere"}); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}
