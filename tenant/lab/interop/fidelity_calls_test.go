//go:build interop

package interop

import "strings"

// The rows of "Decided differences" (TENANT-CLI.md section D), as the table of
// TestFidelity names them.
const (
	rowExclude   = "--exclude without --allowlist is accepted and checked"
	rowBoolean   = "misspelt booleans are configuration errors"
	rowTLS       = "configured CAs only, missing key or CA is an error before anything is sent"
	rowCause     = "the true cause instead of a made-up 404, and no traceback"
	rowEarly     = "everything is checked before the first packet"
	rowConflict  = "the verifier's reason for a 409 is told"
	rowSource    = "a policy verb without a policy is refused"
	rowSchema    = "a runtime policy against the schema is told beforehand, and sent all the same"
	rowPCR       = "PCR 0-23, digests of a known length"
	rowPush      = "a payload in the push model is told to be withheld"
	rowIDs       = "the default id is only spoken of where an id is used"
	rowDots      = "dots alone are no id"
	rowAbsent    = "delete and regdelete say that there was nothing"
	rowVersions  = "versions are compared as integers, other spellings refused"
	rowEK        = "EK certificates: a real chain, key equality, and the cause"
	rowLevels    = "-o prints the result whatever the log level"
	rowNoConfig  = "built-in defaults where there is no configuration"
	rowUndo      = "what a failed add leaves on the verifier is removed, and told (DESIGN 4)"
	rowBody      = "an ERROR record that reports a refusal holds the server's body (section F)"
	rowTree      = "a first word is a verb of the new grammar, and -h alone explains both"
	rowGlued     = "glued values of multi-letter options are refused"
	rowUpdate    = "update checks everything first and never leaves the agent alone"
	rowNames     = "policy names are escaped and checked"
	rowMask      = "the owner of a PCR is told for named policies too"
	rowAddress   = "requests go where the user pointed"
	rowKeyFile   = "a key file that holds no keys is told"
	rowAllowlist = "a wrong allowlist is one line"
)

// plain makes calls that must be equal.
func plain(s state, prefix string, argvs ...string) []call {
	var calls []call
	for _, argv := range argvs {
		verb := strings.Fields(argv + " -c add")
		calls = append(calls, call{name: prefix + " " + verb[1], state: s, argv: argv, code: -1})
	}
	return calls
}

// decidedCalls makes calls whose outputs differ for one decided reason.
func decidedCalls(s state, row string, code int, argvs ...string) []call {
	calls := plain(s, "decided", argvs...)
	for n := range calls {
		calls[n].differs, calls[n].code = row, code
	}
	return calls
}

// withEnv gives every call the same settings.
func withEnv(env string, calls []call) []call {
	for n := range calls {
		calls[n].env = append(calls[n].env, env)
	}
	return calls
}

// callGroup is a set of calls that a run can be limited to.
type callGroup struct {
	name  string
	calls []call
}

// fidelityCalls lists the calls; equal states stand together, since changing
// the state costs time.
func fidelityCalls() []callGroup {
	return []callGroup{
		{"usage", usageCalls()}, {"registered", registeredCalls()}, {"enrolled", enrolledCalls()},
		{"add", addCalls()}, {"policies", policyCalls()}, {"trouble", troubleCalls()},
	}
}

