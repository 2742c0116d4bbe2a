package runtime

import (
	"context"
	"fmt"
	"io"
	goruntime "runtime"
	"strings"
	"testing"
)

// longList is a list of n equal entries that is never in memory as a whole.
type longList struct {
	line string
	n    int
	rest string
}

func (l *longList) Read(p []byte) (int, error) {
	if l.rest == "" {
		if l.n == 0 {
			return 0, io.EOF
		}
		block := min(l.n, 100)
		l.n -= block
		l.rest = strings.Repeat(l.line, block)
	}
	n := copy(p, l.rest)
	l.rest = l.rest[n:]
	return n, nil
}

// TestEvaluateMemory: memory does not grow with the list. It is not parallel,
// so that nothing else allocates.
func TestEvaluateMemory(t *testing.T) {
	const n = 200_000
	good, bad := file("/a"), file("/not/in/policy")
	e := evaluator(t, allow("/a"), Options{})
	for name, l := range map[string]line{"good": good, "refused": bad} {
		text := list(l)
		var before, after goruntime.MemStats
		goruntime.ReadMemStats(&before)
		v, err := e.Evaluate(context.Background(), nil, Evidence{List: &longList{line: text, n: n}, PCR10: make([]byte, 32), Bank: "sha256"})
		goruntime.ReadMemStats(&after)
		if err != nil {
			t.Fatal(err)
		}
		// The reader here allocates the list once, 100 entries at a time.
		if grown := after.TotalAlloc - before.TotalAlloc; grown > uint64(2*n*len(text)) {
			t.Errorf("%s: %d bytes allocated for %d entries of %d bytes", name, grown, n, len(text))
		}
		if held := int64(after.HeapAlloc) - int64(before.HeapAlloc); held > 64<<20 {
			t.Errorf("%s: %d bytes held", name, held)
		}
		if name == "refused" && (len(v.Findings) != defaultMaxFindings || len(v.Warnings) != 1 || v.Warnings[0] != fmt.Sprintf("%d more findings are not listed", n-defaultMaxFindings)) {
			t.Errorf("%d findings, %q", len(v.Findings), v.Warnings)
		}
	}
}
