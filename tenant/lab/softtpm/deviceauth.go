package softtpm

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"encoding/binary"

	"github.com/google/go-tpm/tpm2"
)

// policySession is a policy session without key (TPM 2.0 Part 1, section 19).
type policySession struct {
	hash   bank
	nonce  []byte // nonceTPM
	digest []byte // policyDigest
}

// session1 marks an error as that of the first authorisation (TPM 2.0 Part 2,
// section 6.6).
const session1 = 0x900

func (d *Device) newHandle(kind uint32) uint32 {
	d.next++
	return kind | d.next&0xffffff
}

// startSession starts a policy session.
func (d *Device) startSession(c *command) tpm2.TPMRC {
	nonce, salt, kind := c.sized(), c.sized(), c.take(1)
	symmetric := tpm2.TPMAlgID(c.u16())
	hash := tpm2.TPMAlgID(c.u16())
	null := uint32(tpm2.TPMRHNull)
	switch {
	case c.spoilt():
		return tpm2.TPMRCInsufficient
	case c.handles[0] != null || c.handles[1] != null || len(salt) > 0 || symmetric != tpm2.TPMAlgNull || kind[0] != byte(tpm2.TPMSEPolicy):
		return tpm2.TPMRCValue // not of a minimal device
	case len(nonce) < 16:
		return tpm2.TPMRCSize
	case len(d.sessions) >= d.o.Objects:
		return tpm2.TPMRCSessionMemory
	}
	b, err := bankByName(bankName(hash))
	if err != nil {
		return tpm2.TPMRCHash
	}
	s := &policySession{hash: b, nonce: make([]byte, len(nonce)), digest: make([]byte, b.hash.Size())}
	if _, err := rand.Read(s.nonce); err != nil {
		return tpm2.TPMRCFailure
	}
	c.answered = d.newHandle(firstPolicy)
	d.sessions[c.answered] = s
	c.answer = appendSized(nil, s.nonce)
	return tpm2.TPMRCSuccess
}

// policySecret extends a policy by the fact that the caller knows the password
// of the endorsement hierarchy.
func (d *Device) policySecret(c *command) tpm2.TPMRC {
	nonce, cpHash, reference := c.sized(), c.sized(), c.sized()
	expiration := c.u32()
	s := d.sessions[c.handles[1]]
	switch {
	case c.spoilt():
		return tpm2.TPMRCInsufficient
	case c.handles[0] != uint32(tpm2.TPMRHEndorsement) || s == nil || len(cpHash) > 0 || expiration != 0:
		return tpm2.TPMRCValue
	case len(nonce) > 0 && !bytes.Equal(nonce, s.nonce):
		return tpm2.TPMRCNonce
	}
	if code := d.byPassword(c, d.o.EndorsementAuth); code != tpm2.TPMRCSuccess {
		return code
	}
	named := append(binary.BigEndian.AppendUint32(nil, uint32(tpm2.TPMCCPolicySecret)), tpm2.PrimaryHandleName(tpm2.TPMRHEndorsement)...)
	s.digest = s.hash.sum(s.hash.sum(s.digest, named), reference)
	// No timeout, and a ticket that is none.
	c.answer = appendSized(nil, nil)
	c.answer = binary.BigEndian.AppendUint16(c.answer, uint16(tpm2.TPMSTAuthSecret))
	c.answer = binary.BigEndian.AppendUint32(c.answer, uint32(tpm2.TPMRHNull))
	c.answer = appendSized(c.answer, nil)
	return tpm2.TPMRCSuccess
}

// byPassword demands that the first authorisation is this password. Zeros at
// the end of a password do not count.
func (d *Device) byPassword(c *command, password []byte) tpm2.TPMRC {
	switch {
	case len(c.auths) == 0:
		return tpm2.TPMRCAuthMissing
	case c.auths[0].handle != uint32(tpm2.TPMRSPW):
		return tpm2.TPMRCAuthUnavailable
	case !hmac.Equal(bytes.TrimRight(c.auths[0].hmac, "\x00"), bytes.TrimRight(password, "\x00")):
		return tpm2.TPMRCBadAuth | session1
	}
	return tpm2.TPMRCSuccess
}

// authorize demands that the first authorisation allows the use of a key.
func (d *Device) authorize(c *command, k *held) tpm2.TPMRC {
	if len(c.auths) == 0 {
		return tpm2.TPMRCAuthMissing
	}
	s := d.sessions[c.auths[0].handle]
	if s == nil {
		if !k.public.ObjectAttributes.UserWithAuth {
			return tpm2.TPMRCAuthUnavailable
		}
		return d.byPassword(c, k.auth)
	}
	a := c.auths[0]
	parameters := binary.BigEndian.AppendUint32(nil, uint32(c.code))
	for _, handle := range c.handles {
		parameters = append(parameters, d.nameOf(handle)...)
	}
	want := s.mac(s.hash.sum(parameters, c.whole), a.nonce, s.nonce, a.attributes)
	switch {
	case len(a.hmac) > 0 && !hmac.Equal(want, a.hmac):
		return tpm2.TPMRCAuthFail | session1
	case s.hash.id != k.public.NameAlg || !bytes.Equal(s.digest, k.public.AuthPolicy.Buffer):
		return tpm2.TPMRCPolicyFail | session1
	}
	s.digest = make([]byte, s.hash.hash.Size()) // it was good for one command
	return tpm2.TPMRCSuccess
}

// nameOf is the name of a handle.
func (d *Device) nameOf(handle uint32) []byte {
	if k := d.objects[handle]; k != nil {
		return k.name
	}
	return binary.BigEndian.AppendUint32(nil, handle)
}

// mac is the HMAC of a session without key.
func (s *policySession) mac(parameters, newer, older []byte, attributes byte) []byte {
	m := hmac.New(s.hash.hash.New, nil)
	for _, part := range [][]byte{parameters, newer, older, {attributes}} {
		m.Write(part)
	}
	return m.Sum(nil)
}

// answerAuth is the answer to an authorisation of a command that was executed.
func (d *Device) answerAuth(c *command, a authorization) []byte {
	s := d.sessions[a.handle]
	if s == nil {
		return append(appendSized(nil, nil), continueSession, 0, 0)
	}
	if _, err := rand.Read(s.nonce); err != nil {
		return nil
	}
	head := binary.BigEndian.AppendUint32(make([]byte, 4), uint32(c.code)) // after TPM_RC_SUCCESS
	answer := append(appendSized(nil, s.nonce), a.attributes)
	answer = appendSized(answer, s.mac(s.hash.sum(head, c.answer), s.nonce, a.nonce, a.attributes))
	if a.attributes&continueSession == 0 {
		delete(d.sessions, a.handle)
	}
	return answer
}
