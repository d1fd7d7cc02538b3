// Package tests tries the parts of the SDK that need no host, and the host of the tests.
package tests

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"

	"ringback"
	"ringback/condition"
	"ringback/internal/core"
	"ringback/ringbacktest"
	"ringback/secrets"
	"ringback/state"
	"ringback/step"
	"ringback/web"
)

type config struct {
	Minimum float64        `json:"minimum" doc:"The least total."`
	Names   []string       `json:"names,omitempty"`
	Inner   *inner         `json:"inner"`
	Any     any            `json:"any,omitempty"`
	Counts  map[string]int `json:"counts,omitempty"`
	hidden  int
}

type inner struct {
	On bool `json:"on"`
}

func (c *config) Validate() error {
	if c.Minimum < 0 {
		return errors.New("a minimum is not negative")
	}
	return nil
}

func TestConfigurationsThatDoNotFitAreMistakesWithTheirPlace(t *testing.T) {
	for text, expected := range map[string]string{
		`null`:                              "/minimum: `minimum` is missing",
		`{}`:                                "/minimum: `minimum` is missing",
		`{"minimum": "x"}`:                  "/minimum: `minimum` must be of type float64, and is a string",
		`{"minimum": 1, "maximum": 2}`:      `: unknown field "maximum"`,
		`{"minimum": 1, "inner": {"on":1}}`: "/inner/on: `inner.on` must be of type bool, and is a number",
		`{"minimum": -1}`:                   ": a minimum is not negative",
		`[]`:                                "` must be of type tests.config, and is a array",
		`{"minimum": 1} x`:                  ": there is more behind the configuration",
	} {
		var read config
		var failure *ringback.Failure
		err := core.Read(text, &read)
		if !errors.As(err, &failure) || failure.Code != "invalid-config" || failure.Pointer == nil {
			t.Fatalf("%s: %v", text, err)
		}
		if said := *failure.Pointer + ": " + failure.Message; !strings.HasSuffix(said, expected) {
			t.Errorf("%s: %s", text, said)
		}
	}
	var read config
	if err := core.Read(`{"minimum": 1, "names": ["a"], "inner": null}`, &read); err != nil || read.Minimum != 1 {
		t.Error(read, err)
	}
}

func TestTheSchemaSaysTheSame(t *testing.T) {
	text, _ := json.Marshal(core.Schema(reflect.TypeFor[config]()))
	expected := `{"additionalProperties":false,"properties":{"any":{},` +
		`"counts":{"additionalProperties":{"type":"integer"},"type":"object"},` +
		`"inner":{"anyOf":[{"additionalProperties":false,"properties":{"on":{"type":"boolean"}},"required":["on"],"type":"object"},` +
		`{"type":"null"}]},"minimum":{"description":"The least total.","type":"number"},` +
		`"names":{"items":{"type":"string"},"type":"array"}},"required":["minimum"],"type":"object"}`
	if string(text) != expected {
		t.Error(string(text))
	}
}

func TestErrorsAndPanicsAreFailures(t *testing.T) {
	step.Register(func(_ *ringback.Execution, config struct{ Do string }) (any, error) {
		switch config.Do {
		case "fail":
			return nil, ringback.Fail("no-luck", "no luck")
		case "err":
			return nil, errors.New("something")
		default:
			var none map[string]int
			none["a"] = 1
			return none, nil
		}
	})
	for do, expected := range map[string]string{
		"fail": "no-luck: no luck", "err": "error: something", "panic": "panic: assignment to entry in nil map",
	} {
		_, err := ringbacktest.Call("step", nil, ringbacktest.Execution("{}"), `{"Do": "`+do+`"}`)
		if err == nil || err.Error() != expected {
			t.Errorf("%s: %v", do, err)
		}
	}
	if _, err := ringbacktest.Call("parser", nil, nil, "null"); err == nil {
		t.Error("a role that is not there answers")
	}
}

func TestARoleIsRegisteredOnce(t *testing.T) {
	never := func(*ringback.Callback, *ringback.Execution, struct{}) (ringback.Decision, error) {
		return ringback.Decision{}, nil
	}
	condition.Register(never)
	defer func() {
		if recover() == nil {
			t.Error("two conditions are one too many")
		}
	}()
	condition.Register(never)
}

func TestTheHostOfTheTestsDoesAsTheHostDoes(t *testing.T) {
	callback := ringbacktest.Callback(`{"a": {"b": [1, {"c": "x"}]}}`, ringbacktest.URL("https://shop.test/h/k?a=1&b=caf%C3%A9+x&a=2"),
		ringbacktest.Header("X-A", "1"), ringbacktest.Header("x-a", "2"))
	if header, _ := callback.Header("X-a"); header != "1, 2" || callback.Path() != "/h/k" || len(callback.Query("a")) != 2 {
		t.Error(header, callback.Path(), callback.Query("a"))
	}
	for path, expected := range map[string]string{
		"$": `[{"a":{"b":[1,{"c":"x"}]}}]`, "$.a.b[*]": `[1,{"c":"x"}]`, "$['a'].b[1].c": `["x"]`, "$.none.at": `[]`, "$.a.b[7]": `[]`,
	} {
		found, err := callback.Select(path)
		if text, _ := json.Marshal(found); err != nil || string(text) != expected {
			t.Errorf("%s: %s %v", path, text, err)
		}
	}
	for _, path := range []string{"a", "$..a", "$.a[?@.b]", "$.", "$[-1]"} {
		if _, err := callback.Select(path); err == nil || !strings.HasPrefix(err.Error(), "invalid-path") {
			t.Errorf("%s: %v", path, err)
		}
	}

	ringbacktest.Use(t, &ringbacktest.Host{Secrets: map[string]string{"KEY": "key", "HEX": "6b6579"}})
	body := ringbacktest.Callback("brown fox jumps over the lazy dog")
	mac := "f7bc83f430538424b13298e6aa6fb143ef4d59a14946175997479dbc2d1a3cd8"
	right, err := secrets.VerifyHMAC("KEY", secrets.SHA256, secrets.Hex(mac), secrets.Bytes("The quick "), secrets.Body(body))
	inHex, hexErr := secrets.VerifyHMACWith("HEX", secrets.HexKey, secrets.SHA256, secrets.Hex(mac), secrets.Bytes("The quick "), secrets.Body(body))
	wrong, wrongErr := secrets.VerifyHMAC("KEY", secrets.SHA256, secrets.Hex(mac), secrets.Body(body))
	noHex, noHexErr := secrets.VerifyHMAC("KEY", secrets.SHA256, secrets.Hex("zz"), secrets.Body(body))
	if !right || !inHex || wrong || noHex || errors.Join(err, hexErr, wrongErr, noHexErr) != nil {
		t.Error(right, inHex, wrong, noHex, err, hexErr, wrongErr, noHexErr)
	}
	if _, err := secrets.Equal("NONE", "x"); err == nil || !strings.HasPrefix(err.Error(), "unknown-secret") {
		t.Error(err)
	}
	if err := state.Set("", nil); err == nil || !strings.HasPrefix(err.Error(), "too-large") {
		t.Error(err)
	}
	if err := state.Set("k", []byte("1")); err != nil {
		t.Error(err)
	}
	if value, err := state.Get("k"); string(value) != "1" || err != nil {
		t.Error(value, err)
	}
	if err := state.Remove("k"); err != nil {
		t.Error(err)
	}
	if value, err := state.Get("k"); value != nil || err != nil {
		t.Error(value, err)
	}
	if _, err := web.Send(web.Request{}); err == nil || !strings.HasPrefix(err.Error(), "host-not-allowed") {
		t.Error(err)
	}
}
