package cli

import (
	"maps"
	"slices"

	"github.com/keylime/keylime-tenant/policy/measuredboot"
)

// unite makes a measured-boot policy that accepts the boots that p accepts and
// those that q accepts; false if one demands Secure Boot on and the other off.
// Parts are allowed independently of each other, as everywhere in such a policy,
// but for the boot chains and firmwares, which stay together.
func unite(p, q *measuredboot.Policy) (*measuredboot.Policy, bool) {
	if p.HasSecureBoot != q.HasSecureBoot {
		return nil, false
	}
	out := p.Clone()
	for _, keys := range []struct {
		into *[]measuredboot.Key
		more []measuredboot.Key
	}{{&out.PK, q.PK}, {&out.KEK, q.KEK}, {&out.DB, q.DB}, {&out.VendorDB, q.VendorDB}} {
		if !p.HasSecureBoot && (len(*keys.into) == 0 || len(keys.more) == 0) {
			*keys.into = nil // without Secure Boot an empty list allows anything
			continue
		}
		*keys.into = with(*keys.into, keys.more, func(a, b measuredboot.Key) bool { return a == b })
	}
	// A revocation is demanded only if both demand it.
	out.DBX = slices.DeleteFunc(out.DBX, func(k measuredboot.Key) bool { return !slices.Contains(q.DBX, k) })
	out.MokDig = with(out.MokDig, q.MokDig, sameDigests)
	out.MokXDig = with(out.MokXDig, q.MokXDig, sameDigests)
	out.Firmware = with(out.Firmware, q.Firmware, func(a, b measuredboot.Firmware) bool {
		return sameDigests(a.SCRTM, b.SCRTM) && slices.EqualFunc(a.Blobs, b.Blobs, sameDigests)
	})
	out.Kernels = with(out.Kernels, q.Kernels, func(a, b measuredboot.Kernel) bool {
		return a.Shim == b.Shim && a.Grub == b.Grub && a.Kernel == b.Kernel && a.Initrd == b.Initrd && a.Vmlinuz == b.Vmlinuz && a.CommandLine == b.CommandLine
	})
	return out, true
}

func sameDigests(a, b measuredboot.Digests) bool { return maps.Equal(a, b) }

// with is a list with the elements of another that it has not yet.
func with[T any](list, more []T, same func(a, b T) bool) []T {
	for _, one := range more {
		if !slices.ContainsFunc(list, func(have T) bool { return same(have, one) }) {
			list = append(list, one)
		}
	}
	return list
}
