// Package web sends requests to hosts that the operator has allowed for plugins (`plugin_http_hosts`).
package web

import "ringback/internal/host"

// A Request is what is sent; the body is nil for none.
type Request = host.Request

// A Response is what comes back; names of headers are in lower case.
type Response = host.Response

// A Pair is a header.
type Pair = host.Pair

// Send sends a request and waits for the whole response; redirects are not followed. Fails as "host-not-allowed",
// "invalid-request", "too-large" or, retryable, "unreachable".
func Send(request Request) (Response, error) { return host.Send(request) }

// Header is the first header of that name, in lower case.
func Header(headers []Pair, name string) (string, bool) {
	for _, pair := range headers {
		if pair.Name == name {
			return pair.Value, true
		}
	}
	return "", false
}
