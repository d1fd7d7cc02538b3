// Package secrets checks with secrets and keys that are stored by name; their values never enter the plugin.
package secrets

import (
	"ringback"
	"ringback/internal/host"
)

// A Part of a message.
type Part = host.Part

// Bytes is a part of these bytes.
func Bytes[T string | []byte](bytes T) Part { return Part{Bytes: []byte(bytes)} }

// Body is the body of a callback as a part; it does not enter the plugin.
func Body(callback *ringback.Callback) Part { return Part{Body: callback.Raw()} }

// Encoded is a hash or a signature as a caller sent it.
type Encoded = host.Encoded

// Raw is the bytes themselves.
func Raw(bytes []byte) Encoded { return Encoded{Encoding: host.Raw, Value: string(bytes)} }

// Hex is in hexadecimal, in upper or lower case.
func Hex(text string) Encoded { return Encoded{Encoding: host.Hex, Value: text} }

// Base64 is in base64, with the alphabet for texts or for URLs.
func Base64(text string) Encoded { return Encoded{Encoding: host.Base64, Value: text} }

// A Form is how the value of a secret says a key.
type Form uint8

// The forms of keys.
const (
	Plain Form = iota
	HexKey
	Base64Key
)

// A Hash is what an HMAC is made with.
type Hash uint8

// The hashes.
const (
	SHA1 Hash = iota
	SHA256
	SHA384
	SHA512
)

// VerifyHMAC tells whether mac is the HMAC of the parts under the secret of that name; fails as "unknown-secret".
func VerifyHMAC(secret string, hash Hash, mac Encoded, message ...Part) (bool, error) {
	return VerifyHMACWith(secret, Plain, hash, mac, message...)
}

// VerifyHMACWith does the same with a key that the secret says in another form; fails also as "invalid-key".
func VerifyHMACWith(secret string, form Form, hash Hash, mac Encoded, message ...Part) (bool, error) {
	return host.VerifyMAC(secret, uint8(form), uint8(hash), message, mac)
}

// A Scheme is how something is signed.
type Scheme uint8

// The schemes.
const (
	Ed25519 Scheme = iota
	ECDSAP256SHA256
	ECDSAP384SHA384
	RSAPKCS1SHA1
	RSAPKCS1SHA256
	RSAPKCS1SHA512
	RSAPSSSHA256
)

// VerifySignature tells whether signature signs the parts under the public key of that name; fails as "unknown-secret" or
// "invalid-key".
func VerifySignature(key string, scheme Scheme, signature Encoded, message ...Part) (bool, error) {
	return host.VerifySignature(key, uint8(scheme), message, signature)
}

// Equal tells whether a value is the secret of that name, in constant time; fails as "unknown-secret".
func Equal(secret, value string) (bool, error) {
	return host.Equals(secret, []byte(value))
}
