package measuredboot

import (
	"fmt"
	"slices"
	"strings"

	"github.com/keylime/keylime-tenant/policy"
	"github.com/keylime/keylime-tenant/policy/eventlog"
)

// vendor is the vendor GUID of a variable, by whose variable it is. Each has
// two spellings: the right one and the swapped one of tpm2-tools before 5.2.
type vendor int

const (
	vendorOther vendor = iota
	vendorGlobal
	vendorGlobalSwapped
	vendorSecurity
	vendorSecuritySwapped
	vendorShim
	vendorShimSwapped
)

func vendorOf(g eventlog.GUID) vendor {
	switch g.String() {
	case "8be4df61-93ca-11d2-aa0d-00e098032b8c":
		return vendorGlobal
	case "61dfe48b-ca93-d211-aa0d-00e098032b8c":
		return vendorGlobalSwapped
	case "d719b2cb-3d3a-4596-a3bc-dad00e67656f":
		return vendorSecurity
	case "cbb219d7-3a3d-9645-a3bc-dad00e67656f":
		return vendorSecuritySwapped
	case "605dab50-e046-4300-abb6-3dd810dd8b23":
		return vendorShim
	case "50ab5d60-46e0-0043-abb6-3dd810dd8b23":
		return vendorShimSwapped
	}
	return vendorOther
}

const (
	x509Swapped   = "a159c0a5-e494-a74a-87b5-ab155c2bf072"
	sha256Swapped = "2616c4c1-4c50-9240-aca9-41f936934328"
)

// variable decodes the event's variable; one that does not decode was found
// by readable already.
func (e *evaluation) variable(event *eventlog.Event) (eventlog.Variable, bool) {
	v, err := event.Variable()
	return v, err == nil
}

func (e *evaluation) unexpectedVariable(event *eventlog.Event, v *eventlog.Variable) {
	e.refuse(policy.Finding{Check: CheckVariable, Where: "variable " + v.Name, Found: []string{event.Describe()},
		Message: fmt.Sprintf("the variable %.60q of %s is not expected among those of %s", v.Name, v.GUID, event.Type)}, event, remedyNone)
}

func (e *evaluation) emptyVariable(event *eventlog.Event, v *eventlog.Variable) {
	e.refuse(policy.Finding{Check: CheckVariable, Where: "variable " + v.Name,
		Message: fmt.Sprintf("the variable %.60q is empty", v.Name)}, event, remedyNone)
}

// bootVariable: BootOrder or Boot and hexadecimal digits, with any content.
func (e *evaluation) bootVariable(event *eventlog.Event) {
	v, ok := e.variable(event)
	if !ok {
		return
	}
	owner := vendorOf(v.GUID)
	digits, isBoot := strings.CutPrefix(v.Name, "Boot")
	isBoot = isBoot && isHex(strings.ToLower(digits))
	switch {
	case owner != vendorGlobal && owner != vendorGlobalSwapped, v.Name != "BootOrder" && !isBoot:
		e.refuse(policy.Finding{Check: CheckBootVariable, Where: "variable " + v.Name, Expected: []string{"BootOrder", "Boot####"}, Found: []string{event.Describe()},
			Message: fmt.Sprintf("the variable %.60q of %s is no boot option", v.Name, v.GUID)}, event, remedyNone)
	case v.Name != "BootOrder" && !v.IsBootOption() && len(v.Data) == 0:
		e.emptyVariable(event, &v)
	}
}

// driverConfig judges the variables that configure Secure Boot.
func (e *evaluation) driverConfig(event *eventlog.Event) {
	v, ok := e.variable(event)
	if !ok {
		return
	}
	owner := vendorOf(v.GUID)
	global := owner == vendorGlobal || owner == vendorGlobalSwapped
	security := owner == vendorSecurity || owner == vendorSecuritySwapped
	switch {
	case global && v.Name == "SecureBoot":
		e.secureBoot(event, &v)
	case global && v.Name == "PK":
		e.keys(event, &v, CheckPK, e.p.PK, false)
	case global && v.Name == "KEK":
		e.keys(event, &v, CheckKEK, e.p.KEK, false)
	case security && v.Name == "db":
		e.keys(event, &v, CheckDB, e.p.DB, true)
	case security && v.Name == "dbx":
		e.dbx(event, &v)
	case security && v.Name == "vendor_db":
		e.configuredVendorDB(event, &v)
	default:
		e.unexpectedVariable(event, &v)
	}
}

