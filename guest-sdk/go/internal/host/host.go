// Package host asks the host: the real one in a plugin, one in memory in tests.
package host

// A Failure is why a plugin, or the host that it asked, could not do its work.
type Failure struct {
	// Code is in kebab-case, such as "no-total".
	Code string
	// Message is one sentence for the operator; the caller never sees it.
	Message string
	// Retryable says whether the same call may succeed later.
	Retryable bool
	// Pointer is the place in the configuration that it is about, such as "/rules/0" (RFC 6901), if it is.
	Pointer *string
	// Detail is more for whoever looks into it, as JSON; nil for none.
	Detail []byte
}

func (f *Failure) Error() string {
	return f.Code + ": " + f.Message
}

// A Pair is a name with its value.
type Pair struct {
	Name, Value string
}

// A Part of a message: bytes, or the body of a callback, which does not enter the plugin.
type Part struct {
	Bytes []byte
	Body  *Callback
}

// The encodings of a hash or a signature.
const (
	Raw = iota
	Hex
	Base64
)

// Encoded is a hash or a signature as a caller sent it.
type Encoded struct {
	Encoding int
	Value    string
}

// A Request is what is sent.
type Request struct {
	Method  string
	URL     string
	Headers []Pair
	Body    []byte
}

// A Response is what comes back.
type Response struct {
	Status  int
	Headers []Pair
	Body    []byte
}
