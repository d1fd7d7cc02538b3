// Package ringback writes ringback plugins as plain Go functions.
//
// A plugin plays one or more roles. For each, write one function and register it in an init function:
//
//	verifier.Register(func(callback *ringback.Callback, config Config) (ringback.Verdict, error))
//	parser.Register(func(callback *ringback.Callback, config Config) (any, error))
//	condition.Register(func(callback *ringback.Callback, execution *ringback.Execution, config Config) (ringback.Decision, error))
//	step.Register(func(execution *ringback.Execution, config Config) (any, error))
//	responder.Register(func(callback *ringback.Callback, execution *ringback.Execution, config Config) (ringback.Reply, error))
//
// Config is any type that encoding/json reads: the flow's `with:`. It is checked when the flow is deployed: a name that it does
// not have and a member that is missing are mistakes (but for pointers and those with `omitempty`), and so is what a method
// `Validate() error` of it refuses. Its JSON Schema is part of the plugin; a `doc:"…"` tag describes a field.
//
// An error is a failure of the call; use [Fail] to give it a code. What panics fails, too, and its stack is in the trace.
// log/slog, log and fmt.Print write to the trace. What else a plugin may ask of the host is in the packages secrets, state and
// web; a package that is not imported is not asked for.
package ringback

import (
	"encoding/json"
	"time"

	"ringback/internal/host"
)

// A Failure is why a plugin could not do its work; it ends the callback with an error status. It is no decision: a condition
// that does not hold answers so.
type Failure = host.Failure

// A Pair is a name with its value.
type Pair = host.Pair

// Fail is a failure with a stable code in kebab-case, such as "no-total", and one sentence for the operator.
func Fail(code, message string) *Failure {
	return &Failure{Code: code, Message: message}
}

// A Decision is a condition's answer.
type Decision struct {
	Holds bool
	// Reason is why, or why not, for the trace; may be empty.
	Reason string
}

// A Verdict is a verifier's answer: see [Accepted] and [Rejected].
type Verdict struct {
	Accepted bool
	// Reason is why it is rejected, for the trace; the caller only sees 401.
	Reason string
	// DeliveryID is the sender's id of this delivery, the same when it is sent again; may be empty.
	DeliveryID string
	// Subject is who sent it; may be empty.
	Subject string
	// Claims are what else is proved, as what encoding/json writes; nil for none.
	Claims any
}

// Accepted is the verdict that a callback is genuine.
func Accepted() Verdict {
	return Verdict{Accepted: true}
}

// Rejected is the verdict that a callback is not genuine.
func Rejected(reason string) Verdict {
	return Verdict{Reason: reason}
}

// A Reply is an HTTP answer.
type Reply struct {
	// Status is 200 to 599.
	Status  int
	Headers []Pair
	Body    []byte
}

// JSONReply is an answer in JSON.
func JSONReply(status int, value any) (Reply, error) {
	body, err := json.Marshal(value)
	return Reply{status, []Pair{{Name: "content-type", Value: "application/json"}}, body}, err
}

// TextReply is an answer in plain text.
func TextReply(status int, text string) Reply {
	return Reply{status, []Pair{{Name: "content-type", Value: "text/plain; charset=utf-8"}}, []byte(text)}
}

// A Callback is one received HTTP request. Its parts come into the plugin when they are asked for.
type Callback struct {
	raw *host.Callback
}

// CallbackOf is for the SDK itself.
func CallbackOf(raw *host.Callback) *Callback { return &Callback{raw} }

// Raw is for the SDK itself.
func (c *Callback) Raw() *host.Callback { return c.raw }

// ID is a UUID, the same in logs, the API and the command line.
func (c *Callback) ID() string { return c.raw.ID() }

// ReceivedAt is when the last byte was received.
func (c *Callback) ReceivedAt() time.Time { return time.UnixMilli(int64(c.raw.ReceivedAt())).UTC() }

// Environment is the name of the environment that it came into.
func (c *Callback) Environment() string { return c.raw.Environment() }

// Flow is the name of the flow that it came for; not there for a ticket without one.
func (c *Callback) Flow() (string, bool) { return c.raw.Flow() }

// Trigger is the id of the trigger that it came for; not there for a ticket without a flow.
func (c *Callback) Trigger() (string, bool) { return c.raw.Trigger() }

// RemoteAddress is the IP address that it came from, were it a proxy's; not there when it is not known any more.
func (c *Callback) RemoteAddress() (string, bool) { return c.raw.RemoteAddress() }

// Method is in upper case.
func (c *Callback) Method() string { return c.raw.Method() }

// URL is the absolute URL as the caller used it, with its query.
func (c *Callback) URL() string { return c.raw.URL() }

// Path is percent-encoded as received.
func (c *Callback) Path() string { return c.raw.Path() }

// Query is the values of one parameter, in order.
func (c *Callback) Query(name string) []string { return c.raw.Query(name) }

// QueryPairs are all parameters, in order.
func (c *Callback) QueryPairs() []Pair { return c.raw.QueryPairs() }

// Header is the value of a header, in any case; repeated ones are joined by ", ".
func (c *Callback) Header(name string) (string, bool) { return c.raw.Header(name) }

// Headers are all headers with names in lower case, in order.
func (c *Callback) Headers() []Pair { return c.raw.Headers() }

// BodySize is the number of bytes of the body, without copying it.
func (c *Callback) BodySize() int { return c.raw.BodySize() }

// Body is exactly the bytes received.
func (c *Callback) Body() []byte { return c.raw.Body() }

// Text is the body as text; fails as "not-text".
func (c *Callback) Text() (string, error) { return c.raw.Text() }

// Claims reads what the verifier learned of the sender into a value; false when it said nothing.
func (c *Callback) Claims(into any) (bool, error) {
	claims, ok := c.raw.Claims()
	if !ok {
		return false, nil
	}
	return true, json.Unmarshal([]byte(claims), into)
}

// Data reads the parsed data into a value; fails as "not-parsed" in a verifier or a parser.
func (c *Callback) Data(into any) error {
	data, err := c.raw.Data()
	if err != nil {
		return err
	}
	return json.Unmarshal([]byte(data), into)
}

// Select is what a JSONPath (RFC 9535) selects in the data, in order; fails as "invalid-path" or "not-parsed".
func (c *Callback) Select(path string) ([]any, error) {
	return values(c.raw.Select(path))
}

// An Execution is one run of a flow.
type Execution struct {
	raw *host.Execution
}

// ExecutionOf is for the SDK itself.
func ExecutionOf(raw *host.Execution) *Execution { return &Execution{raw} }

// ID is the execution's id.
func (e *Execution) ID() string { return e.raw.ID() }

// Flow is the name of the flow.
func (e *Execution) Flow() string { return e.raw.Flow() }

// Environment is the name of the environment that it runs in.
func (e *Execution) Environment() string { return e.raw.Environment() }

// Scope reads what expressions of the flow can see here into a value: data, fields, triggers, and results by their `as` names.
func (e *Execution) Scope(into any) error {
	return json.Unmarshal([]byte(e.raw.Scope()), into)
}

// Select is what a JSONPath selects in the scope, in order; fails as "invalid-path".
func (e *Execution) Select(path string) ([]any, error) {
	return values(e.raw.Select(path))
}

func values(text string, err error) ([]any, error) {
	if err != nil {
		return nil, err
	}
	found := []any{}
	err = json.Unmarshal([]byte(text), &found)
	return found, err
}
