package durable

import (
	"strings"
)

// storeURL are the parts of persistent_store_url, split as upstream does: no
// part is decoded.
type storeURL struct {
	scheme, host, path string
	query              map[string]string
}

// parseURL splits an address. What has no scheme is the path of a directory.
func parseURL(text string) (storeURL, error) {
	u := storeURL{query: map[string]string{}}
	rest, _, _ := strings.Cut(text, "#")
	rest, query, _ := strings.Cut(rest, "?")
	for part := range strings.SplitSeq(query, "&") {
		if name, value, found := strings.Cut(part, "="); found {
			u.query[name] = value
		}
	}
	if scheme, after, found := strings.Cut(rest, "://"); found && scheme != "" && !strings.ContainsAny(scheme, "/\\") {
		u.scheme = strings.ToLower(scheme)
		u.host, u.path = after, ""
		if i := strings.IndexByte(after, '/'); i >= 0 {
			u.host, u.path = after[:i], after[i:]
		}
	} else {
		u.path = strings.TrimPrefix(rest, "file:")
	}
	if text == "" || u.host == "" && u.path == "" {
		return u, &UnsupportedError{Object: "the address of the store", Cause: "it is empty", Hint: "it is persistent_store_url in registrar.conf, or --store URL: file:///DIR?prefix=NAME"}
	}
	return u, nil
}

// shown is the address without what may be secret.
func (u storeURL) shown() string {
	host := u.host
	if i := strings.LastIndexByte(host, '@'); i >= 0 {
		host = host[i+1:]
	}
	text := u.path
	if u.scheme != "" {
		text = u.scheme + "://" + host + u.path
	}
	mark := "?"
	for _, name := range []string{"db", "prefix"} {
		if value, given := u.query[name]; given {
			text += mark + name + "=" + value
			mark = "&"
		}
	}
	return text
}
