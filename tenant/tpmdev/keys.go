package tpmdev

import (
	"errors"
	"fmt"

	"github.com/google/go-tpm/tpm2"
)

// key is a key in the TPM.
type key struct {
	handle tpm2.TPMHandle
	name   tpm2.TPM2BName
	public *tpm2.TPMTPublic
	raw    []byte // TPM2B_PUBLIC
}

func keyOf(handle tpm2.TPMHandle, name tpm2.TPM2BName, public tpm2.TPM2BPublic) (key, error) {
	contents, err := public.Contents()
	if err != nil {
		return key{}, err
	}
	return key{handle: handle, name: name, public: contents, raw: tpm2.Marshal(public)}, nil
}

// endorsementHint says which password a refusal can be about.
const endorsementHint = "the endorsement hierarchy wants its password: --tpm-endorsement-pw"

// ek makes the EK, or reads the one that is there.
func (s *session) ek() (key, error) {
	if s.request.EKHandle != 0 {
		return s.presentEK(tpm2.TPMHandle(s.request.EKHandle))
	}
	const doing = "making the EK"
	response, err := tpm2.CreatePrimary{
		PrimaryHandle: tpm2.AuthHandle{Handle: tpm2.TPMRHEndorsement, Auth: s.endorsement()},
		InPublic:      tpm2.New2B(s.alg.ekTemplate()),
	}.Execute(s.tpm)
	if err != nil {
		return key{}, s.t.ofTPM(doing, endorsementHint, err)
	}
	s.keep(response.ObjectHandle)
	k, err := keyOf(response.ObjectHandle, response.Name, response.OutPublic)
	return k, s.t.ofTPM(doing, "", err)
}

// presentEK reads an EK that is in the TPM.
func (s *session) presentEK(handle tpm2.TPMHandle) (key, error) {
	doing := fmt.Sprintf("reading the EK at %#x", uint32(handle))
	bad := func(cause string) (key, error) {
		return key{}, &Error{Kind: NoKey, TPM: s.t.name, Op: doing, Err: errors.New(cause),
			Hint: "tpm2_getcap handles-persistent lists what is there; without --ek-handle an EK is made for the time of the call"}
	}
	response, err := tpm2.ReadPublic{ObjectHandle: handle}.Execute(s.tpm)
	switch {
	case errors.Is(err, tpm2.TPMRCHandle), errors.Is(err, tpm2.TPMRCReferenceH0), errors.Is(err, tpm2.TPMRCValue):
		return bad("there is no key")
	case err != nil:
		return key{}, s.t.ofTPM(doing, "", err)
	}
	k, err := keyOf(handle, response.Name, response.OutPublic)
	if err != nil {
		return key{}, s.t.ofTPM(doing, "", err)
	}
	if a := k.public.ObjectAttributes; !a.Restricted || !a.Decrypt || a.SignEncrypt {
		return bad("the key there is no EK: nothing can be made below it")
	}
	return k, nil
}

// endorsement is the authorisation of the endorsement hierarchy.
func (s *session) endorsement() tpm2.Session {
	return tpm2.PasswordAuth([]byte(s.request.EndorsementPassword))
}

// parent is the EK, authorised for one command. Templates that let the user
// authorise have no password; the others want a policy session in which the
// endorsement hierarchy has given its password (EK Credential Profile, B.6).
// done ends the session.
func (s *session) parent(ek key) (handle tpm2.AuthHandle, done func() error, err error) {
	handle = tpm2.AuthHandle{Handle: ek.handle, Name: ek.name, Auth: tpm2.PasswordAuth(nil)}
	if ek.public.ObjectAttributes.UserWithAuth {
		return handle, func() error { return nil }, nil
	}
	const doing = "authorising the use of the EK"
	policy, _, err := tpm2.PolicySession(s.tpm, ek.public.NameAlg, 16)
	if err != nil {
		return handle, nil, s.t.ofTPM(doing, "", err)
	}
	s.keep(policy.Handle())
	_, err = tpm2.PolicySecret{
		AuthHandle:    tpm2.AuthHandle{Handle: tpm2.TPMRHEndorsement, Auth: s.endorsement()},
		PolicySession: policy.Handle(),
		NonceTPM:      policy.NonceTPM(),
	}.Execute(s.tpm)
	if err != nil {
		return handle, nil, s.t.ofTPM(doing, endorsementHint, err)
	}
	handle.Auth = policy
	return handle, func() error { return s.drop(s.tpm.ctx, policy.Handle()) }, nil
}

// ak makes an AK below the EK and loads it.
func (s *session) ak(ek key, password []byte) (key, error) {
	const hint = "the EK at this handle has an authorisation that is not known here: leave --ek-handle out"
	below, done, err := s.parent(ek)
	if err != nil {
		return key{}, err
	}
	created, err := tpm2.Create{
		ParentHandle: below,
		InSensitive:  tpm2.TPM2BSensitiveCreate{Sensitive: &tpm2.TPMSSensitiveCreate{UserAuth: tpm2.TPM2BAuth{Buffer: password}}},
		InPublic:     tpm2.New2B(s.alg.akTemplate()),
	}.Execute(s.tpm)
	if err != nil {
		return key{}, s.t.ofTPM("making an AK", hint, err)
	}
	if err := done(); err != nil {
		return key{}, err
	}
	// A policy session is good for one command.
	if below, done, err = s.parent(ek); err != nil {
		return key{}, err
	}
	const doing = "loading the AK"
	loaded, err := tpm2.Load{ParentHandle: below, InPrivate: created.OutPrivate, InPublic: created.OutPublic}.Execute(s.tpm)
	if err != nil {
		return key{}, s.t.ofTPM(doing, hint, err)
	}
	s.keep(loaded.ObjectHandle)
	if err := done(); err != nil {
		return key{}, err
	}
	k, err := keyOf(loaded.ObjectHandle, loaded.Name, created.OutPublic)
	return k, s.t.ofTPM(doing, "", err)
}
