package softtpm

import (
	"encoding/binary"

	"github.com/google/go-tpm/tpm2"
)

// command is a command that is being executed, and what is answered.
type command struct {
	code    tpm2.TPMCC
	handles []uint32
	auths   []authorization
	params  []byte // what is left of the parameters
	whole   []byte // all parameters, for HMACs
	short   bool

	answered uint32 // the handle that is answered, 0 for none
	answer   []byte // the parameters that are answered
}

// authorization is what a command brings to authorise the use of a handle
// (TPM 2.0 Part 2, section 10.13.2).
type authorization struct {
	handle     uint32
	nonce      []byte
	attributes byte
	hmac       []byte // or a password
}

// continueSession is the bit of TPMA_SESSION for a session that goes on.
const continueSession = 1

// badTag is TPM_RC_BAD_TAG, which is that of TPM 1.2 (TPM 2.0 Part 2, 6.6.3).
const badTag tpm2.TPMRC = 0x1e

// handlesOf is how many handles a command has before its authorisations.
func handlesOf(code tpm2.TPMCC) int {
	switch code {
	case tpm2.TPMCCCreatePrimary, tpm2.TPMCCReadPublic, tpm2.TPMCCCreate, tpm2.TPMCCLoad, tpm2.TPMCCQuote, tpm2.TPMCCFlushContext:
		return 1
	case tpm2.TPMCCStartAuthSession, tpm2.TPMCCPolicySecret:
		return 2
	}
	return 0
}

// parseCommand reads header, handles and authorisations (TPM 2.0 Part 1,
// section 18).
func parseCommand(data []byte) (*command, tpm2.TPMRC) {
	if len(data) < deviceHeader || int(binary.BigEndian.Uint32(data[2:])) != len(data) {
		return nil, tpm2.TPMRCCommandSize
	}
	c := &command{code: tpm2.TPMCC(binary.BigEndian.Uint32(data[6:])), params: data[deviceHeader:]}
	tag := tpm2.TPMST(binary.BigEndian.Uint16(data))
	if tag != tpm2.TPMSTSessions && tag != tpm2.TPMSTNoSessions {
		return nil, badTag
	}
	for range handlesOf(c.code) {
		c.handles = append(c.handles, c.u32())
	}
	if tag == tpm2.TPMSTSessions {
		area := c.take(int(c.u32()))
		rest := c.params
		for c.params = area; len(c.params) > 0 && !c.short; {
			a := authorization{handle: c.u32(), nonce: c.sized()}
			if octets := c.take(1); len(octets) == 1 {
				a.attributes = octets[0]
			}
			a.hmac = c.sized()
			c.auths = append(c.auths, a)
		}
		c.params = rest
		if len(c.auths) == 0 || len(c.auths) > 3 {
			return nil, tpm2.TPMRCAuthContext
		}
	}
	c.whole = c.params
	if c.short {
		return nil, tpm2.TPMRCCommandSize
	}
	return c, tpm2.TPMRCSuccess
}

// take takes octets off the parameters; nil, and spoilt, when there are not as
// many.
func (c *command) take(n int) []byte {
	if n < 0 || n > len(c.params) {
		c.short, c.params = true, nil
		return nil
	}
	octets := c.params[:n]
	c.params = c.params[n:]
	return octets
}

func (c *command) u16() uint16 {
	if b := c.take(2); b != nil {
		return binary.BigEndian.Uint16(b)
	}
	return 0
}

func (c *command) u32() uint32 {
	if b := c.take(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

func (c *command) sized() []byte { return c.take(int(c.u16())) }

// spoilt says that the parameters were too short or too long.
func (c *command) spoilt() bool { return c.short || len(c.params) > 0 }

// parameter takes a structure off the parameters. go-tpm does not tell how much
// it has read, so the structure is written again.
func parameter[T tpm2.Marshallable, P interface {
	*T
	tpm2.Unmarshallable
}](c *command) (T, bool) {
	value, err := tpm2.Unmarshal[T, P](c.params)
	if err != nil {
		c.short = true
		var none T
		return none, false
	}
	return *value, c.take(len(tpm2.Marshal(*value))) != nil
}
