package cli

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/keylime/keylime-tenant/client"
	"github.com/keylime/keylime-tenant/tenant"
)

// downloadLimit is the largest file that is fetched, in bytes: 64 MiB.
const downloadLimit = 64 << 20

// warnUnvouched is the warning about a download that anybody may have changed.
const warnUnvouched tenant.WarningKind = "unvouched"

// unvouched refuses, or in the classic grammar warns of, a download for which
// the caller has neither checksum nor signature, over a connection that does not
// vouch for it either.
func (a *app) unvouched(option, address string) error {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "http" {
		return nil // https vouches for it, and everything else is refused anyway
	}
	if !a.compat() {
		return usagef("%s %s: nothing vouches for what is fetched over plain HTTP: whoever is in between can change it", option, u.Redacted()).
			hint("name an https address, or fetch it, check it, and give the file")
	}
	a.present().Event(tenant.Warning{Kind: warnUnvouched, Object: option,
		Text: "nothing vouches for what is fetched from " + u.Redacted() + ": whoever is in between can change it"})
	return nil
}

// download fetches what an option names by a URL. What vouches for the content
// is first of all the checksum or signature that the caller checks; where there
// is none (see [app.unvouched]) it is this connection, which trusts the
// authorities of the system.
//
// Redirects are not followed: the host that was named is the one that answers.
// Proxies of the environment are not used. Failures are [client.Error], a URL
// that cannot be one is a [usageError].
func (a *app) download(ctx context.Context, option, address string) (tenant.Input, error) {
	none := tenant.Input{}
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return none, usagef("%s %q is not an http or https URL", option, address)
	}
	a.present().Event(tenant.Downloading{What: option, URL: u.Redacted()})
	ctx, cancel := context.WithTimeout(ctx, a.configured.RequestTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return none, usagef("%s %q: %w", option, address, err)
	}
	fail := func(kind client.Kind, status int, cause error) error {
		return &client.Error{Server: u.Host, Method: http.MethodGet, Path: u.EscapedPath(), Kind: kind, HTTP: status, Err: cause}
	}
	transport := &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12}}
	defer transport.CloseIdleConnections()
	web := &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	answer, err := web.Do(request)
	if err != nil {
		return none, fail(downloadKind(err), 0, withoutURL(err))
	}
	defer answer.Body.Close()
	switch code := answer.StatusCode; {
	case code == http.StatusNotFound:
		return none, fail(client.NotFound, code, nil)
	case code == http.StatusUnauthorized || code == http.StatusForbidden:
		return none, fail(client.Unauthorized, code, nil)
	case code >= 300 && code < 400:
		return none, fail(client.Refused, code, errors.New("redirects are not followed: name the final address"))
	case code != http.StatusOK:
		return none, fail(client.Refused, code, nil)
	}
	content, err := io.ReadAll(io.LimitReader(answer.Body, downloadLimit+1))
	if err != nil {
		return none, fail(downloadKind(err), answer.StatusCode, fmt.Errorf("the download broke off: %w", err))
	}
	if len(content) > downloadLimit {
		return none, fail(client.Unreadable, answer.StatusCode, errors.New("it is larger than 64 MiB"))
	}
	return tenant.Input{Name: u.Redacted(), Content: content}, nil
}

func downloadKind(err error) client.Kind {
	var untrusted *tls.CertificateVerificationError
	switch {
	case errors.As(err, &untrusted):
		return client.ServerUntrusted
	case errors.Is(err, context.DeadlineExceeded):
		return client.TimedOut
	case errors.Is(err, context.Canceled):
		return client.Canceled
	}
	return client.Unreachable
}

// withoutURL takes off the part of a [url.Error] that repeats the address.
func withoutURL(err error) error {
	var e *url.Error
	if errors.As(err, &e) {
		return e.Err
	}
	return err
}
