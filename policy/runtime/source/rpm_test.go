package source

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	openpgp "github.com/ProtonMail/go-crypto/openpgp/v2"
	"github.com/google/go-cmp/cmp"
)

// inPackage is what `rpm -qp --dump` shows of testdata/kt-test.rpm, without
// what has no digest.
func inPackage() []PackageFile {
	return []PackageFile{
		{Path: "/etc/kt/empty", Digest: emptySHA},
		{Path: "/etc/kt/kt.conf", Digest: "8d0d4c8a1e6ab75ae2f81abf1e1e66ce1ab7be53c7b8f245a41907fc45b3a801"},
		{Path: "/usr/bin/kt", Digest: initDigest},
		{Path: "/usr/share/with blank/a file", Digest: "73cb3858a687a8494ca3323053016282f3dad39d42cf62ca4e79dda2aac7d9ac"},
	}
}

func TestReadPackage(t *testing.T) {
	t.Parallel()
	p, err := ReadPackage(bytes.NewReader(read(t, "testdata/kt-test.rpm")))
	if err != nil || p.Name != "kt-test" {
		t.Fatal(p, err)
	}
	if diff := cmp.Diff(inPackage(), p.Files); diff != "" {
		t.Error(diff)
	}
}

// tag is one entry of a header made for a test.
type tag struct {
	id, kind uint32
	value    any // []string or []uint32
}

func makeHeader(tags ...tag) []byte {
	var index, data []byte
	for _, g := range tags {
		start, n := len(data), 0
		switch v := g.value.(type) {
		case []string:
			for _, s := range v {
				data = append(append(data, s...), 0)
			}
			n = len(v)
		case []uint32:
			for len(data)%4 != 0 {
				data = append(data, 0)
			}
			start = len(data)
			for _, u := range v {
				data = binary.BigEndian.AppendUint32(data, u)
			}
			n = len(v)
		}
		for _, u := range []uint32{g.id, g.kind, uint32(start), uint32(n)} {
			index = binary.BigEndian.AppendUint32(index, u)
		}
	}
	b := append(bytes.Clone(rpmHeaderMagic), 0, 0, 0, 0)
	b = binary.BigEndian.AppendUint32(b, uint32(len(tags)))
	b = binary.BigEndian.AppendUint32(b, uint32(len(data)))
	return append(append(b, index...), data...)
}

func makePackage(signature []tag, main []tag) []byte {
	b := append(bytes.Clone(rpmLeadMagic), make([]byte, rpmLead-4)...)
	sig := makeHeader(signature...)
	b = append(b, sig...)
	data := len(sig) - rpmHeaderHead - rpmIndexEntry*len(signature)
	if data%8 != 0 {
		b = append(b, make([]byte, 8-data%8)...)
	}
	return append(append(b, makeHeader(main...)...), "payload"...)
}

// imaSignature is a signature with its header, by key 01020304.
const imaSignature = "030204010203040002aabb"

func signedTags() []tag {
	return []tag{
		{tagBaseNames, typeStringArray, []string{"a", "b", "c"}}, {tagDirNames, typeStringArray, []string{"/usr/bin/", "/etc/"}}, {tagDirIndexes, typeInt32, []uint32{0, 1, 0}},
		{tagFileDigests, typeStringArray, []string{strings.ToUpper(sha("a")), "", sha("c")}}, {tagFileSignatures, typeStringArray, []string{imaSignature, "", ""}},
	}
}

func TestPackageSignatures(t *testing.T) {
	t.Parallel()
	sig, _ := hex.DecodeString(imaSignature)
	want := []PackageFile{{Path: "/usr/bin/a", Digest: sha("a"), Signature: sig}, {Path: "/usr/bin/c", Digest: sha("c")}}
	name := tag{tagName, typeString, []string{"p"}}
	for where, data := range map[string][]byte{
		"main header":      makePackage([]tag{name}, signedTags()),
		"signature header": makePackage([]tag{name, {tagSigFileSignatures, typeStringArray, []string{imaSignature, "", ""}}}, signedTags()[:4]),
		"old names":        makePackage([]tag{name}, append([]tag{{tagOldFileNames, typeStringArray, []string{"/usr/bin/a", "/etc/b", "/usr/bin/c"}}}, signedTags()[3:]...)),
	} {
		p, err := ReadPackage(bytes.NewReader(data))
		if err != nil {
			t.Fatal(where, err)
		}
		if diff := cmp.Diff(want, p.Files); diff != "" {
			t.Error(where, diff)
		}
	}
	dir := t.TempDir()
	write(t, filepath.Join(dir, "x.rpm"), makePackage([]tag{name}, signedTags()))
	if _, warnings := create(t, Request{RPMs: []string{filepath.Join(dir, "x.rpm")}}); !strings.Contains(warnings, "1 files of the packages carry IMA signatures of key 01020304") {
		t.Error(warnings)
	}
}