func usageCalls() []call {
	var all []call
	for _, argv := range []string{
		"-u", "-c", "-u -x", "-u --", "-- add", "-c cvlist extra", "--c cvlist", "--t x", "--r x", "--p x", "--s x", "--sig x", "--sign x",
		"--al x", "--mb x", "--run x", "--regis x", "--runtime-p x", "--push-model=1", "-hx", "-nvcx", "--no-such-option", "--cert", "-f", "-k", "--tpm_policy",
		"--mb-policy", "--cv_targethost", "-tp", "-rp", "-vp", "-vi", "--runtime-policy a --runtime-policy-url http://x", "--runtime-policy-url http://x",
		"--runtime-policy-checksum aa", "--allowlist a --allowlist-url http://x", "-c addruntimepolicy --runtime-policy-name x", "-c addallowlist --allowlist-name x",
		"-c cvlist --runtime-policy-url http://x", "-c addruntimepolicy --runtime-policy-name list6 --tpm_policy {}", "--h", "-c cvlist -h",
	} {
		all = append(all, call{name: "usage", argv: argv, code: -1})
	}
	all = append(all, decidedCalls(registered, rowTree, 2, "extra", "@file")...)
	all = append(all, decidedCalls(registered, rowTree, 0, "-h", "--help")...)
	all = append(all, decidedCalls(registered, rowGlued, 2, "-c cvlist -vp8881", "-c cvlist -tp9002", "-c cvlist -rp8891", "-c cvlist -vi7")...)
	all = append(all, decidedCalls(registered, rowExclude, 1, "-c add -u $BAD --exclude $FIX/exclude.txt")...)
	return all
}

func registeredCalls() []call {
	var all []call
	all = append(all, plain(registered, "unknown", "-c add -u $BAD", "-c update -u $BAD", "-c status -u $BAD", "-c cvstatus -u $BAD", "-c regstatus -u $BAD",
		"-c reactivate -u $BAD", "-c update -u $BAD -nvc", "-c status -u $BAD --push-model", "-c cvstatus -u $BAD --push-model",
		"-c add -u $BAD -t 127.0.0.1", "-c cvstatus -u D432FBB3", "-c add -u $BAD --push-model", "-c cvstatus --uuid $BAD", "--uuid $BAD -c regstatus", "-c=cvstatus -u=$BAD", "-ccvstatus -u$BAD")...)
	all = append(all, decidedCalls(registered, rowAbsent, 0, "-c delete -u $BAD", "-c delete -u $BAD -nvc", "-c delete -u $ID", "-c delete -u $ID -nvc")...)
	all = append(all, decidedCalls(registered, rowBody, 1, "-c reactivate -u $BAD -nvc", "-c reactivate -u $ID -nvc")...)
	all = append(all, plain(registered, "unknown", "-c regdelete -u $BAD")...)
	all = append(all, plain(registered, "registered", "-c status -u $ID", "-c cvstatus -u $ID", "-c regstatus -u $ID", "-c regstatus", "-c cvstatus",
		"-c reactivate -u $ID", "-c regstatus -u $ID --push-model", "-c status", "-c status -u $ID -nvc", "-c regstatus -u $ID --verify", "-c regstatus -u $ID -f nosuch")...)
	all = append(all, decidedCalls(registered, rowIDs, 0, "-c reglist", "-c cvlist", "-c bulkinfo", "-c listruntimepolicy", "-c listmbpolicy")...)
	all = append(all, plain(registered, "lists", "-c reglist -u $ID", "-c cvlist -u $ID", "-c cvlist -u $ID -vi default", "-c cvlist -u $ID -vi other", "-c bulkinfo -u $ID", "-c bulkinfo -u $ID -vi other",
		"-c listruntimepolicy -u $ID", "-c listmbpolicy -u $ID", "-c cvlist --supported-version 2.1 -u $ID", "-c cvlist -u $ID --push", "-c reglist -u $ID -vi x", "-c frobnicate -u $ID")...)
	all = append(all, append(decidedCalls(registered, rowDots, 1, "-c cvstatus -u ..", "-c cvstatus -u ."), decidedCalls(registered, rowIDs, 1, "-c frobnicate")...)...)
	all = append(all, call{name: "id with a blank", argv: "-c cvstatus -u", args: []string{"bad uuid"}, code: -1},
		call{name: "id with a slash", argv: "-c cvstatus -u a/b", code: -1},
		call{name: "bad id, verb without", argv: "-c cvlist -u", args: []string{"bad uuid"}, code: -1})
	return all
}

