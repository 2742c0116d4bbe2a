package source

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keylime/keylime-tenant/policy/runtime"
	"github.com/keylime/keylime-tenant/policy/runtime/ima"
)

const (
	fixtures = "../../../testdata/golden/fixtures/"
	evidence = "../../../testdata/evidence/"
)

var now = time.Date(2026, 11, 25, 1, 2, 3, 0, time.UTC)

func read(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func write(t testing.TB, path string, data []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// create makes a policy and returns it with the warnings.
func create(t testing.TB, r Request) (*runtime.Policy, string) {
	t.Helper()
	var warnings []string
	r.Now = now
	r.Warn = func(text string) { warnings = append(warnings, text) }
	p, err := Create(context.Background(), r)
	if err != nil {
		t.Fatal(err)
	}
	return p, strings.Join(warnings, "\n")
}

// digestsOf shows a map as "path digest digest" lines in order.
func digestsOf(m *runtime.DigestMap) []string {
	var lines []string
	for path, digests := range m.All() {
		lines = append(lines, path+" "+strings.Join(digests, " "))
	}
	return lines
}

func sha(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

func TestCreateNothing(t *testing.T) {
	t.Parallel()
	p, warnings := create(t, Request{})
	want := `{"meta": {"version": 1, "generator": 3, "timestamp": "2026-11-25 01:02:03.000000"}, "release": 0, "digests": {}, "excludes": [], "keyrings": {}, ` +
		`"ima": {"ignored_keyrings": [], "log_hash_alg": "sha1", "dm_policy": null}, "ima-buf": {}, "verification-keys": ""}`
	if got := string(p.Marshal()); got != want || warnings != "" {
		t.Errorf("%s\n%s", got, warnings)
	}
}

// TestCreateFromList: the policy that Keylime made of the recorded list is
// the one made here.
func TestCreateFromList(t *testing.T) {
	t.Parallel()
	for _, list := range []string{"ima_ascii.txt", "ima_binary.bin"} {
		p, warnings := create(t, Request{ListPath: evidence + "sb-on/" + list})
		theirs, err := runtime.ParsePolicy(read(t, fixtures+"rp-good.json"))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(digestsOf(&theirs.Digests), digestsOf(&p.Digests)); diff != "" || warnings != "" {
			t.Errorf("%s: %s\n%s", list, warnings, diff)
		}
	}
}

func TestListEntries(t *testing.T) {
	t.Parallel()
	cert := read(t, fixtures+"../../vectors/cacert.crt")
	key, _, err := ima.ParseKey(cert)
	if key == nil || err != nil {
		t.Fatal(err)
	}
	a, b, zero := strings.Repeat("a", 64), strings.Repeat("b", 64), strings.Repeat("0", 40)
	hash := strings.Repeat("1", 40)
	text := "10 " + hash + " ima-ng sha256:" + a + " boot_aggregate\n" +
		"10 " + hash + " ima-sig sha256:" + b + " /x \n10 " + hash + " ima-sig sha256:" + a + " /x\n" +
		"10 " + zero + " ima-ng sha256:" + a + " /violation\n" +
		"10 " + hash + " ima-ngv2 ima:sha256:" + a + " /v2\n" +
		"10 " + hash + " ima-ng sha256:" + a + " /with blank\n" +
		"10 " + hash + " ima-ng sha256:" + a + " /\xff\n" +
		"10 " + hash + " ima-buf sha256:" + a + " .ima " + hex.EncodeToString(cert) + "\n" +
		"10 " + hash + " ima-buf sha256:" + b + " .evm " + hex.EncodeToString(cert) + "\n" +
		"10 " + hash + " ima-buf sha256:" + b + " kernel_version 36\n"
	path := filepath.Join(t.TempDir(), "list")
	write(t, path, []byte(text))
	files := []string{"boot_aggregate " + a, "/x " + a + " " + b, "/with_blank " + a}
	for _, c := range []struct {
		name     string
		r        Request
		keyrings []string
		buffers  []string
	}{
		{"digests alone", Request{}, nil, nil},
		{"keyrings", Request{Keyrings: true, IgnoredKeyrings: []string{".evm"}}, []string{".ima " + a}, nil},
		{"all keyrings ignored", Request{Keyrings: true, IgnoredKeyrings: []string{"*"}}, nil, nil},
		{"buffers", Request{Buffers: true}, nil, []string{"kernel_version " + b}},
		{"both", Request{Keyrings: true, Buffers: true}, []string{".ima " + a, ".evm " + b}, []string{"kernel_version " + b}},
	} {
		c.r.ListPath = path
		p, warnings := create(t, c.r)
		if diff := cmp.Diff([][]string{files, c.keyrings, c.buffers}, [][]string{digestsOf(&p.Digests), digestsOf(&p.Keyrings), digestsOf(&p.IMABuf)}); diff != "" {
			t.Errorf("%s: %s", c.name, diff)
		}
		for _, want := range []string{"1 violations", "1 entries that Keylime cannot evaluate", "1 files whose names are not UTF-8"} {
			if !strings.Contains(warnings, want) {
				t.Errorf("%s: no %q in %s", c.name, want, warnings)
			}
		}
	}
}

func TestCreateMerges(t *testing.T) {
	t.Parallel()
	base := runtime.Empty()
	base.Digests.Set("/x", []string{sha("b"), sha("a")})
	base.Excludes = []string{"/z", "/a"}
	base.IMA.IgnoredKeyrings = []string{"q"}
	base.IMA.LogHashAlg = "sha256"
	p, warnings := create(t, Request{
		Base: base.Marshal(), Allowlist: []byte("# c\n" + sha("c") + " /x\n" + sha("d") + "  /my file\n" + sha("k") + " %keyring:.ima\n"),
		Excludes: []byte("/m\n/a\n"), IgnoredKeyrings: []string{"p", "q"}, VerificationKeys: []string{fixtures + "ec.pub", fixtures + "rsa.pub"},
	})
	x := []string{sha("a"), sha("b"), sha("c")}
	slices.Sort(x)
	if diff := cmp.Diff([]string{"/x " + strings.Join(x, " "), "/my_file " + sha("d")}, digestsOf(&p.Digests)); diff != "" {
		t.Error(diff)
	}
	if strings.Join(p.Excludes, " ") != "/a /m /z" || strings.Join(p.IMA.IgnoredKeyrings, " ") != "p q" || p.IMA.LogHashAlg != "sha256" || !p.Keyrings.Has(".ima") || len(p.Summarize().Keys) != 2 {
		t.Errorf("%s", p.Marshal())
	}
	if !strings.Contains(warnings, "comments") {
		t.Error(warnings)
	}
}

func TestCreateRefuses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "nokey"), []byte("x"))
	write(t, filepath.Join(dir, "boot/initrd"), []byte("neither"))
	write(t, filepath.Join(dir, "cut.bin"), read(t, evidence+"sb-on/ima_binary.bin")[:100])
	write(t, filepath.Join(dir, "bad.rpm"), []byte("x"))
	var input *InputError
	var algorithm *AlgorithmError
	var exclude *runtime.ExcludeError
	for _, c := range []struct {
		name   string
		r      Request
		target any
		want   string
	}{
		{"base", Request{Base: []byte("{")}, &input, "base policy"},
		{"base schema", Request{Base: []byte(`{"digests": 3}`)}, &input, "3 is not of type 'object'"},
		{"allowlist", Request{Allowlist: []byte("zz /x")}, &input, "line 1"},
		{"excludes", Request{Excludes: []byte("(")}, &exclude, "unterminated"},
		{"list absent", Request{ListPath: dir + "/absent"}, &input, "no such file"},
		{"list cut", Request{ListPath: dir + "/cut.bin"}, &input, "unexpected EOF"},
		{"key", Request{VerificationKeys: []string{dir + "/nokey"}}, &input, "neither a certificate nor a key"},
		{"key absent", Request{VerificationKeys: []string{dir + "/absent"}}, &input, "no such file"},
		{"algorithm", Request{Algorithm: "md5"}, &algorithm, "--algo option"},
		{"algorithm of the base", Request{Algorithm: "sha1", Base: read(t, fixtures+"rp-good.json"), Rootfs: dir}, &algorithm, `base policy does not match the previously set "sha1"`},
		{"algorithm of the list", Request{Allowlist: []byte(strings.Repeat("a", 40) + " /x"), ListPath: evidence + "sb-on/ima_ascii.txt"}, &algorithm, "IMA measurement list"},
		{"digest of no algorithm", Request{Allowlist: []byte(strings.Repeat("a", 41) + " /x")}, &algorithm, "allowlist"},
		{"tree absent", Request{Rootfs: dir + "/absent"}, &input, "rootfs"},
		{"tree a file", Request{Rootfs: dir + "/nokey"}, &input, "not a directory"},
		{"RAM disk", Request{RamdiskDir: dir + "/boot"}, &input, "neither an archive nor compressed"},
		{"RAM disks absent", Request{RamdiskDir: dir + "/absent"}, &input, "no such file"},
		{"package", Request{RPMs: []string{dir + "/bad.rpm"}}, &input, "unexpected EOF"},
		{"package absent", Request{RPMs: []string{dir + "/absent.rpm"}}, &input, "no such file"},
		{"packages absent", Request{RPMDir: dir + "/absent"}, &input, "no such file"},
		{"no packages", Request{RPMDir: dir + "/boot"}, &input, "no file named *.rpm"},
		{"no client", Request{RPMURL: "http://127.0.0.1/"}, &input, "not allowed"},
	} {
		p, err := Create(context.Background(), c.r)
		if p != nil || !errors.As(err, c.target) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestAlgorithmAgreement(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		sources []fit
		want    string
	}{
		{"nothing", nil, "sha256"},
		{"64 digits", []fit{{names: []string{"sha256", "sm3_256"}}}, "sha256"},
		{"option and 64 digits", []fit{{names: []string{"sm3_256"}}, {names: []string{"sha256", "sm3_256"}}}, "sm3_256"},
		{"64 digits and list", []fit{{names: []string{"sha256", "sm3_256"}}, {names: []string{"sm3_256"}}}, "sm3_256"},
		{"says nothing", []fit{{names: []string{"sha384"}}, {}}, "sha384"},
	} {
		if got, err := chooseAlgorithm(c.sources); err != nil || got != c.want {
			t.Errorf("%s: %s, %v", c.name, got, err)
		}
	}
}

// tree makes a small file tree and returns its root.
func tree(t testing.TB) string {
	t.Helper()
	root := t.TempDir()
	for _, path := range []string{"usr/bin/a", "usr/bin/b c", "etc/conf", "var/x", "tmp/y", "sys/z", "home/user/h", "usr/tmp/deep", "proc/1/maps"} {
		write(t, filepath.Join(root, path), []byte(path))
	}
	if err := os.Symlink("a", filepath.Join(root, "usr/bin/link")); err != nil {
		t.Fatal(err)
	}
	return root
}

func TestTree(t *testing.T) {
	t.Parallel()
	root := tree(t)
	var calls atomic.Int64
	var last Progress
	p, err := Create(context.Background(), Request{Rootfs: root + "/./", AnyOwner: true, SkipPaths: []string{filepath.Join(root, "home"), "/elsewhere", ""}, Workers: 3, Now: now,
		Progress: func(at Progress) { calls.Add(1); last = at }})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"/etc/conf " + sha("etc/conf"), "/usr/bin/a " + sha("usr/bin/a"), "/usr/bin/b_c " + sha("usr/bin/b c"), "/usr/tmp/deep " + sha("usr/tmp/deep")}
	if diff := cmp.Diff(want, digestsOf(&p.Digests)); diff != "" {
		t.Error(diff)
	}
	if last.Source != "tree" || last.Files != 4 || last.Total != 4 || last.Bytes == 0 || last.Searching || calls.Load() < 4 {
		t.Errorf("%+v after %d calls", last, calls.Load())
	}
	if p, warnings := create(t, Request{Rootfs: root, AnyOwner: true, SkipPaths: []string{filepath.Dir(root)}}); p.Digests.Len() != 0 || !strings.Contains(warnings, "no file of it is hashed") {
		t.Errorf("%d %s", p.Digests.Len(), warnings)
	}
	for _, algorithm := range Algorithms() {
		p, _ := create(t, Request{Rootfs: root, AnyOwner: true, Algorithm: algorithm})
		h := newHash(algorithm)
		h.Write([]byte("etc/conf"))
		if got := p.Digests.Get("/etc/conf"); len(got) != 1 || got[0] != hex.EncodeToString(h.Sum(nil)) {
			t.Errorf("%s: %q", algorithm, got)
		}
	}
	canceled, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Create(canceled, Request{Rootfs: root, AnyOwner: true}); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

// TestTreeOwners needs root to give a file away; without it, no file is root's.
func TestTreeOwners(t *testing.T) {
	t.Parallel()
	root := tree(t)
	p, _ := create(t, Request{Rootfs: root})
	if os.Geteuid() != 0 {
		if p.Digests.Len() != 0 {
			t.Errorf("%d files, and none is root's", p.Digests.Len())
		}
		return
	}
	if p.Digests.Len() != 5 {
		t.Errorf("%q", digestsOf(&p.Digests))
	}
	if err := os.Chown(filepath.Join(root, "etc/conf"), 1, 1); err != nil {
		t.Fatal(err)
	}
	if p, _ = create(t, Request{Rootfs: root}); p.Digests.Has("/etc/conf") || p.Digests.Len() != 4 {
		t.Errorf("%q", digestsOf(&p.Digests))
	}
}

func TestTreeLeavesOut(t *testing.T) {
	t.Parallel()
	root := tree(t)
	write(t, filepath.Join(root, "bad\xff"), nil)
	p, warnings := create(t, Request{Rootfs: root, AnyOwner: true})
	if !strings.Contains(warnings, "not UTF-8") || p.Digests.Len() != 5 {
		t.Errorf("%d files, %s", p.Digests.Len(), warnings)
	}
	if os.Geteuid() == 0 {
		return // root can read everything
	}
	if err := errors.Join(os.Chmod(filepath.Join(root, "etc/conf"), 0), os.Chmod(filepath.Join(root, "home"), 0)); err != nil {
		t.Fatal(err)
	}
	defer os.Chmod(filepath.Join(root, "home"), 0o700)
	if _, warnings = create(t, Request{Rootfs: root, AnyOwner: true}); !strings.Contains(warnings, "conf is left out: permission denied") || !strings.Contains(warnings, "home is left out") {
		t.Error(warnings)
	}
}

func TestSM3(t *testing.T) {
	t.Parallel()
	// Vectors of GB/T 32905-2016, appendix A; the third is the empty text.
	for text, want := range map[string]string{
		"abc":                      "66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0",
		strings.Repeat("abcd", 16): "debe9ff92275b8a138604889c18e5a4d6fdb70e5387e5765293dcba39c0c5732",
		"":                         "1ab21d8355cfa17f8e61194831e81a8f22bec8c728fefb747ed035eb5082aa2b",
	} {
		h := newSM3()
		for i := range text { // in steps of one byte
			_, _ = h.Write([]byte{text[i]})
		}
		if got := hex.EncodeToString(h.Sum(nil)); got != want {
			t.Errorf("%.10q: %s", text, got)
		}
		h.Reset()
		_, _ = h.Write([]byte(text))
		if got := hex.EncodeToString(h.Sum([]byte{1})); got != "01"+want || h.Size() != 32 || h.BlockSize() != 64 {
			t.Errorf("%.10q: %s", text, got)
		}
	}
	whole, parts := newSM3(), newSM3()
	data := bytes.Repeat([]byte("0123456789"), 100)
	_, _ = whole.Write(data)
	for _, n := range []int{1, 63, 64, 65, 300, 507} {
		_, _ = parts.Write(data[:n])
		data = data[n:]
	}
	if len(data) != 0 || !bytes.Equal(whole.Sum(nil), parts.Sum(nil)) {
		t.Error("the digest depends on the steps")
	}
}

// BenchmarkTree hashes a tree of 2,000 files; bench.sh compares the whole
// program with sha256sum on the same kind of tree.
func BenchmarkTree(b *testing.B) {
	root := b.TempDir()
	var size int64
	for i := range 2000 {
		data := bytes.Repeat([]byte{byte(i)}, (i%50+1)*4096)
		size += int64(len(data))
		write(b, filepath.Join(root, fmt.Sprintf("usr/%d/%d", i%40, i)), data)
	}
	b.SetBytes(size)
	for b.Loop() {
		if _, err := Create(context.Background(), Request{Rootfs: root, AnyOwner: true, Now: now}); err != nil {
			b.Fatal(err)
		}
	}
}

func TestErrors(t *testing.T) {
	t.Parallel()
	if e := (&InputError{Source: "x", Path: "/p", Err: fs.ErrNotExist}); !errors.Is(e, fs.ErrNotExist) || !strings.Contains(e.Error(), "x /p: ") {
		t.Error(e)
	}
}
