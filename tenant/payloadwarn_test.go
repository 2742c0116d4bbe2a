package tenant

import (
	"archive/zip"
	"bytes"
	"strings"
	"testing"
)

// TestPayloadWarnings: what an agent will do with a payload that its author
// may not expect is said before it is sent, and not in the classic grammar.
func TestPayloadWarnings(t *testing.T) {
	t.Parallel()
	archive := func(name, content string) string {
		var b bytes.Buffer
		w := zip.NewWriter(&b)
		f, err := w.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write([]byte(content)); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	for name, c := range map[string]struct{ content, want string }{
		"a file":             {"secret", ""},
		"good":               {archive("autorun.sh", "#!/bin/sh\n"), ""},
		"no script":          {archive("notes.txt", "x"), "payload f: it holds no autorun.sh at the top"},
		"line endings":       {archive("autorun.sh", "#!/bin/sh\r\necho\r\n"), "line endings of Windows"},
		"a script by itself": {"#!/bin/sh\necho", "it is a script and no zip file"},
		"outside":            {archive("../x", "x"), "would lie outside its folder"},
	} {
		for _, classic := range []bool{false, true} {
			var n notes
			in := PayloadInput{Plain: &Input{Name: "f", Content: []byte(c.content)}}
			if _, err := (&Tenant{}).sealPayload(AddRequest{ID: testID, Payload: in, Compat: classic}, &n); err != nil {
				t.Fatal(err)
			}
			found := false
			for _, e := range n {
				w, ok := e.(Warning)
				found = found || ok && w.Kind == WarnPayload && w.ID == testID && strings.Contains(w.Text, c.want)
			}
			if want := c.want != "" && !classic; found != want || !want && len(n) > 0 {
				t.Errorf("%s, classic %t: %+v", name, classic, n)
			}
		}
	}
}