func enrolledCalls() []call {
	var all []call
	all = append(all, plain(enrolled, "enrolled", "-c status -u $ID", "-c cvstatus -u $ID", "-c cvlist -u $ID", "-c bulkinfo -u $ID", "-c bulkinfo -u $ID -vi default", "-c cvlist -u $ID -vi default",
		"-c cvlist -u $ID -vi other", "-c bulkinfo -u $ID -vi other", "-c cvstatus -u $ID -vi xyz", "-c cvstatus -u $ID --push-model", "-c bulkinfo -u $ID --push-model", "-c status -u $ID --push-model",
		"-c cvstatus", "-c status", "-c regstatus -u $ID", "-u $ID -c cvstatus -t 127.0.0.1", "-c cvstatus -u $ID -v 127.0.0.1", "-c cvstatus -u $ID -nvc", "-c cvstatus -u $ID --agent-api-version 2.2")...)
	all = append(all, plain(enrolled, "enrolled", "-c reactivate -u $ID", "-c reactivate -u $ID -nvc", "-c delete -u $ID", "-c delete -u $ID -nvc", "-c delete -u $ID -t 127.0.0.1", "-c delete -u $ID --push-model")...)
	all = append(all, decidedCalls(enrolled, rowConflict, 1, "-c add -u $ID -t 127.0.0.1")...)
	all = append(all, decidedCalls(enrolled, rowUpdate, 0, "-c update -u $ID", "-c update -u $ID -nvc", "-c update -u $ID -t 127.0.0.1")...)
	all = append(all, decidedCalls(enrolled, rowEarly, 1, "-c update -u $ID --tpm_policy {x", "-c update -u $ID -f nosuch.txt")...)
	all = append(all, plain(broken, "invalid quote", "-c cvstatus -u $ID", "-c status -u $ID", "-c bulkinfo -u $ID", "-c delete -u $ID")...)
	return all
}

