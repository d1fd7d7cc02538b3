//go:build !wasip1

// Package ringbacktest stands in for the host in tests: callbacks, executions, secrets, state and answers, all in memory.
package ringbacktest

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"

	"ringback"
	"ringback/internal/core"
	"ringback/internal/host"
)

// An Option of a callback.
type Option func(*host.Callback)

// Method sets the method.
func Method(method string) Option { return func(c *host.Callback) { c.Method_ = method } }

// URL sets the URL, with its query.
func URL(url string) Option { return func(c *host.Callback) { c.URL_ = url } }

// Header adds a header.
func Header(name, value string) Option {
	return func(c *host.Callback) { c.Headers_ = append(c.Headers_, host.Pair{Name: name, Value: value}) }
}

// Data sets what the body was parsed into, as JSON, where it is not the body.
func Data(data string) Option { return func(c *host.Callback) { c.Data_ = &data } }

// Unparsed is a callback as a verifier or a parser sees it.
func Unparsed() Option { return func(c *host.Callback) { c.Data_ = nil } }

// Callback makes a POST with this body, which is also its data when it is JSON.
func Callback(body string, options ...Option) *ringback.Callback {
	flow, trigger, address := "test", "hook", "192.0.2.1"
	made := &host.Callback{
		Method_: "POST", URL_: "https://example.test/h/key", Environment_: "default", Body_: []byte(body),
		Flow_: &flow, Trigger_: &trigger, RemoteAddress_: &address, ReceivedAt_: 1_767_225_600_000,
	}
	if json.Valid(made.Body_) {
		made.Data_ = &body
	}
	for _, option := range options {
		option(made)
	}
	return ringback.CallbackOf(made)
}

// Execution makes an execution with what its expressions can see, as JSON.
func Execution(scope string) *ringback.Execution {
	return ringback.ExecutionOf(&host.Execution{
		ID_: "0190d6f0-0000-7000-8000-000000000002", Flow_: "test", Environment_: "default", Scope_: scope,
	})
}

// Host is what plugins ask in tests.
type Host = host.Memory

// Use asks this host until the test ends.
func Use(t testing.TB, with *Host) {
	before := host.Current
	host.Current = with
	t.Cleanup(func() { host.Current = before })
}

// Call calls a registered role as the host does, with its configuration as JSON.
func Call(role string, callback *ringback.Callback, execution *ringback.Execution, config string) (any, error) {
	answer, failure := core.Call(role, callback, execution, config)
	if failure != nil {
		return nil, failure
	}
	return answer, nil
}

type content struct {
	Body       json.RawMessage `json:"body"`
	BodyBase64 *string         `json:"body_base64"`
}

func (c content) bytes() []byte {
	var text string
	switch {
	case c.BodyBase64 != nil:
		decoded, _ := base64.StdEncoding.DecodeString(*c.BodyBase64)
		return decoded
	case json.Unmarshal(c.Body, &text) == nil:
		return []byte(text)
	default:
		return c.Body
	}
}

type vector struct {
	Name     string          `json:"name"`
	Role     string          `json:"role"`
	Config   json.RawMessage `json:"config"`
	Callback struct {
		content
		Method        string            `json:"method"`
		URL           string            `json:"url"`
		Headers       map[string]string `json:"headers"`
		Flow          *string           `json:"flow"`
		Trigger       *string           `json:"trigger"`
		Environment   string            `json:"environment"`
		RemoteAddress *string           `json:"remote_address"`
		Claims        json.RawMessage   `json:"claims"`
	} `json:"callback"`
	Data      json.RawMessage `json:"data"`
	Execution *struct {
		ID          string          `json:"id"`
		Flow        string          `json:"flow"`
		Environment string          `json:"environment"`
		Scope       json.RawMessage `json:"scope"`
	} `json:"execution"`
	Secrets map[string]string `json:"secrets"`
	State   map[string]string `json:"state"`
	HTTP    []struct {
		content
		URL     string            `json:"url"`
		Status  int               `json:"status"`
		Headers map[string]string `json:"headers"`
	} `json:"http"`
	Expect map[string]any `json:"expect"`
}

// Vectors runs the test vectors of a file, which the host runs when the plugin is uploaded.
func Vectors(t *testing.T, file string) {
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var all []vector
	if err := json.Unmarshal(text, &all); err != nil {
		t.Fatal(err)
	}
	for _, one := range all {
		t.Run(one.Name, func(t *testing.T) { one.run(t) })
	}
}

