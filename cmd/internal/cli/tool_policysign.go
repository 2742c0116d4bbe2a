package cli

import (
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/keylime/keylime-tenant/cmd/internal/argparse"
	"github.com/keylime/keylime-tenant/policy/dsse"
	"github.com/keylime/keylime-tenant/policy/runtime"
)

// The ways to sign.
const (
	backendECDSA = "ecdsa"
	backendX509  = "x509"
)

// policyToolSign is keylime-policy sign runtime.
func policyToolSign(a *app, args []string) int {
	parser := argparse.Parser{Prog: policyProgram + " sign runtime", Options: []argparse.Option{
		{Names: []string{"-o", "--output"}, Dest: "output_file", Metavar: "OUTPUT_FILE", Help: "The output file path for the DSSE-signed policy"},
		{Names: []string{"-r", "--runtime-policy"}, Dest: "policy", Metavar: "POLICY", Required: true, Help: "The location of the runtime policy file"},
		{Names: []string{"-k", "--keyfile"}, Dest: "keyfile", Metavar: "KEYFILE", Help: "The EC private key to sign the policy with"},
		{Names: []string{"-p", "--keypath"}, Dest: "keypath", Metavar: "KEYPATH",
			Help: "The filename to write the created private key, if one is not provided via the --keyfile argument"},
		{Names: []string{"-b", "--backend"}, Dest: "backend", Metavar: "{ecdsa,x509}", Check: backend, Help: "DSSE backend to use; either ecdsa or x509"},
		{Names: []string{"-c", "--cert-outfile"}, Dest: "cert_outfile", Metavar: "CERT_OUTFILE",
			Help: "The output file path for the x509 certificate, if using x509 DSSE backend"},
	}}
	values, code, ended := a.parsePolicyTool(&parser, args)
	if ended {
		return code
	}
	get := func(dest string) string {
		value, _ := values.Get(dest)
		return value
	}
	log := toolLog{app: a, out: a.errOut()}
	s := toolSigning{keyFile: get("keyfile"), keyPath: get("keypath"), backend: strings.ToLower(get("backend")), cert: get("cert_outfile"), out: outFile{get("output_file")}}
	if s.keyFile != "" && s.keyPath != "" {
		return log.errorf("Only one of keyfile or keypath must be specified at once")
	}
	if s.keyPath == "" {
		s.keyPath = "keylime-ecdsa-key.pem"
	}
	if err := s.takeKey(a); errors.Is(err, fs.ErrNotExist) {
		log.errorf("The specified key '%s' does not exist", s.keyFile)
		return log.errorf("Unable to obtain a valid signer from the input data")
	} else if err != nil {
		log.errorf("%v", err)
		return log.errorf("Unable to obtain a valid signer from the input data")
	}
	if s.backend == backendX509 && s.cert == "" {
		log.errorf("x509 backend and no cerficate output file specified")
		return log.errorf("Unable to obtain a valid signer from the input data")
	}
	content, err := os.ReadFile(get("policy"))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return log.errorf("The runtime policy file specified (%s) does not seem to exist", get("policy"))
	case err != nil:
		return log.errorf("Error while attempting to sign the runtime policy '%s': %s", get("policy"), pythonError(err, get("policy")))
	}
	p, err := runtime.ParsePolicy(content)
	if err != nil {
		return log.errorf("Unable to validate the runtime policy '%s'; please make sure to provide a valid runtime policy: %v", get("policy"), err)
	}
	if s.out.path == "/dev/stdout" {
		s.out.path = ""
	}
	if err := s.sign(a, p.Marshal()); err != nil {
		return log.errorf("Unable to write signed policy to destination file '%s': %v", s.out.path, err)
	}
	return exitOK
}

// backend says what is wrong with the name of a backend; capitals are allowed.
func backend(text string) string {
	if slices.Contains([]string{backendECDSA, backendX509}, strings.ToLower(text)) {
		return ""
	}
	return "invalid choice: '" + strings.ToLower(text) + "' (choose from 'ecdsa', 'x509')"
}

// toolSigning is what both signing tools are asked to do.
type toolSigning struct {
	keyFile, keyPath string // one that exists, one to make
	backend, cert    string
	out              outFile

	key    *ecdsa.PrivateKey
	newPEM []byte
}

