// Package core keeps the functions that a plugin has registered, and calls them.
package core

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"

	"ringback/internal/host"
)

// Schema is the JSON Schema of a type, by the names that encoding/json gives its fields.
func Schema(of reflect.Type) map[string]any {
	switch of.Kind() {
	case reflect.Bool:
		return map[string]any{"type": "boolean"}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return map[string]any{"type": "integer"}
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return map[string]any{"type": "integer", "minimum": 0}
	case reflect.Float32, reflect.Float64:
		return map[string]any{"type": "number"}
	case reflect.String:
		return map[string]any{"type": "string"}
	case reflect.Pointer:
		return map[string]any{"anyOf": []any{Schema(of.Elem()), map[string]any{"type": "null"}}}
	case reflect.Map:
		return map[string]any{"type": "object", "additionalProperties": Schema(of.Elem())}
	case reflect.Slice, reflect.Array:
		if of == reflect.TypeFor[json.RawMessage]() {
			return map[string]any{}
		}
		if of.Elem().Kind() == reflect.Uint8 {
			return map[string]any{"type": "string", "contentEncoding": "base64"}
		}
		return map[string]any{"type": "array", "items": Schema(of.Elem())}
	case reflect.Struct:
		if of.Implements(reflect.TypeFor[json.Unmarshaler]()) || reflect.PointerTo(of).Implements(reflect.TypeFor[json.Unmarshaler]()) {
			return map[string]any{}
		}
		return ofStruct(of)
	default:
		return map[string]any{}
	}
}

func ofStruct(of reflect.Type) map[string]any {
	properties, required := map[string]any{}, []string{}
	for _, field := range reflect.VisibleFields(of) {
		name, optional, ok := jsonName(field)
		if !ok {
			continue
		}
		schema := Schema(field.Type)
		if doc := field.Tag.Get("doc"); doc != "" {
			schema["description"] = doc
		}
		properties[name] = schema
		if !optional {
			required = append(required, name)
		}
	}
	schema := map[string]any{"type": "object", "properties": properties, "additionalProperties": false}
	if len(required) > 0 {
		schema["required"] = required
	}
	return schema
}

// The name of a field in JSON, and whether it may be absent.
func jsonName(field reflect.StructField) (name string, optional, ok bool) {
	tag := field.Tag.Get("json")
	if tag == "-" || !field.IsExported() || field.Anonymous {
		return "", false, false
	}
	name, options, _ := strings.Cut(tag, ",")
	if name == "" {
		name = field.Name
	}
	return name, field.Type.Kind() == reflect.Pointer || strings.Contains(options, "omit"), true
}

// Read reads a configuration; a mistake is a failure with its place.
func Read(text string, into any) error {
	if text == "null" {
		// As in all of the SDKs, a configuration that is absent may also be an empty object.
		text = "{}"
		if kind := reflect.TypeOf(into).Elem().Kind(); kind != reflect.Struct && kind != reflect.Map {
			text = "null"
		}
	}
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		return mistake(err)
	}
	if _, err := decoder.Token(); err != io.EOF {
		return invalid("", "there is more behind the configuration")
	}
	if missing := missing(reflect.TypeOf(into).Elem(), []byte(text)); missing != "" {
		return invalid("/"+missing, "`"+missing+"` is missing")
	}
	if checked, ok := into.(interface{ Validate() error }); ok {
		if err := checked.Validate(); err != nil {
			return invalid("", err.Error())
		}
	}
	return nil
}

// The first member that an object has to have, and has not.
func missing(of reflect.Type, text []byte) string {
	if of.Kind() != reflect.Struct || !bytes.HasPrefix(bytes.TrimSpace(text), []byte("{")) {
		return ""
	}
	var members map[string]json.RawMessage
	if json.Unmarshal(text, &members) != nil {
		return ""
	}
	for _, field := range reflect.VisibleFields(of) {
		if name, optional, ok := jsonName(field); ok && !optional && members[name] == nil {
			return name
		}
	}
	return ""
}

func mistake(err error) error {
	var wrong *json.UnmarshalTypeError
	if errors.As(err, &wrong) {
		place := strings.ReplaceAll(wrong.Field, ".", "/")
		if place != "" {
			place = "/" + place
		}
		return invalid(place, fmt.Sprintf("`%s` must be of type %s, and is a %s", wrong.Field, wrong.Type, wrong.Value))
	}
	return invalid("", strings.TrimPrefix(err.Error(), "json: "))
}

func invalid(pointer, message string) error {
	return &host.Failure{Code: "invalid-config", Message: message, Pointer: &pointer}
}