func (v vector) run(t *testing.T) {
	with := &Host{Secrets: v.Secrets, State: map[string][]byte{}, HTTP: v.answer()}
	for key, value := range v.State {
		with.State[key] = []byte(value)
	}
	Use(t, with)
	config := "null"
	if v.Config != nil {
		config = string(v.Config)
	}
	answer, failure := core.Call(v.Role, v.callback(), v.execution(), config)
	found := map[string]any{}
	switch given := answer.(type) {
	case ringback.Verdict:
		if given.Accepted {
			found["accepted"] = map[string]any{
				"delivery_id": given.DeliveryID, "subject": given.Subject, "claims": plain(given.Claims),
			}
		} else {
			found["rejected"] = given.Reason
		}
	case ringback.Decision:
		found["holds"], found["reason"] = given.Holds, given.Reason
	case ringback.Reply:
		headers := map[string]any{}
		for _, pair := range given.Headers {
			headers[strings.ToLower(pair.Name)] = pair.Value
		}
		found["reply"] = map[string]any{
			"status": float64(given.Status), "headers": headers, "body": string(given.Body),
			"body_base64": base64.StdEncoding.EncodeToString(given.Body),
		}
	default:
		found["data"], found["result"] = plain(answer), plain(answer)
	}
	if failure != nil {
		found = map[string]any{"failure": failure.Code, "message": failure.Message}
	}
	for kind, expected := range v.Expect {
		if !fits(kind, found[kind], expected) {
			t.Errorf("expected %s %v, and it is %v", kind, expected, found)
		}
	}
}

func plain(value any) (read any) {
	text, _ := json.Marshal(value)
	_ = json.Unmarshal(text, &read)
	return read
}

func fits(kind string, found, expected any) bool {
	text, _ := found.(string)
	part, isText := expected.(string)
	switch {
	case kind == "rejected" && expected == true:
		return text != ""
	case (kind == "rejected" || kind == "reason") && isText:
		return strings.Contains(text, part)
	case kind == "accepted" || kind == "reply" || kind == "headers":
		members, ok := found.(map[string]any)
		for name, value := range expected.(map[string]any) {
			if kind == "headers" {
				name = strings.ToLower(name)
			}
			ok = ok && fits(name, members[name], value)
		}
		return ok
	default:
		return reflect.DeepEqual(found, expected)
	}
}

func (v vector) answer() func(host.Request) (host.Response, error) {
	at := 0
	return func(request host.Request) (host.Response, error) {
		if at == len(v.HTTP) {
			return host.Response{}, ringback.Fail("host-not-allowed", "the case answers no more requests")
		}
		given := v.HTTP[at]
		at++
		if given.URL != "" && given.URL != request.URL {
			return host.Response{}, fmt.Errorf("a request went to %s", request.URL)
		}
		response := host.Response{Status: given.Status, Body: given.bytes()}
		for name, value := range given.Headers {
			response.Headers = append(response.Headers, host.Pair{Name: strings.ToLower(name), Value: value})
		}
		return response, nil
	}
}

func (v vector) callback() *ringback.Callback {
	if v.Role == "step" {
		return nil
	}
	options := []Option{}
	if v.Role == "verifier" || v.Role == "parser" {
		options = append(options, Unparsed())
	} else if v.Data != nil {
		options = append(options, Data(string(v.Data)))
	}
	made := Callback(string(v.Callback.bytes()), options...)
	raw := made.Raw()
	for name, value := range v.Callback.Headers {
		raw.Headers_ = append(raw.Headers_, host.Pair{Name: name, Value: value})
	}
	set(&raw.Method_, v.Callback.Method)
	set(&raw.URL_, v.Callback.URL)
	set(&raw.Environment_, v.Callback.Environment)
	for _, pair := range []struct{ to, from **string }{
		{&raw.Flow_, &v.Callback.Flow}, {&raw.Trigger_, &v.Callback.Trigger}, {&raw.RemoteAddress_, &v.Callback.RemoteAddress},
	} {
		if *pair.from != nil {
			*pair.to = *pair.from
		}
	}
	if v.Callback.Claims != nil {
		claims := string(v.Callback.Claims)
		raw.Claims_ = &claims
	}
	return made
}

func (v vector) execution() *ringback.Execution {
	if v.Execution == nil && v.Role != "step" {
		return nil
	}
	made := &host.Execution{
		ID_: "0190d6f0-0000-7000-8000-000000000002", Flow_: "test", Environment_: "default", Scope_: "{}",
	}
	if v.Execution != nil {
		set(&made.ID_, v.Execution.ID)
		set(&made.Flow_, v.Execution.Flow)
		set(&made.Environment_, v.Execution.Environment)
		set(&made.Scope_, string(v.Execution.Scope))
	}
	return ringback.ExecutionOf(made)
}

func set(to *string, text string) {
	if text != "" {
		*to = text
	}
}