func addCalls() []call {
	zeros, ones := strings.Repeat("0", 64), strings.Repeat("f", 64)
	all := plain(registered, "add", "-c add -u $ID", "-u $ID", "-c add", "-c add -u $ID -t 127.0.0.1 --cv_targethost 127.0.0.1", "-c add -u $ID -v 127.0.0.1 -r 127.0.0.1 -vi xyz",
		"-c add -u $ID --push-model", "-c add -u $ID -f $FIX/payload.txt", "-c add -u $ID -f $FIX/payload.txt --verify", "-c add -u $ID -k $FIX/content_keys.txt -p $FIX/content_payload.txt --verify",
		"-c add -u $ID -k $FIX/content_keys.txt", "-c add -u $ID --runtime-policy $FIX/rp-good.json", "-c add -u $ID --runtime-policy $FIX/rp-good.json --runtime-policy-name rpx",
		"-c add -u $ID --runtime-policy $FIX/rp-signed.json --runtime-policy-sig-key $FIX/ec.pub", "-c add -u $ID --allowlist $FIX/allowlist.txt", "-c add -u $ID --allowlist $FIX/allowlist.txt --exclude $FIX/exclude.txt",
		"-c add -u $ID --mb-policy $FIX/mb-empty.json", "-c add -u $ID --mb_refstate $FIX/mb-empty.json", "-c add -u $ID --mb-policy $FIX/mb-empty.json --mb-policy-name mbx",
		"-c add -u $ID --signature-verification-key $FIX/rsa.pub", "-c add -u $ID --signature-verification-key $FIX/rsa.pub --runtime-policy $FIX/rp-good.json", "-c add -u $ID --sign_verification_key $FIX/rsa.pub",
		"-c add -u $ID --tpm_policy {}", "-c add -u $ID --agent-api-version 2.2", "-c add -u $ID --supported-version 2.2", "-c add -u $ID --file $FIX/payload.txt")
	all = append(all, call{name: "tpm_policy", argv: "-c add -u $ID --tpm_policy", args: []string{`{"22": "` + strings.ToUpper(ones) + `"}`}, code: -1},
		call{name: "tpm_policy, a list", argv: "-c add -u $ID --tpm_policy", args: []string{`{"22": ["` + ones + `", "` + zeros + `"]}`}, code: -1},
		call{name: "tpm_policy, PCR 15", argv: "-c add -u $ID --tpm_policy", args: []string{`{"15": "` + zeros + `"}`}, code: -1})
	for pcr, row := range map[string]string{"16": rowEarly, "10": rowEarly, "24": rowPCR, "25": rowPCR, "-1": rowPCR} {
		all = append(all, call{name: "tpm_policy, PCR " + pcr, argv: "-c add -u $ID --tpm_policy", args: []string{`{"` + pcr + `": "` + zeros + `"}`}, differs: row, code: 1, want: []string{" - ERROR - "}})
	}
	all = append(all, call{name: "tpm_policy owned", argv: "-c add -u $ID --mb-policy $FIX/mb-good.json --tpm_policy", args: []string{`{"0": "` + zeros + `"}`}, differs: rowEarly, code: 1,
		want: []string{`ERROR - WARNING: PCR 0 is specified in "tpm_policy", but will in fact be used by measured boot. Please remove it from policy`}},
		call{name: "tpm_policy owned, by name", argv: "-c add -u $ID --mb-policy-name nosuch --tpm_policy", args: []string{`{"0": "` + zeros + `"}`}, differs: rowMask, code: 1, want: []string{"Could not find mb_policy with name nosuch!"}})
	all = append(all, decidedCalls(registered, rowEarly, 1, "-c add -u $ID --verify", "-c add -u $ID -f $FIX/payload.txt --cert $FIX/ca", "-c add -u $ID -k $FIX/content_keys.txt --cert $FIX/ca", "-c add -u $ID -f nosuch.txt",
		"-c add -u $ID --tpm_policy [1]", "-c add -u $ID --tpm_policy payload.txt", "-c add -u $ID --runtime-policy $FIX/rp-malformed.json", "-c add -u $ID --runtime-policy $FIX/empty.txt", "-c add -u $ID --runtime-policy $FIX/incl",
		"-c add -u $ID --runtime-policy nosuch.json", "-c add -u $ID --runtime-policy $FIX/rp-good.json --runtime-policy-checksum 00", "-c add -u $ID --runtime-policy $FIX/rp-signed.json --runtime-policy-sig-key $FIX/ec2.pub",
		"-c add -u $ID --runtime-policy $FIX/rp-signed-tampered.json --runtime-policy-sig-key $FIX/ec.pub", "-c add -u $ID --runtime-policy $FIX/rp-signed.json --runtime-policy-sig-key nosuch.pub",
		"-c add -u $ID --runtime-policy $FIX/rp-good.json --runtime-policy-sig-key $FIX/ec.pub", "-c add -u $ID --runtime-policy $FIX/rp-signed.json", "-c add -u $ID --mb-policy default", "-c add -u $ID --mb-policy nosuch.json",
		"-c add -u $ID --mb-policy $FIX/mb-malformed.json", "-c add -u $ID --include $FIX/incl")...)
	all = append(all, decidedCalls(registered, rowAllowlist, 1, "-c add -u $ID --allowlist $FIX/rp-good.json", "-c add -u $ID --allowlist nosuch", "-c add -u $ID --allowlist $FIX/allowlist.txt --exclude nosuch")...)
	all = append(all, decidedCalls(registered, rowExclude, 0, "-c add -u $ID --exclude $FIX/exclude.txt")...)
	all[len(all)-1].want = []string{" - WARNING - "}
	all = append(all, decidedCalls(registered, rowAbsent, 0, "-c update -u $ID")...)
	all = append(all, decidedCalls(registered, rowKeyFile, 0, "-c add -u $ID -k $FIX/payload.txt", "-c add -u $ID -p $FIX/content_payload.txt")...)
	all = append(all, decidedCalls(registered, rowSchema, 1, "-c add -u $ID --runtime-policy $FIX/rp-schema-bad.json")...)
	all[len(all)-1].want = []string{"Runtime policy is malformatted: "}
	all = append(all, decidedCalls(registered, rowPush, 0, "-c add -u $ID --push-model -f $FIX/payload.txt", "-c add -u $ID --push-model --verify -f $FIX/payload.txt")...)
	all = append(all, decidedCalls(registered, rowVersions, 1, "-c add -u $ID --agent-api-version 9.9", "-c add -u $ID --agent-api-version foo")...)
	all = append(all, plain(registered, "add, no such policy", "-c add -u $ID --runtime-policy-name nosuch", "-c add -u $ID --allowlist-name nosuch")...)
	all = append(all, decidedCalls(registered, rowUndo, 1, "-c add -u $ID --mb-policy-name nosuch")...)
	all[len(all)-1].want = []string{"Response code 404: Could not find mb_policy with name nosuch!", "was removed"}
	all = append(all, plain(stored, "add, stored policies", "-c add -u $ID --runtime-policy-name rp1", "-c add -u $ID --mb-policy-name mb1", "-c add -u $ID --allowlist-name rp1")...)
	all = append(all, decidedCalls(stored, rowConflict, 1, "-c add -u $ID --runtime-policy-name rp1 --runtime-policy $FIX/rp-good.json", "-c add -u $ID --mb-policy-name mb1 --mb-policy $FIX/mb-good.json")...)
	return all
}

