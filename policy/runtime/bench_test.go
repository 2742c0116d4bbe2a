package runtime

import (
	"bytes"
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"testing"

	"github.com/keylime/keylime-tenant/policy/runtime/ima"
)

// synthetic makes an ima-ng list of n files, the policy that allows them, and
// PCR 10 of the SHA-256 bank after it. Every tenth file is in the policy by an
// exclude alone.
func synthetic(n int) (list []byte, p *Policy, pcr []byte) {
	var b bytes.Buffer
	p = Empty()
	p.Excludes = []string{`/tmp/.*`, `/var/cache/.*\.tmp$`, `/home/[^/]+/\.cache/.*`}
	replay, _ := ima.NewReplay(hashes["sha256"], nil)
	for i := range n {
		digest := sha256.Sum256(fmt.Appendf(nil, "content %d", i))
		path := fmt.Sprintf("/usr/lib/x86_64-linux-gnu/package-%d/lib%d.so.%d", i%977, i, i%7)
		if i%10 == 0 {
			path = fmt.Sprintf("/var/cache/%d/%d.tmp", i%977, i)
		} else {
			p.Digests.Set(path, []string{hex.EncodeToString(digest[:])})
		}
		data := ngData(digest[:], path)
		column := sha1.Sum(data)
		fmt.Fprintf(&b, "10 %x ima-ng sha256:%x %s\n", column, digest, path)
		replay.ExtendData(data)
	}
	return b.Bytes(), p, bytes.Clone(replay.Value())
}

// ngData is the template data of an ima-ng entry with a SHA-256 digest.
func ngData(digest []byte, path string) []byte {
	data := append([]byte{byte(8 + len(digest)), 0, 0, 0}, "sha256:\x00"...)
	data = append(data, digest...)
	data = append(data, byte(len(path)+1), 0, 0, 0)
	return append(append(data, path...), 0)
}

// BenchmarkEvaluate judges a list of a million entries, with replay of PCR 10
// in the SHA-256 bank; "entries/s" is what counts.
func BenchmarkEvaluate(b *testing.B) {
	const n = 1_000_000
	list, p, pcr := synthetic(n)
	e, err := NewEvaluator(p, Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(list)))
	b.ReportAllocs()
	for b.Loop() {
		v, err := e.Evaluate(context.Background(), &State{}, Evidence{List: bytes.NewReader(list), PCR10: pcr, Bank: "sha256"})
		if err != nil || !v.Accepted {
			b.Fatal(v, err)
		}
	}
	b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "entries/s")
}

// BenchmarkParsePolicy reads a policy of 100,000 files.
func BenchmarkParsePolicy(b *testing.B) {
	_, p, _ := synthetic(100_000)
	text := p.Marshal()
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParsePolicy(text); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkMarshal writes it.
func BenchmarkMarshal(b *testing.B) {
	_, p, _ := synthetic(100_000)
	b.SetBytes(int64(len(p.Marshal())))
	b.ReportAllocs()
	for b.Loop() {
		p.Marshal()
	}
}

// BenchmarkNewEvaluator prepares it.
func BenchmarkNewEvaluator(b *testing.B) {
	_, p, _ := synthetic(100_000)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := NewEvaluator(p, Options{}); err != nil {
			b.Fatal(err)
		}
	}
}
