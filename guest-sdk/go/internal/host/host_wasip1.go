package host

import (
	"ringback/internal/bytecodealliance/types"
	"ringback/internal/imports/ringback_plugin_http"
	"ringback/internal/imports/ringback_plugin_log"
	"ringback/internal/imports/ringback_plugin_secrets"
	"ringback/internal/imports/ringback_plugin_state"
	"ringback/internal/imports/ringback_plugin_types"
)

// Callback is a callback of the host.
type Callback struct {
	of *ringback_plugin_types.Callback
}

// Execution is an execution of the host.
type Execution struct {
	of *ringback_plugin_types.Execution
}

// CallbackOf wraps a callback.
func CallbackOf(of *ringback_plugin_types.Callback) *Callback {
	return &Callback{of}
}

// ExecutionOf wraps an execution.
func ExecutionOf(of *ringback_plugin_types.Execution) *Execution {
	return &Execution{of}
}

// Lowered is a failure as the host takes it.
func Lowered(from *Failure) ringback_plugin_types.Failure {
	lowered := ringback_plugin_types.Failure{Code: from.Code, Message: from.Message, Retryable: from.Retryable}
	lowered.Pointer, lowered.Detail = Optional(from.Pointer), wit_types.None[string]()
	if from.Detail != nil {
		lowered.Detail = wit_types.Some(string(from.Detail))
	}
	return lowered
}

// Optional is a text that may not be there.
func Optional(text *string) wit_types.Option[string] {
	if text == nil {
		return wit_types.None[string]()
	}
	return wit_types.Some(*text)
}

func lifted(from ringback_plugin_types.Failure) *Failure {
	failure := &Failure{Code: from.Code, Message: from.Message, Retryable: from.Retryable}
	if from.Pointer.IsSome() {
		pointer := from.Pointer.Some()
		failure.Pointer = &pointer
	}
	if from.Detail.IsSome() {
		failure.Detail = []byte(from.Detail.Some())
	}
	return failure
}

func result[T any](from wit_types.Result[T, ringback_plugin_types.Failure]) (T, error) {
	if from.IsErr() {
		var none T
		return none, lifted(from.Err())
	}
	return from.Ok(), nil
}

func optional(from wit_types.Option[string]) (string, bool) {
	return from.SomeOr(""), from.IsSome()
}

func pairs(from []wit_types.Tuple2[string, string]) []Pair {
	all := make([]Pair, len(from))
	for at, pair := range from {
		all[at] = Pair{pair.F0, pair.F1}
	}
	return all
}

func (c *Callback) ID() string                     { return c.of.Id() }
func (c *Callback) ReceivedAt() uint64             { return c.of.ReceivedAt() }
func (c *Callback) Environment() string            { return c.of.Environment() }
func (c *Callback) Flow() (string, bool)           { return optional(c.of.Flow()) }
func (c *Callback) Trigger() (string, bool)        { return optional(c.of.Trigger()) }
func (c *Callback) RemoteAddress() (string, bool)  { return optional(c.of.RemoteAddress()) }
func (c *Callback) Method() string                 { return c.of.Method() }
func (c *Callback) URL() string                    { return c.of.Url() }
func (c *Callback) Path() string                   { return c.of.Path() }
func (c *Callback) Query(name string) []string     { return c.of.Query(name) }
func (c *Callback) QueryPairs() []Pair             { return pairs(c.of.QueryPairs()) }
func (c *Callback) Header(n string) (string, bool) { return optional(c.of.Header(n)) }
func (c *Callback) Headers() []Pair                { return pairs(c.of.Headers()) }
func (c *Callback) BodySize() int                  { return int(c.of.BodySize()) }
func (c *Callback) Body() []byte                   { return c.of.Body() }
func (c *Callback) Text() (string, error)          { return result(c.of.Text()) }
func (c *Callback) Claims() (string, bool)         { return optional(c.of.Claims()) }
func (c *Callback) Data() (string, error)          { return result(c.of.Data()) }
func (c *Callback) Select(p string) (string, error) {
	return result(c.of.Select(p))
}

func (e *Execution) ID() string          { return e.of.Id() }
func (e *Execution) Flow() string        { return e.of.Flow() }
func (e *Execution) Environment() string { return e.of.Environment() }
func (e *Execution) Scope() string       { return e.of.Scope() }
func (e *Execution) Select(path string) (string, error) {
	return result(e.of.Select(path))
}

// Log writes a line; the level is 0 (debug) to 3 (error).
func Log(level uint8, message string) {
	ringback_plugin_log.Write(level, message)
}

func parts(from []Part) []ringback_plugin_secrets.Part {
	all := make([]ringback_plugin_secrets.Part, len(from))
	for at, part := range from {
		// There is one callback in a call, and the host knows which.
		if part.Body != nil {
			all[at] = ringback_plugin_secrets.MakePartBody()
		} else {
			all[at] = ringback_plugin_secrets.MakePartBytes(part.Bytes)
		}
	}
	return all
}

func encoded(from Encoded) ringback_plugin_secrets.Encoded {
	switch from.Encoding {
	case Hex:
		return ringback_plugin_secrets.MakeEncodedHex(from.Value)
	case Base64:
		return ringback_plugin_secrets.MakeEncodedBase64(from.Value)
	default:
		return ringback_plugin_secrets.MakeEncodedBytes([]byte(from.Value))
	}
}

// VerifyMAC tells whether mac is the keyed hash of the parts.
func VerifyMAC(secret string, form, algorithm uint8, message []Part, mac Encoded) (bool, error) {
	return result(ringback_plugin_secrets.VerifyMac(secret, form, algorithm, parts(message), encoded(mac)))
}

// VerifySignature tells whether signature signs the parts.
func VerifySignature(key string, algorithm uint8, message []Part, signature Encoded) (bool, error) {
	return result(ringback_plugin_secrets.VerifySignature(key, algorithm, parts(message), encoded(signature)))
}

// Equals tells whether a value is a secret.
func Equals(secret string, value []byte) (bool, error) {
	return result(ringback_plugin_secrets.Equals(secret, value))
}

// StateGet is a value of the state; nil when it is not set.
func StateGet(key string) ([]byte, error) {
	found, err := result(ringback_plugin_state.Get(key))
	if err != nil || found.IsNone() {
		return nil, err
	}
	return append([]byte{}, found.Some()...), nil
}

// StateSet sets a value of the state.
func StateSet(key string, value []byte) error {
	_, err := result(ringback_plugin_state.Set(key, value))
	return err
}

// StateRemove removes a value of the state.
func StateRemove(key string) error {
	_, err := result(ringback_plugin_state.Remove(key))
	return err
}

// Send sends a request.
func Send(request Request) (Response, error) {
	headers := make([]wit_types.Tuple2[string, string], len(request.Headers))
	for at, pair := range request.Headers {
		headers[at] = wit_types.Tuple2[string, string]{F0: pair.Name, F1: pair.Value}
	}
	body := wit_types.None[[]uint8]()
	if request.Body != nil {
		body = wit_types.Some(request.Body)
	}
	sent := ringback_plugin_http.Request{Method: request.Method, Url: request.URL, Headers: headers, Body: body}
	found, err := result(ringback_plugin_http.Send(sent))
	return Response{int(found.Status), pairs(found.Headers), found.Body}, err
}
