package tenant

import (
	"encoding/base64"
	"os"
	"testing"
)

// goodRuntime is a runtime policy that satisfies the schema.
const goodRuntime = `{"meta": {"version": 1, "generator": 3}, "release": 0, "digests": {"/usr/bin/ok": ["1111111111111111111111111111111111111111111111111111111111111111"]}, "excludes": [], "keyrings": {}, "ima": {"ignored_keyrings": [], "log_hash_alg": "sha1", "dm_policy": null}, "ima-buf": {}, "verification-keys": ""}`

// emptyDir is a directory without certificates.
var emptyDir string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "empty")
	if err != nil {
		panic(err)
	}
	emptyDir = dir
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

func otherEK(w *world) string {
	return base64.StdEncoding.EncodeToString(w.machine.other.EKPublic())
}