// takeKey reads the key or makes one.
func (s *toolSigning) takeKey(a *app) (err error) {
	if s.keyFile == "" {
		s.key, s.newPEM, err = dsse.NewKey(rand.Reader)
		return err
	}
	text, err := a.readFile("--keyfile", s.keyFile)
	if err != nil {
		return err
	}
	if s.key, err = dsse.ParsePrivateKey(text); err != nil {
		return fmt.Errorf("%s: %w", s.keyFile, err)
	}
	return nil
}

// sign signs and writes: the key first, since without it the rest is worth
// nothing, and like upstream over an older one.
func (s *toolSigning) sign(a *app, content []byte) error {
	// A key for a signature that then cannot be written would only confuse.
	if err := writable(s.out.path); err != nil {
		return &outputError{Path: s.out.path, Err: err}
	}
	var envelope, cert []byte
	var err error
	if s.backend == backendX509 {
		envelope, cert, err = dsse.SignX509(content, s.key, rand.Reader, a.now())
	} else {
		envelope, err = dsse.SignECDSA(content, s.key, rand.Reader)
	}
	if err != nil {
		return err
	}
	if s.newPEM != nil {
		if err := a.writeFile(s.keyPath, s.newPEM, 0o600); err != nil {
			return err
		}
	}
	if cert != nil {
		if err := a.writeFile(s.cert, cert, 0o644); err != nil {
			return err
		}
	}
	return a.writeText(s.out, envelope)
}

// signTool is keylime_sign_runtime_policy, which signs any bytes.
func signTool(_ context.Context, a *app, args []string) int {
	parser := argparse.Parser{Prog: "keylime_sign_runtime_policy", Options: []argparse.Option{
		{Names: []string{"-r", "--runtime_policy"}, Dest: "runtime_policy", Metavar: "RUNTIME_POLICY", Help: "Runtime policy file location"},
		{Names: []string{"-k", "--keyfile"}, Dest: "keyfile", Metavar: "KEYFILE", Help: "Private key to sign policy with"},
		{Names: []string{"-p", "--keypath"}, Dest: "keypath", Metavar: "KEYPATH", Help: "Filename to write created private key if -k is not specified"},
		{Names: []string{"-b", "--backend"}, Dest: "backend", Metavar: "BACKEND", Help: "DSSE backend to use; either ecdsa or x509"},
		{Names: []string{"-o", "--output_file"}, Dest: "output_file", Metavar: "OUTPUT_FILE", Help: "Output file path for DSSE-signed policy"},
		{Names: []string{"-c", "--certificate_output_file"}, Dest: "cert", Metavar: "CERTIFICATE_OUTPUT_FILE",
			Help: "Output file path for x509 certificate, if using x509 DSSE backend"},
	}}
	values, code, ended := a.parseChattyTool(&parser, args)
	if ended {
		return code
	}
	get := func(dest, otherwise string) string {
		if value, given := values.Get(dest); given {
			return value
		}
		return otherwise
	}
	s := toolSigning{keyFile: get("keyfile", ""), keyPath: get("keypath", ""), backend: get("backend", backendECDSA), cert: get("cert", "certificate.crt"),
		out: outFile{get("output_file", "")}}
	say := func(text string) int {
		fmt.Fprintln(a.out(), text)
		return exitFailure
	}
	path := get("runtime_policy", "")
	switch {
	case path == "":
		return say("Runtime policy is required!")
	case s.backend != backendECDSA && s.backend != backendX509:
		return say("Unsupported DSSE backend!")
	case s.keyFile != "" && s.keyPath != "":
		return say("Only one of -k and -p may be specified at once!")
	case s.out.path == "":
		return say("An output file path (-o, --output_file) is required to write new policy!")
	}
	if s.keyPath == "" {
		s.keyPath = "keylime-ecdsa-key"
	}
	if err := s.takeKey(a); err != nil {
		return say(err.Error())
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return say(pythonError(err, path))
	}
	if err := s.sign(a, content); err != nil {
		return say(err.Error())
	}
	return exitOK
}

// parseChattyTool reads the options of the tools that print their help where
// others print their usage.
func (a *app) parseChattyTool(parser *argparse.Parser, args []string) (values argparse.Values, code int, ended bool) {
	if len(args) == 0 {
		io.WriteString(a.out(), parser.Help())
		return values, exitOK, true
	}
	values, err := parser.Parse(args)
	var usage *argparse.UsageError
	if errors.As(err, &usage) {
		fmt.Fprintf(a.errOut(), "error: %s\n%s", usage.Text, parser.Help())
		return values, exitUsage, true
	}
	return a.parseTool(parser, args)
}
