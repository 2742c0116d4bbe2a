package classic

import "github.com/keylime/keylime-tenant/cmd/internal/argparse"

// prog is the name in usage and messages, whatever name the program was called
// by.
const prog = "keylime_tenant"

// concern says what a verb does, and so which options concern it.
type concern uint

const (
	toRegistrar concern = 1 << iota
	toVerifier
	enrols
	checks // looks at the verifier's record first
	storesRuntime
	storesMB
	needsID
	namesRuntime // its argument is the name of a runtime policy
	namesMB

	nothing concern = 0
	always  concern = ^nothing
)

// verbs are those of the Python tenant (TENANT-CLI.md A.2).
func verbs() map[string]concern {
	return map[string]concern{
		"add":        needsID | toRegistrar | toVerifier | enrols,
		"update":     needsID | toRegistrar | toVerifier | enrols | checks,
		"delete":     needsID | toVerifier | checks,
		"reactivate": needsID | toVerifier | checks,
		"status":     needsID | toRegistrar | toVerifier,
		"cvstatus":   needsID | toVerifier,
		"cvlist":     toVerifier,
		"bulkinfo":   toVerifier,
		"regstatus":  needsID | toRegistrar,
		"regdelete":  needsID | toRegistrar,
		"reglist":    toRegistrar,

		"addruntimepolicy":    namesRuntime | toVerifier | storesRuntime,
		"updateruntimepolicy": namesRuntime | toVerifier | storesRuntime,
		"showruntimepolicy":   namesRuntime | toVerifier,
		"deleteruntimepolicy": namesRuntime | toVerifier,
		"listruntimepolicy":   toVerifier,
		"addmbpolicy":         namesMB | toVerifier | storesMB,
		"updatembpolicy":      namesMB | toVerifier | storesMB,
		"showmbpolicy":        namesMB | toVerifier,
		"deletembpolicy":      namesMB | toVerifier,
		"listmbpolicy":        toVerifier,

		"addallowlist":    namesRuntime | toVerifier | storesRuntime,
		"showallowlist":   namesRuntime | toVerifier,
		"deleteallowlist": namesRuntime | toVerifier,
	}
}

// option is one option of the command line.
type option struct {
	// concerns are the verbs that it is handed on for, one of them is enough;
	// flag is its name in the tree.
	concerns concern
	flag     string
	argparse.Option
}

// The two beginnings that the help of many options has.
const (
	oldKeys  = "DEPRECATED: Provide verification keys as part of a runtime policy for continued functionality. "
	oldLists = "DEPRECATED: Migrate to runtime policies for continued functionality. "
)

