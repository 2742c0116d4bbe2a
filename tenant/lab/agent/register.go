package agent

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"time"

	"github.com/keylime/keylime-tenant/client"
	"github.com/keylime/keylime-tenant/client/registrar"
	"github.com/keylime/keylime-tenant/payload"
)

const (
	// registerTries and registerPause are how long a registrar that is not there
	// yet is waited for.
	registerTries = 20
	registerPause = 250 * time.Millisecond
	// registerTimeout bounds one call to the registrar.
	registerTimeout = 20 * time.Second
)

// register tells the registrar the agent's keys, solves its challenge with the
// TPM and so activates the record (PROTOCOL.md 3.3 to 3.6). A registrar that
// cannot be reached is tried again for a few seconds.
func (a *Agent) register(ctx context.Context) error {
	transport, err := a.dialRegistrar()
	if err != nil {
		return err
	}
	defer transport.Close()
	for try := 1; ; try++ {
		err := a.registerOnce(ctx, transport)
		if err == nil || client.KindOf(err) != client.Unreachable || try == registerTries {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(registerPause):
		}
	}
}

func (a *Agent) dialRegistrar() (*client.Client, error) {
	config := client.Config{Name: client.RegistrarName, Host: a.config.RegistrarIP, Port: a.config.RegistrarPort, Timeout: registerTimeout}
	if a.config.RegistrarTLS {
		material, err := client.LoadTLS(client.TLSFiles{CAFiles: a.config.RegistrarCA, Anonymous: true, CAOption: "registrar_tls_ca_cert"})
		if err != nil {
			return nil, &ConfigError{File: "agent configuration", Cause: err.Error(), Err: err}
		}
		config.TLS = material
	}
	return client.New(config)
}

func (a *Agent) registerOnce(ctx context.Context, transport *client.Client) error {
	if _, err := transport.Negotiate(ctx); err != nil {
		return err
	}
	api := registrar.New(transport)
	request := a.registration(transport.Version())
	if err := a.addIdentity(&request, transport.Version()); err != nil {
		return err
	}
	blob, _, err := api.Register(ctx, a.id, request)
	if err != nil {
		return err
	}
	challenge, err := a.machine.tpm.ActivateCredential(blob)
	if err != nil {
		return fmt.Errorf("the TPM cannot open the registrar's challenge: %w", err)
	}
	// The HMAC's key is the text of the base64, not the challenge itself.
	key := payload.NewSecret([]byte(base64.StdEncoding.EncodeToString(challenge)))
	_, err = api.Activate(ctx, a.id, payload.AuthTag(key, a.id))
	return err
}

// addIdentity adds IAK and IDevID to a registration, and the proof that IAK and
// AK are in one TPM (PROTOCOL.md 3.3).
func (a *Agent) addIdentity(request *registrar.RegisterRequest, version client.Version) error {
	if a.iakCert == nil {
		return nil
	}
	hashed := sha256.Sum256([]byte(a.id))
	purpose := hashed[:]
	if version.Compare(client.Version{Major: 2, Minor: 6}) < 0 {
		purpose = []byte(a.id) // registrars of older versions know no other
	}
	tpm := a.machine.tpm
	attest, sign, err := tpm.Certify(purpose)
	if err != nil {
		return fmt.Errorf("certifying the AK with the IAK: %w", err)
	}
	encode := base64.StdEncoding.EncodeToString
	iakCert, idevidCert := encode(a.iakCert), encode(a.idevidCert)
	request.IAKTPM, request.IAKCert = encode(tpm.IAKPublic()), &iakCert
	request.IDevIDTPM, request.IDevIDCert = encode(tpm.IDevIDPublic()), &idevidCert
	request.IAKAttest, request.IAKSign = encode(attest), encode(sign)
	return nil
}

// registration is what the agent says of itself, in a version of the API.
func (a *Agent) registration(version client.Version) registrar.RegisterRequest {
	host, port := a.config.ContactIP, registrar.Port(a.config.ContactPort)
	if host == "" {
		host = a.config.IP
	}
	if port == 0 {
		port = registrar.Port(a.Port())
	}
	cert := registrar.Disabled
	if a.certPEM != "" {
		cert = a.certPEM
	}
	request := registrar.RegisterRequest{
		EKTPM:  base64.StdEncoding.EncodeToString(a.machine.tpm.EKPublic()),
		AIKTPM: base64.StdEncoding.EncodeToString(a.machine.tpm.AKPublic()),
		IP:     &host, Port: &port, MTLSCert: &cert,
	}
	if a.ekCert != nil {
		text := string(a.ekCert)
		// Registrars of older versions read base64 of DER alone.
		if leaf, _ := pem.Decode(a.ekCert); leaf != nil && version.Compare(client.Version{Major: 2, Minor: 3}) < 0 {
			text = base64.StdEncoding.EncodeToString(leaf.Bytes)
		}
		request.EKCert = &text
	}
	return request
}
