package tenant

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"
)

const (
	// maxDownload is the largest policy or key that is fetched, in bytes.
	maxDownload = 64 << 20
	// downloadLimit is the time that one may take.
	downloadLimit = time.Minute
)

// Download fetches a policy or a key from a URL (http or https; https with the
// system's authorities). what names it for messages: "IMA policy". Redirects
// are refused, as the Python tenant does, and no proxy is used. Whether the
// content is the right one is for a checksum or signature to say.
//
// Every error is an *[InvalidError] of kind [InvalidDownload], also when the
// context ends.
func (t *Tenant) Download(ctx context.Context, what, address string) (*Input, error) {
	t.emit(Downloading{What: what, URL: address})
	refuse := func(cause, classic string, err error) error {
		return &InvalidError{Kind: InvalidDownload, Object: what + " " + printable(address), Cause: cause, Classic: classic, Err: err,
			Hint: "fetch it by other means, and give the file"}
	}
	parsed, err := url.Parse(address)
	if err != nil || parsed.Host == "" || parsed.Scheme != "http" && parsed.Scheme != "https" {
		return nil, refuse("it is not an http or https URL", "", err)
	}
	ctx, cancel := context.WithTimeout(ctx, downloadLimit)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, refuse("it cannot be asked for", "", err)
	}
	transport := &http.Transport{DisableKeepAlives: true}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	response, err := client.Do(request)
	if err != nil {
		return nil, refuse(err.Error(), "", err)
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		cause := fmt.Sprintf("the server answers %d %s", response.StatusCode, http.StatusText(response.StatusCode))
		if response.StatusCode/100 == 3 {
			cause += ", and redirects are not followed"
		}
		return nil, refuse(cause, fmt.Sprintf("Downloading %s (%s) failed with status code %d!", what, address, response.StatusCode), nil)
	}
	content, err := io.ReadAll(io.LimitReader(response.Body, maxDownload+1))
	if err != nil {
		return nil, refuse("the answer breaks off: "+err.Error(), "", err)
	}
	if len(content) > maxDownload {
		return nil, refuse(fmt.Sprintf("it is larger than %d MiB", maxDownload>>20), "", nil)
	}
	return &Input{Name: address, Content: content}, nil
}