func policyCalls() []call {
	with := " -u $ID"
	var all []call
	group := func(s state, argvs ...string) {
		for n := range argvs {
			argvs[n] += with
		}
		all = append(all, plain(s, "policy", argvs...)...)
	}
	group(registered, "-c addruntimepolicy --runtime-policy-name p1 --runtime-policy $FIX/rp-good.json", "-c addruntimepolicy --runtime-policy $FIX/rp-good.json",
		"-c addruntimepolicy --runtime-policy-name p2 --allowlist $FIX/allowlist.txt", "-c addruntimepolicy --runtime-policy-name p2 --allowlist $FIX/allowlist.txt --exclude $FIX/exclude.txt",
		"-c addruntimepolicy --runtime-policy-name p5 --runtime-policy $FIX/rp-signed.json --runtime-policy-sig-key $FIX/ec.pub", "-c showruntimepolicy --runtime-policy-name nosuch", "-c showruntimepolicy",
		"-c deleteruntimepolicy --runtime-policy-name nosuch", "-c deleteruntimepolicy", "-c updateruntimepolicy --runtime-policy $FIX/rp-good.json", "-c updateruntimepolicy --runtime-policy-name nosuch --runtime-policy $FIX/rp-good.json",
		"-c addallowlist --allowlist-name p7 --allowlist $FIX/allowlist.txt", "-c showallowlist --allowlist-name nosuch", "-c deleteallowlist --allowlist-name nosuch",
		"-c addmbpolicy --mb-policy-name m1 --mb-policy $FIX/mb-good.json", "-c addmbpolicy --mb-policy-name m1 --mb_refstate $FIX/mb-empty.json", "-c addmbpolicy --mb-policy $FIX/mb-good.json",
		"-c showmbpolicy --mb-policy-name nosuch", "-c showmbpolicy", "-c deletembpolicy --mb-policy-name nosuch", "-c deletembpolicy", "-c updatembpolicy --mb-policy $FIX/mb-good.json",
		"-c updatembpolicy --mb-policy-name nosuch --mb-policy $FIX/mb-good.json")
	group(stored, "-c addruntimepolicy --runtime-policy-name rp1 --runtime-policy $FIX/rp-good.json", "-c listruntimepolicy", "-c showruntimepolicy --runtime-policy-name rp1", "-c showruntimepolicy --allowlist-name rp1",
		"-c showallowlist --allowlist-name rp1", "-c updateruntimepolicy --runtime-policy-name rp1 --runtime-policy $FIX/rp-bad.json", "-c deleteruntimepolicy --runtime-policy-name rp1", "-c deleteruntimepolicy --allowlist-name rp1",
		"-c addmbpolicy --mb-policy-name mb1 --mb-policy $FIX/mb-good.json", "-c listmbpolicy", "-c showmbpolicy --mb-policy-name mb1", "-c updatembpolicy --mb-policy-name mb1 --mb-policy $FIX/mb-other.json", "-c deletembpolicy --mb-policy-name mb1",
		"-c showruntimepolicy --runtime-policy-name nosuch --allowlist-name rp1", "-c deleteallowlist --allowlist-name rp1")
	group(inUse, "-c deleteruntimepolicy --runtime-policy-name rp1", "-c deletembpolicy --mb-policy-name mb1", "-c showmbpolicy --mb-policy-name $ID", "-c showruntimepolicy --runtime-policy-name rp1")
	all = append(all, decidedCalls(registered, rowSource, 1, "-c updateruntimepolicy --runtime-policy-name p1", "-c addmbpolicy --mb-policy-name m2", "-c updatembpolicy --mb-policy-name m2")...)
	all = append(all, decidedCalls(registered, rowEarly, 1, "-c addruntimepolicy --runtime-policy-name p2 --runtime-policy nosuch", "-c addmbpolicy --mb-policy-name m3 --mb-policy nosuch", "-c addmbpolicy --mb-policy-name m3 --mb-policy default",
		"-c addruntimepolicy --runtime-policy-name p2 --runtime-policy $FIX/rp-good.json --runtime-policy-checksum 00")...)
	all = append(all, decidedCalls(registered, rowSchema, 1, "-c addruntimepolicy --runtime-policy-name p2 --runtime-policy $FIX/rp-schema-bad.json")...)
	all[len(all)-1].want = []string{"Runtime policy is malformatted: "}
	all = append(all, decidedCalls(registered, rowNames, 1, "-c addruntimepolicy --runtime-policy-name p/3 --runtime-policy $FIX/rp-good.json", "-c showruntimepolicy --runtime-policy-name p/3")...)
	all = append(all, call{name: "policy name with a blank", argv: "-c showruntimepolicy -u $ID --runtime-policy-name", args: []string{"p 4"}, code: -1})
	return all
}