func TestReadPackageRefuses(t *testing.T) {
	t.Parallel()
	real := read(t, "testdata/kt-test.rpm")
	name := []tag{{tagName, typeString, []string{"p"}}}
	change := func(at int, to byte) []byte {
		b := bytes.Clone(real)
		b[at] = to
		return b
	}
	spoil := func(i int, g tag) []byte {
		tags := signedTags()
		tags[i] = g
		return makePackage(name, tags)
	}
	for _, c := range []struct {
		name string
		data []byte
		want error
	}{
		{"empty", nil, io.ErrUnexpectedEOF},
		{"lead", change(0, 0), errRPM},
		{"magic", change(rpmLead, 0), errRPM},
		{"entries", change(rpmLead+8, 0xff), errRPM},
		{"size", change(rpmLead+12, 0xff), errRPM},
		{"no entries", makePackage(nil, nil), errRPM},
		{"cut signature header", real[:rpmLead+40], io.ErrUnexpectedEOF},
		{"cut header", real[:1200], io.ErrUnexpectedEOF},
		{"directories of names", spoil(2, tag{tagDirIndexes, typeInt32, []uint32{0}}), errRPM},
		{"directory that is not there", spoil(2, tag{tagDirIndexes, typeInt32, []uint32{0, 5, 0}}), errRPM},
		{"number of digests", spoil(3, tag{tagFileDigests, typeStringArray, []string{sha("a")}}), errRPM},
		{"signature", spoil(4, tag{tagFileSignatures, typeStringArray, []string{"zz", "", ""}}), errRPM},
	} {
		if p, err := ReadPackage(bytes.NewReader(c.data)); p != nil || !errors.Is(err, c.want) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	// Types and offsets that are wrong are tags that are not there.
	if p, err := ReadPackage(bytes.NewReader(spoil(3, tag{tagFileDigests, typeInt32, []uint32{1}}))); err != nil || len(p.Files) != 0 {
		t.Errorf("%v %v", p, err)
	}
}

func packageDigests() []string {
	var lines []string
	for _, f := range inPackage() {
		lines = append(lines, listed(f.Path)+" "+f.Digest)
	}
	return lines
}

func TestPackageDir(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "Packages/k/kt-test.rpm"), read(t, "testdata/kt-test.rpm"))
	var last Progress
	p, err := Create(t.Context(), Request{RPMDir: dir, Now: now, Progress: func(at Progress) { last = at }})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(packageDigests(), digestsOf(&p.Digests)); diff != "" || last.Source != "rpm" || last.Files != 1 || last.Total != 1 {
		t.Error(diff, last)
	}
	write(t, filepath.Join(dir, "Packages/k/md5.rpm"), read(t, "testdata/kt-test-md5.rpm"))
	p, warnings := create(t, Request{RPMDir: dir})
	if diff := cmp.Diff(packageDigests(), digestsOf(&p.Digests)); diff != "" || !strings.Contains(warnings, "md5.rpm: 4 files are left out") {
		t.Error(diff, warnings)
	}
	// A repository: unsigned is said, signed is checked.
	write(t, filepath.Join(dir, "repodata/repomd.xml"), []byte("<repomd/>"))
	if _, warnings := create(t, Request{RPMDir: dir}); !strings.Contains(warnings, "Unsigned repository") {
		t.Error(warnings)
	}
	key, sign := signer(t, now.Add(-time.Hour), 0)
	write(t, filepath.Join(dir, "repodata/repomd.xml.asc"), sign([]byte("<repomd/>")))
	if _, err := Create(t.Context(), Request{RPMDir: dir}); err == nil || !strings.Contains(err.Error(), "their key cannot be read") {
		t.Errorf("%v", err)
	}
	write(t, filepath.Join(dir, "repodata/repomd.xml.key"), key)
	if _, warnings := create(t, Request{RPMDir: dir}); strings.Contains(warnings, "Unsigned") {
		t.Error(warnings)
	}
	write(t, filepath.Join(dir, "repodata/repomd.xml"), []byte("<repomd />"))
	if _, err := Create(t.Context(), Request{RPMDir: dir}); err == nil || !strings.Contains(err.Error(), "untrusted repository") {
		t.Errorf("%v", err)
	}
}

