//go:build !openpgp

package tenant

import (
	"errors"
	"time"
)

func verifyOpenPGP(content, signature, key []byte, now time.Time) error {
	return errors.New("OpenPGP signatures are not supported by this build")
}
