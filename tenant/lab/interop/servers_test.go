//go:build interop

package interop

import "testing"

// TestServersStart proves that the real pair starts and that its processes
// end with the test; everything else builds on it.
func TestServersStart(t *testing.T) {
	startKeylime(t, nil)
}