// options is the option table of the Python tenant 7.14.3 (TENANT-CLI.md A.3)
// in order of definition, its help word for word, and at the end our own.
func options() []option {
	return []option{
		{nothing, "", argparse.Option{Names: []string{"-c", "--command"}, Dest: "command",
			Help: "valid commands are add,delete,update,regstatus,cvstatus,status,reglist,cvlist,reactivate,regdelete,bulkinfo," +
				"addruntimepolicy,showruntimepolicy,deleteruntimepolicy,updateruntimepolicy,listruntimepolicy," +
				"addmbpolicy,showmbpolicy,deletembpolicy,updatembpolicy,listmbpolicy. defaults to add"}},
		{enrols, "push-model", argparse.Option{Names: []string{"--push-model"}, Dest: "push_model", NArgs: argparse.None,
			Help: "Enable push model (avoid requests to keylime-agent)"}},
		{enrols, "targethost", argparse.Option{Names: []string{"-t", "--targethost"}, Dest: "agent_ip",
			Help: "the IP address of the host to provision"}},
		{enrols, "targetport", argparse.Option{Names: []string{"-tp", "--targetport"}, Dest: "agent_port",
			Help: "the Port of the host to provision"}},
		{toRegistrar, "registrarhost", argparse.Option{Names: []string{"-r", "--registrarhost"}, Dest: "registrar_ip",
			Help: "the IP address of the registrar where to retrieve the agents data from."}},
		{toRegistrar, "registrarport", argparse.Option{Names: []string{"-rp", "--registrarport"}, Dest: "registrar_port",
			Help: "the port of the registrar."}},
		{enrols, "cv-targethost", argparse.Option{Names: []string{"--cv_targethost"}, Dest: "cv_agent_ip",
			Help: "the IP address of the host to provision that the verifier will use (optional).  Use only if different than argument to option -t/--targethost"}},
		{toVerifier, "cv", argparse.Option{Names: []string{"-v", "--cv"}, Dest: "verifier_ip",
			Help: "the IP address of the cloud verifier"}},
		{toVerifier, "cvport", argparse.Option{Names: []string{"-vp", "--cvport"}, Dest: "verifier_port",
			Help: "the port of the cloud verifier"}},
		{toVerifier, "cvid", argparse.Option{Names: []string{"-vi", "--cvid"}, Dest: "verifier_id",
			Help: "the unique identifier of a cloud verifier"}},
		{checks, "no-verifier-check", argparse.Option{Names: []string{"-nvc", "--no-verifier-check"}, Dest: "verifier_check", NArgs: argparse.None,
			Help: "Disable the check to confirm if the agent is being processed by the specified verifier. Use only with -c/--command delete or reactivate"}},
		{nothing, "", argparse.Option{Names: []string{"-u", "--uuid"}, Dest: "agent_uuid",
			Help: "UUID for the agent to provision"}},
		{enrols, "file", argparse.Option{Names: []string{"-f", "--file"}, Dest: "file",
			Help: "Deliver the specified plaintext to the provisioned agent"}},
		{enrols, "cert", argparse.Option{Names: []string{"--cert"}, Dest: "ca_dir",
			Help: `Create and deliver a certificate using a CA created by ca-util. Pass in the CA directory or use "default" to use the standard dir`}},
		{enrols, "key", argparse.Option{Names: []string{"-k", "--key"}, Dest: "keyfile",
			Help: "an intermedia key file produced by user_data_encrypt"}},
		{enrols, "payload", argparse.Option{Names: []string{"-p", "--payload"}, Dest: "payload",
			Help: "Specify the encrypted payload to deliver with encrypted keys specified by -k"}},
		{enrols, "include", argparse.Option{Names: []string{"--include"}, Dest: "incl_dir",
			Help: "Include additional files in provided directory in certificate zip file.  Must be specified with --cert"}},
		{enrols | storesRuntime, "allowlist", argparse.Option{Names: []string{"--allowlist"}, Dest: "allowlist",
			Help: oldLists + "Specify the file path of an allowlist"}},
		{enrols | storesRuntime, "runtime-policy", argparse.Option{Names: []string{"--runtime-policy"}, Dest: "runtime_policy",
			Help: "Specify the file path of a runtime policy"}},
		{enrols, "signature-verification-key", argparse.Option{Names: []string{"--signature-verification-key", "--sign_verification_key"}, Dest: "ima_sign_verification_keys", Append: true,
			Help: oldKeys + "Specify an IMA file signature verification key"}},
		{enrols, "signature-verification-key-sig", argparse.Option{Names: []string{"--signature-verification-key-sig"}, Dest: "ima_sign_verification_key_sigs", Append: true,
			Help: oldKeys + "Specify the GPG signature file for an IMA file signature verification key; pair this option with --signature-verification-key"}},
		{enrols, "signature-verification-key-sig-key", argparse.Option{Names: []string{"--signature-verification-key-sig-key"}, Dest: "ima_sign_verification_key_sig_keys", Append: true,
			Help: oldKeys + "Specify the GPG public key file use to validate the --signature-verification-key-sig; pair this option with --signature-verification-key"}},
		{enrols, "signature-verification-key-url", argparse.Option{Names: []string{"--signature-verification-key-url"}, Dest: "ima_sign_verification_key_urls", Append: true,
			Help: oldKeys + "Specify the URL for a remote IMA file signature verification key"}},
		{enrols, "signature-verification-key-sig-url", argparse.Option{Names: []string{"--signature-verification-key-sig-url"}, Dest: "ima_sign_verification_key_sig_urls", Append: true,
			Help: oldKeys + "Specify the URL for the remote GPG signature of a remote IMA file signature verification key; pair this option with --signature-verification-key-url"}},
		{enrols, "signature-verification-key-sig-url-key", argparse.Option{Names: []string{"--signature-verification-key-sig-url-key"}, Dest: "ima_sign_verification_key_sig_url_keys", Append: true,
			Help: oldKeys + "Specify the GPG public key file used to validate the --signature-verification-key-sig-url; pair this option with --signature-verification-key-url"}},
		{enrols | storesMB, "mb-policy", argparse.Option{Names: []string{"--mb_refstate"}, Dest: "mb_policy",
			Help: "Specify the location of a measure boot reference state (intended state). This option could be deprecated. Use --mb-policy instead."}},
		{enrols | storesRuntime, "allowlist-url", argparse.Option{Names: []string{"--allowlist-url"}, Dest: "allowlist_url",
			Help: oldLists + "Specify the URL of a remote allowlist"}},
		{enrols | storesRuntime, "exclude", argparse.Option{Names: []string{"--exclude"}, Dest: "ima_exclude",
			Help: oldLists + "Specify the location of an IMA exclude list"}},
		{enrols | storesRuntime, "runtime-policy-checksum", argparse.Option{Names: []string{"--runtime-policy-checksum"}, Dest: "runtime_policy_checksum",
			Help: "Specify the SHA-256 checksum of a runtime policy"}},
		{enrols | storesRuntime, "runtime-policy-sig-key", argparse.Option{Names: []string{"--runtime-policy-sig-key"}, Dest: "runtime_policy_sig_key",
			Help: "Specify the public key file used to validate the --runtime-policy-sig or --runtime-policy-sig-url"}},
		{enrols | storesRuntime, "runtime-policy-url", argparse.Option{Names: []string{"--runtime-policy-url"}, Dest: "runtime_policy_url",
			Help: "Specify the URL of a remote runtime policy"}},
		{enrols | storesRuntime, "tpm-policy", argparse.Option{Names: []string{"--tpm_policy"}, Dest: "tpm_policy",
			Help: `Specify a TPM policy in JSON format. e.g., {"15":"0000000000000000000000000000000000000000"}`}},
		{enrols, "verify", argparse.Option{Names: []string{"--verify"}, Dest: "verify", NArgs: argparse.None,
			Help: "Block on cryptographically checked key derivation confirmation from the agent once it has been provisioned"}},
		{nothing, "", argparse.Option{Names: []string{"--allowlist-name"}, Dest: "allowlist_name",
			Help: oldLists + "The name of allowlist to operate with"}},
		{enrols, "runtime-policy-name", argparse.Option{Names: []string{"--runtime-policy-name"}, Dest: "runtime_policy_name",
			Help: "The name of the runtime policy to operate with"}},
		{enrols | storesMB, "mb-policy", argparse.Option{Names: []string{"--mb-policy"}, Dest: "mb_policy",
			Help: "The measure boot policy to operate with"}},
		{enrols, "mb-policy-name", argparse.Option{Names: []string{"--mb-policy-name"}, Dest: "mb_policy_name",
			Help: "The name of the measure boot policy to operate with"}},
		{enrols, "agent-api-version", argparse.Option{Names: []string{"--agent-api-version"}, Dest: "agent_api_version",
			Help: "API version to use for agent communication. Detected automatically by default"}},
		{nothing, "", argparse.Option{Names: []string{"--supported-version"}, Dest: "supported_version",
			Help: "DEPRECATED: Use --agent-api-version instead. API version to use for agent communication"}},
		{always, "output", argparse.Option{Names: []string{"-o", "--output"}, Dest: "output", Own: true}},
		{always, "timeout", argparse.Option{Names: []string{"--timeout"}, Dest: "timeout", Own: true}},
		{always, "show-secrets", argparse.Option{Names: []string{"--show-secrets"}, Dest: "show_secrets", NArgs: argparse.None, Own: true}},
		{always, "check-hostname", argparse.Option{Names: []string{"--check-hostname"}, Dest: "check_hostname", NArgs: argparse.None, Own: true}},
		{always, "insecure-skip-server-verification", argparse.Option{Names: []string{"--insecure-skip-server-verification"}, Dest: "insecure", NArgs: argparse.None, Own: true}},
		{always, "quiet", argparse.Option{Names: []string{"--quiet"}, Dest: "quiet", NArgs: argparse.None, Own: true}},
		{always, "verbose", argparse.Option{Names: []string{"--verbose"}, Dest: "verbose", NArgs: argparse.None, Own: true}},
		{always, "debug", argparse.Option{Names: []string{"--debug"}, Dest: "debug", NArgs: argparse.None, Own: true}},
		{always, "no-color", argparse.Option{Names: []string{"--no-color"}, Dest: "no_color", NArgs: argparse.None, Own: true}},
	}
}

// parser is the command line for package argparse.
func parser() *argparse.Parser {
	p := &argparse.Parser{Prog: prog}
	for _, o := range options() {
		p.Options = append(p.Options, o.Option)
	}
	return p
}