func (e *evaluation) secureBoot(event *eventlog.Event, v *eventlog.Variable) {
	on := len(v.Data) > 0 && v.Data[0] != 0
	if on == e.p.HasSecureBoot {
		return
	}
	say := map[bool]string{true: "on", false: "off"}
	e.refuse(policy.Finding{Check: CheckSecureBoot, Where: "Secure Boot", Expected: []string{say[!on]}, Found: []string{say[on]},
		Message: "Secure Boot is " + say[on] + ", the policy is for machines with Secure Boot " + say[!on]}, event, remedySecureBoot)
}

// keys: every key of the variable must be allowed. All lists are of
// certificates, or with digests true of certificates or SHA-256 digests; the
// two spellings of the types do not mix.
func (e *evaluation) keys(event *eventlog.Event, v *eventlog.Variable, check string, allowed []Key, digests bool) {
	if !e.once(event, check, v.Name, 1) || !e.p.HasSecureBoot && len(allowed) == 0 {
		return
	}
	refuse := func(message string, expected, found []string, r remedy) {
		e.refuse(policy.Finding{Check: check, Where: v.Name, Expected: expected, Found: found, Message: message}, event, r)
	}
	lists, _ := v.SignatureLists()
	if len(lists) == 0 {
		r := remedyNone
		if !e.p.HasSecureBoot {
			r = remedyMerge // an empty list in the policy allows it
		}
		refuse(v.Name+" is empty", names(allowed), nil, r)
		return
	}
	set, refused := keySet(allowed), 0
	var expected []string // certificates are read only when one is refused
	swapped := lists[0].Type.String() == x509Swapped || lists[0].Type.String() == sha256Swapped
	for _, l := range lists {
		certificate, digest := eventlog.SignatureX509, eventlog.SignatureSHA256
		if swapped {
			certificate, digest = x509Swapped, sha256Swapped
		}
		if kind := l.Type.String(); kind != certificate && !(digests && kind == digest) {
			refuse(v.Name+" has a list of another type", []string{"certificates (" + certificate + ")"}, []string{kind}, remedyNone)
			continue
		}
		if len(l.Keys) == 0 || l.Cut {
			refuse(v.Name+" has a list without entries, or one that ends too early", nil, nil, remedyNone)
		}
		for _, k := range l.Keys {
			text, ok := keyText(k.Data)
			key := Key{k.Owner.String(), text}
			if ok && set[key] {
				continue
			}
			if refused++; refused > maxShown {
				continue
			}
			if expected == nil {
				expected = names(allowed)
			}
			r := remedyMerge
			if !ok {
				r = remedyNone
			}
			refuse(fmt.Sprintf("%s holds a key that is not allowed: %s", v.Name, nameOf(key, l.Type.String())), expected, []string{nameOf(key, l.Type.String())}, r)
		}
	}
	if refused > maxShown {
		refuse(fmt.Sprintf("%s holds %d more keys that are not allowed", v.Name, refused-maxShown), expected, nil, remedyMerge)
	}
}

// dbx: exactly one list, of SHA-256 digests, with all required entries.
func (e *evaluation) dbx(event *eventlog.Event, v *eventlog.Variable) {
	required := e.p.DBX
	if !e.once(event, CheckDBX, v.Name, 1) || !e.p.HasSecureBoot && len(required) == 0 {
		return
	}
	f := policy.Finding{Check: CheckDBX, Where: "dbx, the revocations"}
	lists, _ := v.SignatureLists()
	kind := ""
	if len(lists) > 0 {
		kind = lists[0].Type.String()
	}
	switch {
	case len(lists) != 1:
		f.Message = fmt.Sprintf("dbx has %d lists; a verifier accepts exactly one", len(lists))
	case kind != eventlog.SignatureSHA256 && kind != sha256Swapped:
		f.Message = "dbx is a list of another type than SHA-256 digests"
		f.Expected, f.Found = []string{eventlog.SignatureSHA256}, []string{kind}
	case len(lists[0].Keys) == 0:
		f.Message = "dbx is a list without entries, or one that ends too early"
	default:
		e.revocations(event, f, lists[0].Keys)
		return
	}
	r := remedyNone
	if len(lists) == 0 && !e.p.HasSecureBoot {
		r = remedyMerge
	}
	e.refuse(f, event, r)
}

