package source

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const (
	initDigest = "a8076d3d28d21e02012b20eaf7dbf75409a6277134439025f282e368e3305abf"
	toolDigest = "67948dd9afd6afe5043b0029d5aa7cf0f8b2824baf16f4f097d40d830edb686d"
	emptySHA   = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
)

// inDisk is what the fixtures of testdata hold.
func inDisk() []string {
	return []string{"/etc/empty " + emptySHA, "/init " + initDigest, "/usr/bin/tool " + toolDigest, "/usr/bin/tool-link " + toolDigest, "/usr/share/with_blank/a_file " + sha("blank\n")}
}

// disk returns the digests of one RAM disk and the warnings.
func diskDigests(t testing.TB, content []byte) ([]string, string) {
	t.Helper()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "initrd.img"), content)
	write(t, filepath.Join(dir, "vmlinuz"), []byte("not looked at"))
	p, warnings := create(t, Request{RamdiskDir: dir})
	return digestsOf(&p.Digests), warnings
}

func TestRamdiskFormats(t *testing.T) {
	t.Parallel()
	early := read(t, "testdata/early.cpio")
	for _, name := range []string{"initrd.cpio", "initrd-crc.cpio", "initrd.cpio.gz", "initrd.cpio.xz", "initrd.cpio.lzma", "initrd.cpio.zst", "initrd.cpio.lz4", "initrd.cpio.lz4f", "initrd.cpio.bz2"} {
		disk := read(t, "testdata/"+name)
		for before, head := range map[string][]byte{"alone": nil, "early archive": early, "two early archives": append(bytes.Clone(early), early...), "zeros": make([]byte, 1024)} {
			got, warnings := diskDigests(t, append(bytes.Clone(head), disk...))
			if diff := cmp.Diff(inDisk(), got); diff != "" || warnings != "" {
				t.Errorf("%s, %s: %s\n%s", name, before, warnings, diff)
			}
		}
	}
}

// member makes one member of an archive in newc format.
func member(name string, mode, links, inode uint32, data string) []byte {
	b := fmt.Appendf(nil, "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x", inode, mode, 0, 0, links, 0, len(data), 0, 0, 0, 0, len(name)+1, 0)
	b = append(append(b, name...), 0)
	b = append(b, make([]byte, padding(int64(len(b))))...)
	b = append(b, data...)
	return append(b, make([]byte, padding(int64(len(data))))...)
}

func archive(members ...[]byte) []byte {
	return append(bytes.Join(members, nil), member("TRAILER!!!", 0, 1, 0, "")...)
}

const regular = modeRegular | 0o755