func troubleCalls() []call {
	var all []call
	down := func(row string, argvs ...string) {
		calls := decidedCalls(registered, row, 1, argvs...)
		for n := range calls {
			calls[n].want = []string{" - ERROR - "}
		}
		all = append(all, calls...)
	}
	down(rowCause, "-c add -u $ID -rp 9 -vp 9", "-c delete -u $ID -rp 9 -vp 9", "-c status -u $ID -rp 9 -vp 9", "-c regstatus -u $ID -rp 9 -vp 9", "-c reactivate -u $ID -rp 9 -vp 9", "-c cvlist -u $ID -rp 9 -vp 9",
		"-c bulkinfo -u $ID -rp 9 -vp 9", "-c reglist -u $ID -rp 9", "-c listruntimepolicy -u $ID -vp 9", "-c showruntimepolicy -u $ID --runtime-policy-name p -vp 9",
		"-c addruntimepolicy -u $ID --runtime-policy-name p --runtime-policy $FIX/rp-good.json -vp 9", "-c showmbpolicy -u $ID --mb-policy-name p -vp 9", "-c deletembpolicy -u $ID --mb-policy-name p -vp 9",
		"-c add -u $ID -vp 9", "-c add -u $ID -tp 9", "-c status -u $ID -vp 9", "-c cvlist -u $ID -v no.such.host.invalid", "-c cvlist -u $ID -vp abc", "-c regdelete -u $BAD -rp 9")
	wrong := func(env, row string, argvs ...string) {
		calls := decidedCalls(registered, row, 1, argvs...)
		for n := range calls {
			calls[n].want = []string{" - ERROR - "}
		}
		all = append(all, withEnv(env, calls)...)
	}
	verbs := []string{"-c add -u $ID", "-c delete -u $ID", "-c status -u $ID", "-c regstatus -u $ID", "-c cvlist -u $ID", "-c reglist -u $ID", "-c bulkinfo -u $ID", "-c listruntimepolicy -u $ID"}
	wrong("KEYLIME_TENANT_TRUSTED_SERVER_CA=['$FIX/wrongca.pem']", rowTLS, verbs...)
	wrong("KEYLIME_TENANT_TRUSTED_SERVER_CA=['/nosuch.pem']", rowTLS, "-c cvlist -u $ID")
	wrong("KEYLIME_TENANT_TRUSTED_SERVER_CA=all", rowTLS, "-c cvlist -u $ID")
	wrong("KEYLIME_TENANT_TRUSTED_SERVER_CA=$FIX/wrongca.pem", rowTLS, "-c cvlist -u $ID")
	wrong("KEYLIME_TENANT_CLIENT_CERT=/nosuch.crt", rowTLS, "-c cvlist -u $ID", "-c regstatus -u $ID")
	wrong("KEYLIME_TENANT_CONFIG=$FIX/tenant-dup.conf", rowBoolean, "-c cvlist -u $ID")
	wrong("KEYLIME_TENANT_CONFIG=$FIX/tenant-badbool.conf", rowBoolean, "-c add -u $ID")
	wrong("KEYLIME_TENANT_CONFIG=$FIX/tenant-badlist.conf", rowBoolean, "-c add -u $ID")
	wrong("KEYLIME_TENANT_CONFIG=$FIX/tenant-gen.conf", rowBoolean, "-c cvlist -u $ID")
	wrong("KEYLIME_TENANT_REQUIRE_EK_CERT=Ture", rowBoolean, "-c add -u $ID")
	wrong("KEYLIME_TENANT_ENABLE_AGENT_MTLS=Ture", rowBoolean, "-c cvlist -u $ID")
	wrong("KEYLIME_TENANT_MAX_PAYLOAD_SIZE=10", rowEarly, "-c add -u $ID -f $FIX/payload.txt")
	wrong("KEYLIME_TENANT_TPM_CERT_STORE=/nosuch", rowEK, "-c add -u $ID")
	wrong("KEYLIME_TENANT_EK_CHECK_SCRIPT=/nosuch", rowEK, "-c add -u $ID")
	wrong("KEYLIME_TENANT_EK_CHECK_SCRIPT=/bin/false", rowEK, "-c add -u $ID")
	all = append(all, withEnv("KEYLIME_TENANT_REQUIRE_EK_CERT=False", plain(registered, "EK unchecked", "-c add -u $ID"))...)
	all = append(all, withEnv("KEYLIME_TENANT_EK_CHECK_SCRIPT=/bin/true", plain(registered, "EK script", "-c add -u $ID"))...)
	all = append(all, withEnv("KEYLIME_TENANT_ACCEPT_TPM_HASH_ALGS=['sha512']", plain(registered, "hash refused", "-c add -u $ID"))...)
	all = append(all, withEnv("KEYLIME_TENANT_ACCEPT_TPM_ENCRYPTION_ALGS=['ecc']", plain(registered, "encryption refused", "-c add -u $ID"))...)
	all = append(all, withEnv("KEYLIME_TENANT_ACCEPT_TPM_SIGNING_ALGS=['ecdsa']", plain(registered, "signing refused", "-c add -u $ID"))...)
	all = append(all, withEnv("KEYLIME_TENANT_REQUEST_TIMEOUT=30", plain(enrolled, "from the environment", "-c cvstatus -u $ID"))...)
	return all
}
