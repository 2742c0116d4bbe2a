package measuredboot

import (
	"maps"
	"slices"
)

// Marshal writes the policy as one line of JSON without a newline, in the form
// and key order of `keylime-policy create measured-boot`: the same octets for
// the same policy. Keys that nobody reads come last in their object. An
// incomplete policy is written without the parts it lacks.
func (p *Policy) Marshal() []byte {
	var w writer
	if p.empty {
		return []byte("{}")
	}
	list := []member{
		{"has_secureboot", p.HasSecureBoot}, {"scrtm_and_bios", firmwareJSON(p.Firmware)},
		{"pk", keysJSON(p.PK)}, {"kek", keysJSON(p.KEK)}, {"db", keysJSON(p.DB)}, {"dbx", keysJSON(p.DBX)}, {"vendor_db", keysJSON(p.VendorDB)},
		{"mokdig", digestsJSON(p.MokDig)}, {"mokxdig", digestsJSON(p.MokXDig)},
	}
	if p.Kernels != nil || !p.incomplete() {
		list = append(list, member{"kernels", p.kernelsJSON()})
	}
	w.object(append(list, p.extra...))
	return w.Bytes()
}

func (p *Policy) incomplete() bool { return len(p.lacks) > 0 }

func firmwareJSON(list []Firmware) []any {
	out := []any{}
	for _, f := range list {
		var o []member
		if f.SCRTM != nil {
			o = append(o, member{"scrtm", f.SCRTM.json()})
		}
		o = append(o, member{"platform_firmware", digestsJSON(f.Blobs)})
		out = append(out, append(o, f.extra...))
	}
	return out
}

func (d Digests) json() []member {
	o := []member{}
	for _, alg := range slices.Sorted(maps.Keys(d)) {
		o = append(o, member{alg, "0x" + d[alg]})
	}
	return o
}

func digestsJSON(list []Digests) []any {
	out := []any{}
	for _, d := range list {
		out = append(out, d.json())
	}
	return out
}

func keysJSON(list []Key) []any {
	out := []any{}
	for _, k := range list {
		out = append(out, []member{{"SignatureOwner", k.Owner}, {"SignatureData", "0x" + k.Data}})
	}
	return out
}

func (p *Policy) kernelsJSON() []any {
	out := []any{}
	for _, k := range p.Kernels {
		var o []member
		for _, f := range []struct{ key, digest string }{
			{"kernel_authcode_sha256", k.Kernel}, {"shim_authcode_sha256", k.Shim}, {"grub_authcode_sha256", k.Grub},
			{"initrd_plain_sha256", k.Initrd}, {"vmlinuz_plain_sha256", k.Vmlinuz},
		} {
			if f.digest != "" {
				o = append(o, member{f.key, "0x" + f.digest})
			}
		}
		if k.CommandLine != "" || !p.incomplete() {
			o = append(o, member{"kernel_cmdline", k.CommandLine})
		}
		out = append(out, append(o, k.extra...))
	}
	return out
}