func (e *evaluation) revocations(event *eventlog.Event, f policy.Finding, keys []eventlog.Signature) {
	held := make(map[Key]bool, len(keys))
	for _, k := range keys {
		if text, ok := keyText(k.Data); ok {
			held[Key{k.Owner.String(), text}] = true
		}
	}
	for _, k := range e.p.DBX {
		if !held[k] {
			f.Expected = append(f.Expected, k.Data)
		}
	}
	if len(f.Expected) == 0 {
		return
	}
	f.Message = fmt.Sprintf("dbx lacks %d of %d revocations that the policy demands: the firmware would start images known to be bad", len(f.Expected), len(e.p.DBX))
	f.Found = []string{fmt.Sprintf("%d entries", len(keys))}
	e.refuse(f, event, remedyMerge)
}

// configuredVendorDB: Keylime wants a list here, but tpm2_eventlog gives it
// digits only, so it refuses the variable unless it does not look at it.
func (e *evaluation) configuredVendorDB(event *eventlog.Event, v *eventlog.Variable) {
	if len(v.Data) == 0 {
		e.emptyVariable(event, v)
		return
	}
	if !e.once(event, "driver config vendor_db", "vendor_db", 1) || !e.p.HasSecureBoot && len(e.p.VendorDB) == 0 {
		return
	}
	e.refuse(policy.Finding{Check: CheckVendorDB, Where: "vendor_db",
		Message: "vendor_db is measured as a configuration, which a verifier cannot read"}, event, remedyNone)
}

// authority judges the variables whose keys were used.
func (e *evaluation) authority(event *eventlog.Event) {
	v, ok := e.variable(event)
	if !ok {
		return
	}
	owner := vendorOf(v.GUID)
	security := owner == vendorSecurity || owner == vendorSecuritySwapped
	shim := owner == vendorShim || owner == vendorShimSwapped
	switch {
	case security && v.Name == "db", shim && v.Name == "SbatLevel", shim && v.Name == "Shim":
		e.once(event, "authority "+v.Name, v.Name, 1)
	case owner == vendorShim && v.Name == "MokListRT":
		if len(v.Data) == 0 {
			e.emptyVariable(event, &v)
			return
		}
		e.once(event, "authority "+v.Name, v.Name, 1)
	case owner == vendorShim && v.Name == "MokListTrusted":
		if e.once(event, "authority "+v.Name, v.Name, 1) && len(v.Data) > 1 {
			e.refuse(policy.Finding{Check: CheckMokTrust, Where: v.Name, Expected: []string{"one octet"}, Found: []string{clipHex(v.Data)},
				Message: "MokListTrusted is neither yes nor no"}, event, remedyNone)
		}
	case security && v.Name == "vendor_db":
		e.usedVendorDB(event, &v)
	default:
		e.unexpectedVariable(event, &v)
	}
}

func (e *evaluation) usedVendorDB(event *eventlog.Event, v *eventlog.Variable) {
	if len(v.Data) == 0 {
		e.emptyVariable(event, v)
		return
	}
	allowed := e.p.VendorDB
	if !e.once(event, "authority vendor_db", "vendor_db", 1) || !e.p.HasSecureBoot && len(allowed) == 0 {
		return
	}
	list := v.VendorDB()
	if len(list) == 0 {
		e.refuse(policy.Finding{Check: CheckVendorDB, Where: "vendor_db, the distribution's keys in shim", Found: []string{clipHex(v.Data)},
			Message: "vendor_db holds no certificate that a verifier finds"}, event, remedyNone)
		return
	}
	set, refused := keySet(allowed), 0
	for _, s := range list {
		text, _ := keyText(s.Data)
		if key := (Key{s.Owner.String(), text}); !set[key] && refused < maxShown {
			refused++
			e.refuse(policy.Finding{Check: CheckVendorDB, Where: "vendor_db, the distribution's keys in shim", Expected: names(allowed), Found: []string{nameOf(key, eventlog.SignatureX509)},
				Message: "shim trusted a key of the distribution that is not allowed: " + nameOf(key, eventlog.SignatureX509)}, event, remedyMerge)
		}
	}
}

func keySet(keys []Key) map[Key]bool {
	set := make(map[Key]bool, len(keys))
	for _, k := range keys {
		set[k] = true
	}
	return set
}

// names lists keys for people, at most maxShown.
func names(keys []Key) []string {
	var out []string
	for i, k := range keys {
		if i == maxShown {
			return append(out, fmt.Sprintf("and %d more", len(keys)-i))
		}
		if name := nameOf(k, ""); !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	return out
}