func TestRamdiskParts(t *testing.T) {
	t.Parallel()
	first := archive(member("a", regular, 1, 1, "one"), member("./b", regular, 1, 2, "two"))
	second := archive(member("/b", regular, 1, 1, "three"), member("c", 0o120777, 1, 2, "b"))
	gz := read(t, "testdata/initrd.cpio.gz")
	for _, c := range []struct {
		name    string
		content []byte
		want    []string
		warning string
	}{
		{"two archives, the later wins", append(bytes.Clone(first), second...), []string{"/a " + sha("one"), "/b " + sha("three")}, ""},
		{"replaced by a link", append(bytes.Clone(first), archive(member("a", 0o120777, 1, 1, "b"))...), []string{"/a " + sha("one"), "/b " + sha("two")}, ""},
		{"early alone", archive(member("kernel/x86/a", regular, 1, 1, "m")), []string{"/kernel/x86/a " + sha("m")}, ""},
		{"kernel directory of a real disk", append(archive(member("kernel/a", regular, 1, 1, "m"), member("init", regular, 1, 2, "i")), second...), []string{"/b " + sha("three"), "/init " + sha("i"), "/kernel/a " + sha("m")}, ""},
		{"gzip and archive", append(bytes.Clone(gz), first...), append([]string{"/a " + sha("one"), "/b " + sha("two")}, inDisk()...), ""},
		{"two gzips", append(bytes.Clone(gz), gz...), inDisk(), ""},
		{"zeros behind", append(bytes.Clone(gz), make([]byte, 700)...), inDisk(), ""},
		{"something behind", append(bytes.Clone(first), "rubbish"...), []string{"/a " + sha("one"), "/b " + sha("two")}, "left out"},
		{"names before data", archive(member("x", regular, 2, 7, ""), member("y", regular, 2, 7, "d")), []string{"/x " + sha("d"), "/y " + sha("d")}, ""},
		{"data before names", archive(member("x", regular, 2, 7, "d"), member("y", regular, 2, 7, "")), []string{"/x " + sha("d"), "/y " + sha("d")}, ""},
		{"empty file of two names", archive(member("x", regular, 2, 7, ""), member("y", regular, 2, 7, "")), []string{"/x " + emptySHA, "/y " + emptySHA}, ""},
		{"path that leaves the disk", archive(member("../../etc/x", regular, 1, 1, "d")), []string{"/etc/x " + sha("d")}, ""},
		{"directories and devices", archive(member("d", 0o40755, 2, 1, ""), member("n", 0o20600, 1, 2, "")), nil, ""},
		{"nothing", archive(), nil, ""},
	} {
		got, warnings := diskDigests(t, c.content)
		if diff := cmp.Diff(c.want, got); diff != "" || (warnings != "") != (c.warning != "") || !strings.Contains(warnings, c.warning) {
			t.Errorf("%s: %s\n%s", c.name, warnings, diff)
		}
	}
}

// TestRamdiskAppended: what is put behind a part is found, in whatever format
// both are, as people do who append their own archive to a vendor's disk.
func TestRamdiskAppended(t *testing.T) {
	t.Parallel()
	first := archive(member("a", regular, 1, 1, "one"), member("./b", regular, 1, 2, "two"))
	appended := append([]string{"/a " + sha("one"), "/b " + sha("two")}, inDisk()...)
	formats := []string{"initrd.cpio", "initrd.cpio.gz", "initrd.cpio.xz", "initrd.cpio.zst", "initrd.cpio.lz4", "initrd.cpio.lz4f"}
	for _, name := range formats {
		disk := read(t, "testdata/"+name)
		for _, zeros := range []int{0, 4, 512, 513 + 3} {
			head := append(bytes.Clone(disk), make([]byte, zeros)...)
			got, warnings := diskDigests(t, append(bytes.Clone(head), first...))
			if diff := cmp.Diff(appended, got); diff != "" || warnings != "" {
				t.Errorf("%s, %d zeros, archive: %s\n%s", name, zeros, warnings, diff)
			}
			for _, other := range formats {
				content := append(append(append(bytes.Clone(first), head...), read(t, "testdata/"+other)...), first...)
				got, warnings := diskDigests(t, content)
				if name == "initrd.cpio.lz4" && zeros == 0 && other == "initrd.cpio.gz" {
					// The magic of gzip is the length of a block too, for the kernel as for us.
					if !strings.Contains(warnings, "left out") {
						t.Errorf("gzip right behind legacy lz4: no warning: %q", got)
					}
					continue
				}
				if diff := cmp.Diff(appended, got); diff != "" || warnings != "" {
					t.Errorf("archive, %s, %d zeros, %s, archive: %s\n%s", name, zeros, other, warnings, diff)
				}
			}
			got, warnings = diskDigests(t, append(bytes.Clone(head), "rubbish"...))
			if diff := cmp.Diff(inDisk(), got); diff != "" || !strings.Contains(warnings, "left out") {
				t.Errorf("%s, %d zeros, rubbish: %s\n%s", name, zeros, warnings, diff)
			}
		}
	}
	for _, name := range []string{"initrd.cpio.lzma", "initrd.cpio.bz2"} {
		got, warnings := diskDigests(t, append(read(t, "testdata/"+name), first...))
		if diff := cmp.Diff(inDisk(), got); diff != "" || !strings.Contains(warnings, "left out") {
			t.Errorf("%s: %s\n%s", name, warnings, diff)
		}
	}
}

