package cli

import (
	"context"
	"errors"
	"testing"

	"github.com/keylime/keylime-tenant/client"
	"github.com/keylime/keylime-tenant/tenant"
)

// TestUntrustedToken: an unknown CA is told in the words of OpenSSL too, and
// nothing else is.
func TestUntrustedToken(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		err  error
		want string
	}{
		{&tenant.StepError{Step: tenant.StepOneshot, Err: &client.Error{Kind: client.ServerUntrusted, Err: errors.New("unknown CA")}}, " [certificate verify failed: self-signed certificate in certificate chain]"},
		{&client.Error{Kind: client.Unreachable, Err: errors.New("refused")}, ""},
		{context.Canceled, ""},
	} {
		if got := untrustedToken(c.err); got != c.want {
			t.Errorf("%v: %q", c.err, got)
		}
	}
}