// signer makes an OpenPGP key and returns it with a function that signs.
func signer(t testing.TB, made time.Time, lifetime uint32) (key []byte, sign func([]byte) []byte) {
	t.Helper()
	config := &packet.Config{Time: func() time.Time { return made }, KeyLifetimeSecs: lifetime, Algorithm: packet.PubKeyAlgoEdDSA}
	entity, err := openpgp.NewEntity("repo", "", "", config)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	w, err := armor.Encode(&b, openpgp.PublicKeyType, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(entity.Serialize(w), w.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes(), func(content []byte) []byte {
		var sig bytes.Buffer
		if err := openpgp.ArmoredDetachSign(&sig, []*openpgp.Entity{entity}, bytes.NewReader(content), &openpgp.SignParams{Config: config}); err != nil {
			t.Fatal(err)
		}
		return sig.Bytes()
	}
}

func TestCheckSigned(t *testing.T) {
	t.Parallel()
	key, sign := signer(t, time.Now().Add(-time.Hour), 0)
	expired, signExpired := signer(t, time.Now().Add(-time.Hour), 60)
	other, _ := signer(t, time.Now().Add(-time.Hour), 0)
	content := []byte("content")
	armored := sign(content)
	block, err := armor.Decode(bytes.NewReader(armored))
	if err != nil {
		t.Fatal(err)
	}
	plain, err := io.ReadAll(block.Body)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name                    string
		key, signature, content []byte
		good                    bool
	}{
		{"armored", key, armored, content, true},
		{"binary", key, plain, content, true},
		{"content", key, armored, []byte("Content"), false},
		{"other key", other, armored, content, false},
		{"expired key", expired, signExpired(content), content, false},
		{"no key", []byte("x"), armored, content, false},
		{"no signature", key, []byte("x"), content, false},
		{"empty signature", key, nil, content, false},
	} {
		if err := checkSigned(c.key, c.signature, c.content); (err == nil) != c.good {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// repository serves files and counts requests.
type repository struct {
	mu     sync.Mutex
	files  map[string][]byte
	ranges []string
	asked  []string
	whole  bool // ignore ranges
}

func (r *repository) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	content, ok := r.files[strings.TrimPrefix(q.URL.Path, "/repo/")]
	r.asked = append(r.asked, q.URL.Path)
	if !ok {
		http.NotFound(w, q)
		return
	}
	if h := q.Header.Get("Range"); h != "" {
		r.ranges = append(r.ranges, h)
	}
	if r.whole {
		q.Header.Del("Range")
	}
	http.ServeContent(w, q, "", time.Time{}, bytes.NewReader(content))
}

const repomdText = `<repomd xmlns="http://linux.duke.edu/metadata/repo"><data type="primary"><location href="repodata/primary.xml.gz"/></data>%s</repomd>`

func zipped(t testing.TB, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func newRepository(t testing.TB) (*repository, Request) {
	t.Helper()
	r := &repository{files: map[string][]byte{
		"repodata/repomd.xml": fmt.Appendf(nil, repomdText, ""),
		"repodata/primary.xml.gz": zipped(t, `<metadata xmlns="http://linux.duke.edu/metadata/common"><package type="rpm"><name>kt</name><location href="Packages/kt-test.rpm"/></package>`+
			`<package type="src"><location href="absent"/></package></metadata>`),
		"Packages/kt-test.rpm": append(read(t, "testdata/kt-test.rpm"), make([]byte, 200<<10)...),
	}}
	server := httptest.NewServer(r)
	t.Cleanup(server.Close)
	return r, Request{RPMURL: server.URL + "/repo", HTTP: server.Client()}
}

func TestRemoteHeaders(t *testing.T) {
	t.Parallel()
	r, request := newRepository(t)
	p, warnings := create(t, request)
	if diff := cmp.Diff(packageDigests(), digestsOf(&p.Digests)); diff != "" || !strings.Contains(warnings, "Unsigned repository") || !strings.Contains(warnings, "filelist-ext.xml not present in the repo") {
		t.Error(diff, warnings)
	}
	if len(r.ranges) != 1 || r.ranges[0] != "bytes=0-24575" {
		t.Errorf("%q", r.ranges)
	}
	// Headers larger than the first range are fetched in more; a server that
	// knows no ranges sends all.
	big := signedTags()
	big = append(big, tag{9999, typeStringArray, []string{strings.Repeat("x", 100<<10)}})
	r.files["Packages/kt-test.rpm"] = makePackage([]tag{{tagName, typeString, []string{"p"}}}, big)
	for _, whole := range []bool{false, true} {
		r.ranges, r.whole = nil, whole
		if p, _ = create(t, request); p.Digests.Len() != 2 || len(r.ranges) != map[bool]int{false: 3, true: 1}[whole] {
			t.Errorf("%v %q", p.Digests.Len(), r.ranges)
		}
	}
}

func TestRemoteFileLists(t *testing.T) {
	t.Parallel()
	r, request := newRepository(t)
	r.files["repodata/repomd.xml"] = fmt.Appendf(nil, repomdText, `<data type="filelists-ext"><location href="repodata/ext.xml.gz"/></data>`)
	list := `<filelists-ext xmlns="http://linux.duke.edu/metadata/filelists-ext"><package><file hash="` + strings.ToUpper(sha("a")) + `">/usr/my file</file><file>/dir</file><file hash="">/x</file><file hash="` + strings.Repeat("0", 32) + `">/md5</file></package></filelists-ext>`
	r.files["repodata/ext.xml.gz"] = zipped(t, list)
	p, warnings := create(t, request)
	if diff := cmp.Diff([]string{"/usr/my_file " + sha("a")}, digestsOf(&p.Digests)); diff != "" || strings.Contains(warnings, "not present") || len(r.ranges) != 0 {
		t.Error(diff, warnings)
	}
	r.files["repodata/ext.xml.gz"] = []byte(list) // not compressed
	if p, _ := create(t, request); p.Digests.Len() != 1 {
		t.Error(p.Digests.Len())
	}
	key, sign := signer(t, now, 0)
	r.files["repodata/repomd.xml.asc"], r.files["repodata/repomd.xml.key"] = sign(r.files["repodata/repomd.xml"]), key
	if _, warnings := create(t, request); strings.Contains(warnings, "Unsigned") {
		t.Error(warnings)
	}
}

func TestRemoteRefuses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		change func(*repository, *Request)
		want   string
	}{
		{"no URL", func(_ *repository, q *Request) { q.RPMURL = "ftp://x/" }, "not a URL"},
		{"no repository", func(r *repository, _ *Request) { delete(r.files, "repodata/repomd.xml") }, "repomd.xml: not there"},
		{"no XML", func(r *repository, _ *Request) { r.files["repodata/repomd.xml"] = []byte("<a") }, "repomd.xml: "},
		{"signed without key", func(r *repository, _ *Request) { r.files["repodata/repomd.xml.asc"] = []byte("x") }, "cannot be had"},
		{"bad signature", func(r *repository, _ *Request) {
			key, sign := signer(t, now, 0)
			r.files["repodata/repomd.xml.asc"], r.files["repodata/repomd.xml.key"] = sign([]byte("x")), key
		}, "untrusted repository"},
		{"no primary", func(r *repository, _ *Request) {
			r.files["repodata/repomd.xml"] = []byte(`<repomd xmlns="http://linux.duke.edu/metadata/repo"/>`)
		}, "no list of packages"},
		{"primary absent", func(r *repository, _ *Request) { delete(r.files, "repodata/primary.xml.gz") }, "not there"},
		{"primary spoiled", func(r *repository, _ *Request) { r.files["repodata/primary.xml.gz"] = []byte("\x1f\x8bxxxxxxxxxxxxx") }, "primary.xml.gz"},
		{"package absent", func(r *repository, _ *Request) { delete(r.files, "Packages/kt-test.rpm") }, "RPM package Packages/kt-test.rpm: not there"},
		{"package cut", func(r *repository, _ *Request) {
			r.files["Packages/kt-test.rpm"] = read(t, "testdata/kt-test.rpm")[:1000]
		}, "RPM package Packages/kt-test.rpm: "},
		{"package empty", func(r *repository, _ *Request) { r.files["Packages/kt-test.rpm"] = nil }, "RPM package Packages/kt-test.rpm: "},
	} {
		r, request := newRepository(t)
		c.change(r, &request)
		p, err := Create(t.Context(), request)
		var input *InputError
		if p != nil || !errors.As(err, &input) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// FuzzReadPackage reads any bytes as package: no panic, bounded memory.
func FuzzReadPackage(f *testing.F) {
	f.Add(read(f, "testdata/kt-test.rpm")[:4000])
	f.Add(makePackage([]tag{{tagName, typeString, []string{"p"}}}, signedTags()))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := ReadPackage(bytes.NewReader(data))
		if (p == nil) == (err == nil) {
			t.Fatal(p, err)
		}
		if err == nil {
			m := &maker{}
			for _, e := range m.packageEntries("x", p, map[string]int{}) {
				if _, known := byLength(e.digest); !known {
					t.Fatal(e)
				}
			}
		}
	})
}
