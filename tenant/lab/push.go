package lab

import (
	"errors"
	"fmt"
	"strconv"
)

// sessionLimit is how many sessions an agent of a lab may ask for within a minute:
// time passes faster there than where upstream's limit comes from.
const sessionLimit = 600

// ErrModel: the directory holds a lab of the other model.
var ErrModel = errors.New("the lab there is one of the pull model")

// pushContactPort is the port that an agent of the push model registers unless
// told otherwise, although nobody listens there.
const pushContactPort = 9002

// chooseModel settles whether this is a lab of the push model: a directory that
// was used before says so itself, since its verifier holds agents of that
// model.
func (l *Lab) chooseModel(push bool) error {
	used := l.settings.VerifierPort != 0
	if used && push && !l.settings.Push {
		return fmt.Errorf("directory %s: %w", l.dir, ErrModel)
	}
	l.settings.Push = l.settings.Push || push
	return nil
}

// Push says whether it is a lab of the push model.
func (l *Lab) Push() bool { return l.settings.Push }

// pushOptions are the options that the lab itself gives agent number n of the
// push model.
func (l *Lab) pushOptions(n int) [][2]string {
	return [][2]string{
		{"uuid", strconv.Quote(fmt.Sprintf("%s%05d", firstID, n))},
		{"contact_ip", strconv.Quote(host)},
		{"contact_port", strconv.Itoa(pushContactPort)},
		{"registrar_ip", strconv.Quote(host)},
		{"registrar_port", strconv.Itoa(l.registrar.Port())},
		{"verifier_url", strconv.Quote("https://" + l.VerifierAddr())},
		{"verifier_tls_ca_cert", strconv.Quote(l.caFile())},
	}
}