// TestFramedCut: a part that is cut anywhere is refused.
func TestFramedCut(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"initrd.cpio.xz", "initrd.cpio.zst", "initrd.cpio.lz4", "initrd.cpio.lz4f"} {
		whole := read(t, "testdata/"+name)
		for n := 8; n < len(whole); n += 7 {
			path := filepath.Join(t.TempDir(), "initrd")
			write(t, path, whole[:n])
			m := &maker{algorithm: "sha256"}
			if files, err := m.ramdisk(t.Context(), path); err == nil && len(files) < len(inDisk()) {
				t.Errorf("%s cut at %d of %d: %d files and no error", name, n, len(whole), len(files))
			}
		}
	}
}

func TestRamdiskNone(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "vmlinuz"), []byte("no disk"))
	if err := os.Mkdir(filepath.Join(dir, "initrd.d"), 0o755); err != nil {
		t.Fatal(err)
	}
	p, warnings := create(t, Request{RamdiskDir: dir})
	if got := digestsOf(&p.Digests); len(got) > 0 || !strings.Contains(warnings, dir+" holds no initial RAM disk") || !strings.Contains(warnings, filepath.Join(dir, "initr*")) {
		t.Errorf("%v\n%s", got, warnings)
	}
}

func TestRamdiskRefuses(t *testing.T) {
	t.Parallel()
	good := archive(member("a", regular, 1, 1, "one"))
	change := func(at int, to byte) []byte {
		b := bytes.Clone(good)
		b[at] = to
		return b
	}
	gz := read(t, "testdata/initrd.cpio.gz")
	for _, c := range []struct {
		name    string
		content []byte
		want    error
	}{
		{"cut header", good[:50], errCPIO},
		{"cut name", good[:111], errCPIO},
		{"cut data", good[:114], io.ErrUnexpectedEOF},
		{"no end", member("a", regular, 1, 1, "one"), errCPIO},
		{"magic of the second", append(member("a", regular, 1, 1, "one"), bytes.Repeat([]byte("x"), 200)...), errCPIO},
		{"not hexadecimal", change(20, 'x'), errCPIO},
		{"name size 0", change(101, '0'), errCPIO},
		{"name size huge", change(94, 'f'), errCPIO},
		{"gzip cut", gz[:100], io.ErrUnexpectedEOF},
		{"gzip without archive", []byte("\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\x03\x00\x00\x00\x00\x00\x00\x00\x00\x00"), io.ErrUnexpectedEOF},
		{"xz cut", read(t, "testdata/initrd.cpio.xz")[:200], nil},
		{"zstd spoiled", append([]byte("\x28\xb5\x2f\xfd"), make([]byte, 50)...), nil},
		{"LZO", []byte("\x89LZO\x00\r\n\x1a\n"), nil},
	} {
		dir := t.TempDir()
		write(t, filepath.Join(dir, "initramfs"), c.content)
		p, err := Create(t.Context(), Request{RamdiskDir: dir})
		var input *InputError
		if p != nil || !errors.As(err, &input) || input.Path != filepath.Join(dir, "initramfs") || c.want != nil && !errors.Is(err, c.want) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// FuzzRamdisk reads any bytes as RAM disk: no panic, no endless loop.
func FuzzRamdisk(f *testing.F) {
	names, err := filepath.Glob("testdata/*cpio*")
	if err != nil || len(names) < 9 {
		f.Fatal(names, err)
	}
	for _, name := range names {
		f.Add(read(f, name))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		name := filepath.Join(t.TempDir(), "initrd")
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
		m := &maker{algorithm: "sha256"}
		files, err := m.ramdisk(t.Context(), name)
		for path, digest := range files {
			if err != nil || !strings.HasPrefix(path, "/") || strings.Contains(path+"/", "/../") || len(digest) != 64 {
				t.Fatalf("%q %s %v", path, digest, err)
			}
		}
	})
}
