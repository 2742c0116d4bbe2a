package softtpm

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"net"
	"path/filepath"
	"testing"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"
)

// newDevice is a device over a TPM with ECC keys, which are made quickly.
func newDevice(t *testing.T, o DeviceOptions) *Device {
	t.Helper()
	tpm, err := New(Options{EKAlg: "ecc", AKAlg: "ecc"})
	if err != nil {
		t.Fatal(err)
	}
	return NewDevice(tpm, o)
}

const ekHandle = 0x81010001

// policyFor is a session in which the endorsement hierarchy gave a password.
func policyFor(t *testing.T, d *Device, password string) tpm2.Session {
	t.Helper()
	s, _, err := tpm2.PolicySession(d, tpm2.TPMAlgSHA256, 16)
	if err != nil {
		t.Fatal(err)
	}
	_, err = tpm2.PolicySecret{AuthHandle: tpm2.AuthHandle{Handle: tpm2.TPMRHEndorsement, Auth: tpm2.PasswordAuth([]byte(password))},
		PolicySession: s.Handle(), NonceTPM: s.NonceTPM()}.Execute(d)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func signingTemplate() tpm2.TPMTPublic {
	return tpm2.TPMTPublic{Type: tpm2.TPMAlgECC, NameAlg: tpm2.TPMAlgSHA256, ObjectAttributes: akAttributes(),
		Parameters: tpm2.NewTPMUPublicParms(tpm2.TPMAlgECC, &tpm2.TPMSECCParms{
			Symmetric: tpm2.TPMTSymDefObject{Algorithm: tpm2.TPMAlgNull}, CurveID: tpm2.TPMECCNistP256, KDF: tpm2.TPMTKDFScheme{Scheme: tpm2.TPMAlgNull},
			Scheme: tpm2.TPMTECCScheme{Scheme: tpm2.TPMAlgECDSA, Details: tpm2.NewTPMUAsymScheme(tpm2.TPMAlgECDSA, &tpm2.TPMSSigSchemeECDSA{HashAlg: tpm2.TPMAlgSHA256})}}),
		Unique: tpm2.NewTPMUPublicID(tpm2.TPMAlgECC, &tpm2.TPMSECCPoint{})}
}

// makeKey makes a signing key below the EK.
func makeKey(d *Device, ekName []byte, auth tpm2.Session, template tpm2.TPMTPublic) (*tpm2.CreateResponse, error) {
	return tpm2.Create{ParentHandle: tpm2.AuthHandle{Handle: ekHandle, Name: tpm2.TPM2BName{Buffer: ekName}, Auth: auth},
		InSensitive: tpm2.TPM2BSensitiveCreate{Sensitive: &tpm2.TPMSSensitiveCreate{UserAuth: tpm2.TPM2BAuth{Buffer: []byte("key")}}},
		InPublic:    tpm2.New2B(template)}.Execute(d)
}

// TestDeviceRefuses: each thing that the device demands, it demands.
func TestDeviceRefuses(t *testing.T) {
	t.Parallel()
	const password = "secret"
	for name, c := range map[string]struct {
		want tpm2.TPMRC
		call func(t *testing.T, d *Device) error
	}{
		"another hierarchy": {tpm2.TPMRCHierarchy, func(_ *testing.T, d *Device) error {
			_, err := tpm2.CreatePrimary{PrimaryHandle: tpm2.AuthHandle{Handle: tpm2.TPMRHOwner, Auth: tpm2.PasswordAuth(nil)}, InPublic: tpm2.New2B(tpm2.ECCEKTemplate)}.Execute(d)
			return err
		}},
		"wrong password": {tpm2.TPMRCBadAuth, func(_ *testing.T, d *Device) error {
			_, err := tpm2.CreatePrimary{PrimaryHandle: tpm2.AuthHandle{Handle: tpm2.TPMRHEndorsement, Auth: tpm2.PasswordAuth([]byte("x"))}, InPublic: tpm2.New2B(tpm2.ECCEKTemplate)}.Execute(d)
			return err
		}},
		"another template": {tpm2.TPMRCValue, func(_ *testing.T, d *Device) error {
			_, err := tpm2.CreatePrimary{PrimaryHandle: tpm2.AuthHandle{Handle: tpm2.TPMRHEndorsement, Auth: tpm2.PasswordAuth([]byte(password))}, InPublic: tpm2.New2B(tpm2.ECCSRKTemplate)}.Execute(d)
			return err
		}},
		"the EK by its password": {tpm2.TPMRCAuthUnavailable, func(_ *testing.T, d *Device) error {
			_, err := makeKey(d, d.t.ek.name, tpm2.PasswordAuth(nil), signingTemplate())
			return err
		}},
		"no policy": {tpm2.TPMRCPolicyFail, func(t *testing.T, d *Device) error {
			s, _, err := tpm2.PolicySession(d, tpm2.TPMAlgSHA256, 16)
			if err != nil {
				t.Fatal(err)
			}
			_, err = makeKey(d, d.t.ek.name, s, signingTemplate())
			return err
		}},
		"a policy twice": {tpm2.TPMRCPolicyFail, func(t *testing.T, d *Device) error {
			s := policyFor(t, d, password)
			if _, err := makeKey(d, d.t.ek.name, s, signingTemplate()); err != nil {
				t.Fatal(err)
			}
			_, err := makeKey(d, d.t.ek.name, s, signingTemplate())
			return err
		}},
		"an HMAC over another name": {tpm2.TPMRCAuthFail, func(t *testing.T, d *Device) error {
			_, err := makeKey(d, d.t.ak.name, policyFor(t, d, password), signingTemplate())
			return err
		}},
		"a key that is not restricted": {tpm2.TPMRCAttributes, func(t *testing.T, d *Device) error {
			template := signingTemplate()
			template.ObjectAttributes.Restricted = false
			_, err := makeKey(d, d.t.ek.name, policyFor(t, d, password), template)
			return err
		}},
		"a hash there is none of": {tpm2.TPMRCHash, func(t *testing.T, d *Device) error {
			template := signingTemplate()
			parms, _ := template.Parameters.ECCDetail()
			parms.Scheme.Details = tpm2.NewTPMUAsymScheme(tpm2.TPMAlgECDSA, &tpm2.TPMSSigSchemeECDSA{HashAlg: tpm2.TPMAlgSHA512})
			_, err := makeKey(d, d.t.ek.name, policyFor(t, d, password), template)
			return err
		}},
		"another key to load": {tpm2.TPMRCIntegrity, func(t *testing.T, d *Device) error {
			k, err := makeKey(d, d.t.ek.name, policyFor(t, d, password), signingTemplate())
			if err != nil {
				t.Fatal(err)
			}
			other, err := makeKey(d, d.t.ek.name, policyFor(t, d, password), signingTemplate())
			if err != nil {
				t.Fatal(err)
			}
			_, err = tpm2.Load{ParentHandle: tpm2.AuthHandle{Handle: ekHandle, Name: tpm2.TPM2BName{Buffer: d.t.ek.name}, Auth: policyFor(t, d, password)},
				InPrivate: k.OutPrivate, InPublic: other.OutPublic}.Execute(d)
			return err
		}},
		"no such handle": {tpm2.TPMRCHandle, func(_ *testing.T, d *Device) error {
			_, err := tpm2.ReadPublic{ObjectHandle: tpm2.TPMHandle(0x81010002)}.Execute(d)
			return err
		}},
		"flush of what stays": {tpm2.TPMRCHandle, func(_ *testing.T, d *Device) error {
			_, err := tpm2.FlushContext{FlushHandle: tpm2.TPMHandle(ekHandle)}.Execute(d)
			return err
		}},
		"a command it has not": {tpm2.TPMRCCommandCode, func(_ *testing.T, d *Device) error {
			_, err := tpm2.ReadClock{}.Execute(d)
			return err
		}},
		"a second start": {tpm2.TPMRCInitialize, func(_ *testing.T, d *Device) error {
			_, err := tpm2.Startup{StartupType: tpm2.TPMSUClear}.Execute(d)
			return err
		}},
		"more sessions than room": {tpm2.TPMRCSessionMemory, func(t *testing.T, d *Device) (err error) {
			for range 4 {
				_, _, err = tpm2.PolicySession(d, tpm2.TPMAlgSHA256, 16)
			}
			return err
		}},
		"more keys than room": {tpm2.TPMRCObjectMemory, func(_ *testing.T, d *Device) (err error) {
			for range 4 {
				_, err = tpm2.CreatePrimary{PrimaryHandle: tpm2.AuthHandle{Handle: tpm2.TPMRHEndorsement, Auth: tpm2.PasswordAuth([]byte(password))}, InPublic: tpm2.New2B(tpm2.ECCEKTemplate)}.Execute(d)
			}
			return err
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDevice(t, DeviceOptions{EndorsementAuth: []byte(password), Persistent: []uint32{ekHandle}})
			if err := c.call(t, d); !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
}

// TestDeviceSays: banks, handles, random numbers and keys at handles.
func TestDeviceSays(t *testing.T) {
	t.Parallel()
	d := newDevice(t, DeviceOptions{Persistent: []uint32{ekHandle}, PersistentAK: []uint32{0x81010003}})
	capability, err := tpm2.GetCapability{Capability: tpm2.TPMCapHandles, Property: 0x81000000, PropertyCount: 9}.Execute(d)
	if err != nil {
		t.Fatal(err)
	}
	handles, err := capability.CapabilityData.Data.Handles()
	if err != nil || len(handles.Handle) != 2 || handles.Handle[0] != ekHandle {
		t.Errorf("%v, %v", handles, err)
	}
	if capability, err = (tpm2.GetCapability{Capability: tpm2.TPMCapPCRs, PropertyCount: 1}).Execute(d); err != nil {
		t.Fatal(err)
	}
	there, err := capability.CapabilityData.Data.AssignedPCR()
	if err != nil || len(there.PCRSelections) != len(Banks()) {
		t.Errorf("%v, %v", there, err)
	}
	if _, err := (tpm2.GetCapability{Capability: tpm2.TPMCapECCCurves}).Execute(d); !errors.Is(err, tpm2.TPMRCValue) {
		t.Error(err)
	}
	random, err := tpm2.GetRandom{BytesRequested: 20}.Execute(d)
	if err != nil || len(random.RandomBytes.Buffer) != 20 {
		t.Errorf("%v, %v", random, err)
	}
	public, err := tpm2.ReadPublic{ObjectHandle: tpm2.TPMHandle(ekHandle)}.Execute(d)
	if err != nil || !bytes.Equal(tpm2.Marshal(public.OutPublic), d.t.EKPublic()) || !bytes.Equal(public.Name.Buffer, d.t.ek.name) {
		t.Errorf("%v, %v", public, err)
	}
}

// TestDeviceServe: the socket takes several commands and connections, and ends.
func TestDeviceServe(t *testing.T) {
	t.Parallel()
	d := newDevice(t, DeviceOptions{})
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- d.Serve(ctx, l) }()
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for range 2 {
		// go-tpm's own transport reads a response at once.
		if _, err := (tpm2.GetRandom{BytesRequested: 8}).Execute(transport.FromReadWriter(conn)); err != nil {
			t.Fatal(err)
		}
	}
	cut, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer cut.Close()
	if _, err := cut.Write(binary.BigEndian.AppendUint32([]byte{0x80, 1}, 1<<30)); err != nil {
		t.Fatal(err)
	}
	if _, err := cut.Write([]byte{0, 0, 0, 0}); err != nil {
		t.Fatal(err)
	}
	if n, err := cut.Read(make([]byte, 1)); err == nil {
		t.Errorf("%d octets of answer to a command of 1 GiB", n)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if _, err := net.Dial("unix", path); err == nil {
		t.Error("it still listens")
	}
}

// FuzzDevice: no command makes the device panic, and each is answered in form.
func FuzzDevice(f *testing.F) {
	tpm, err := New(Options{EKAlg: "ecc", AKAlg: "ecc"})
	if err != nil {
		f.Fatal(err)
	}
	recorded := &recorder{to: NewDevice(tpm, DeviceOptions{Persistent: []uint32{ekHandle}})}
	if s, _, err := tpm2.PolicySession(recorded, tpm2.TPMAlgSHA256, 16); err == nil {
		_, _ = tpm2.PolicySecret{AuthHandle: tpm2.TPMRHEndorsement, PolicySession: s.Handle()}.Execute(recorded)
	}
	_, _ = tpm2.CreatePrimary{PrimaryHandle: tpm2.TPMRHEndorsement, InPublic: tpm2.New2B(tpm2.ECCEKTemplate)}.Execute(recorded)
	_, _ = tpm2.PCRRead{PCRSelectionIn: tpm2.TPMLPCRSelection{PCRSelections: []tpm2.TPMSPCRSelection{{Hash: tpm2.TPMAlgSHA256, PCRSelect: []byte{1, 2, 3}}}}}.Execute(recorded)
	_, _ = tpm2.GetCapability{Capability: tpm2.TPMCapPCRs}.Execute(recorded)
	_, _ = tpm2.ReadPublic{ObjectHandle: tpm2.TPMHandle(ekHandle)}.Execute(recorded)
	for _, command := range recorded.sent {
		f.Add(command)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		d := NewDevice(tpm, DeviceOptions{Persistent: []uint32{ekHandle}})
		if len(data) >= 6 {
			binary.BigEndian.PutUint32(data[2:], uint32(len(data))) // past the first check
		}
		response, err := d.Send(data)
		if err != nil || len(response) < deviceHeader || int(binary.BigEndian.Uint32(response[2:])) != len(response) {
			t.Fatalf("%x, %v", response, err)
		}
	})
}

// recorder keeps the commands that pass through.
type recorder struct {
	to   transport.TPM
	sent [][]byte
}

func (r *recorder) Send(command []byte) ([]byte, error) {
	r.sent = append(r.sent, bytes.Clone(command))
	return r.to.Send(command)
}
