//! Checks by a secret's name: its bytes stay on this side.

use super::CallState;
use super::resources::failure;
use crate::bindings::imports::secrets::{Encoded, Host, KeyForm, MacAlgorithm, Part, SignatureAlgorithm};
use crate::bindings::imports::types::Failure;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_ASN1, ECDSA_P384_SHA384_FIXED, ED25519,
    ParsedPublicKey, RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256, VerificationAlgorithm,
};
use aws_lc_rs::{constant_time, hmac};
use base64::Engine;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use ringback_rules::vault::SecretValue;
use std::borrow::Cow;
use wasmtime::Result;

impl CallState {
    /// Every value of a secret that counts.
    fn secret(&self, name: &str) -> std::result::Result<Vec<SecretValue>, Failure> {
        let unknown = || failure("unknown-secret", format!("there is no secret named {name:?}"));
        self.services.secrets.find_all(&self.workspace, &self.environment, name, self.now).ok_or_else(unknown)
    }

    /// The parts of a message, without copying the body.
    fn parts<'p>(&'p self, message: &'p [Part]) -> std::result::Result<Vec<&'p [u8]>, Failure> {
        let body = self.callback.as_ref().map(|callback| &callback.request.body);
        let missing = || failure("no-callback", "this call has no callback, and so no body");
        let parts = message.iter().map(|part| match part {
            Part::Bytes(bytes) => Ok(bytes.as_slice()),
            Part::Body => body.map(AsRef::as_ref).ok_or_else(missing),
        });
        parts.collect()
    }
}

impl Host for CallState {
    fn verify_mac(
        &mut self,
        secret: String,
        key: KeyForm,
        algorithm: MacAlgorithm,
        message: Vec<Part>,
        mac: Encoded,
    ) -> Result<std::result::Result<bool, Failure>> {
        let verify = || {
            let values = self.secret(&secret)?;
            let parts = self.parts(&message)?;
            let keys: Vec<Cow<'_, [u8]>> = values.iter().filter_map(|value| key_of(value.bytes(), key)).collect();
            if keys.is_empty() {
                return Err(failure("invalid-key", format!("the secret {secret:?} is no {}", name_of(key))));
            }
            Ok(bytes_of(mac).is_some_and(|mac| is_mac(&keys, algorithm, &parts, &mac)))
        };
        Ok(verify())
    }

    fn verify_signature(
        &mut self,
        key: String,
        algorithm: SignatureAlgorithm,
        message: Vec<Part>,
        signature: Encoded,
    ) -> Result<std::result::Result<bool, Failure>> {
        let verify = || {
            let values = self.secret(&key)?;
            let parts = self.parts(&message)?;
            let message = match parts.as_slice() {
                [part] => Cow::Borrowed(*part),
                parts => Cow::Owned(parts.concat()),
            };
            let Some(signature) = bytes_of(signature) else { return Ok(false) };
            let usable = |value: &SecretValue| {
                let bytes = key_bytes(value.bytes())?;
                let keys: Vec<_> = algorithms(algorithm, signature.len())
                    .iter()
                    .filter_map(|algorithm| ParsedPublicKey::new(*algorithm, &bytes).ok())
                    .collect();
                (!keys.is_empty()).then_some(keys)
            };
            let keys: Vec<_> = values.iter().filter_map(usable).flatten().collect();
            if keys.is_empty() {
                return Err(failure("invalid-key", format!("the secret {key:?} is not such a public key")));
            }
            Ok(keys.iter().any(|key| key.verify_sig(&message, &signature).is_ok()))
        };
        Ok(verify())
    }

    fn equals(&mut self, secret: String, value: Vec<u8>) -> Result<std::result::Result<bool, Failure>> {
        Ok(self.secret(&secret).map(|known| {
            known.iter().any(|known| {
                !known.bytes().is_empty() && constant_time::verify_slices_are_equal(known.bytes(), &value).is_ok()
            })
        }))
    }
}

/// The algorithms by which a signature may be of this kind: the numbers of ECDSA are written in two ways, of which one has a
/// fixed length.
fn algorithms(kind: SignatureAlgorithm, length: usize) -> &'static [&'static dyn VerificationAlgorithm] {
    match kind {
        SignatureAlgorithm::Ed25519 => &[&ED25519],
        SignatureAlgorithm::EcdsaP256Sha256 if length == 64 => &[&ECDSA_P256_SHA256_FIXED, &ECDSA_P256_SHA256_ASN1],
        SignatureAlgorithm::EcdsaP256Sha256 => &[&ECDSA_P256_SHA256_ASN1],
        SignatureAlgorithm::EcdsaP384Sha384 if length == 96 => &[&ECDSA_P384_SHA384_FIXED, &ECDSA_P384_SHA384_ASN1],
        SignatureAlgorithm::EcdsaP384Sha384 => &[&ECDSA_P384_SHA384_ASN1],
        SignatureAlgorithm::RsaPkcs1Sha1 => &[&RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY],
        SignatureAlgorithm::RsaPkcs1Sha256 => &[&RSA_PKCS1_2048_8192_SHA256],
        SignatureAlgorithm::RsaPkcs1Sha512 => &[&RSA_PKCS1_2048_8192_SHA512],
        SignatureAlgorithm::RsaPssSha256 => &[&RSA_PSS_2048_8192_SHA256],
    }
}

/// Whether one of the keys makes this hash of the parts.
fn is_mac(keys: &[Cow<'_, [u8]>], algorithm: MacAlgorithm, parts: &[&[u8]], mac: &[u8]) -> bool {
    let algorithm = match algorithm {
        MacAlgorithm::HmacSha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
        MacAlgorithm::HmacSha256 => hmac::HMAC_SHA256,
        MacAlgorithm::HmacSha384 => hmac::HMAC_SHA384,
        MacAlgorithm::HmacSha512 => hmac::HMAC_SHA512,
    };
    // A key of no bytes is everyone's key.
    keys.iter().filter(|key| !key.is_empty()).any(|key| {
        let mut context = hmac::Context::with_key(&hmac::Key::new(algorithm, key));
        parts.iter().for_each(|part| context.update(part));
        constant_time::verify_slices_are_equal(context.sign().as_ref(), mac).is_ok()
    })
}

/// The key that the value of a secret says; `None` when it does not.
fn key_of(value: &[u8], form: KeyForm) -> Option<Cow<'_, [u8]>> {
    let text = || std::str::from_utf8(value).ok().map(str::trim);
    match form {
        KeyForm::Plain => Some(Cow::Borrowed(value)),
        KeyForm::Hex => text().and_then(of_hex).map(Cow::Owned),
        KeyForm::Base64 => text().and_then(of_base64).map(Cow::Owned),
    }
}

fn name_of(form: KeyForm) -> &'static str {
    match form {
        KeyForm::Plain => "key",
        KeyForm::Hex => "key in hexadecimal",
        KeyForm::Base64 => "key in base64",
    }
}

/// What a caller sent; `None` when it is not what it should be.
fn bytes_of(encoded: Encoded) -> Option<Vec<u8>> {
    match encoded {
        Encoded::Bytes(bytes) => Some(bytes),
        Encoded::Hex(text) => of_hex(&text),
        Encoded::Base64(text) => of_base64(&text),
    }
}

fn of_hex(text: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let byte = |pair: &[u8; 2]| {
        let text = std::str::from_utf8(pair).ok().filter(|text| !text.starts_with('+'))?;
        u8::from_str_radix(text, 16).ok()
    };
    rest.is_empty().then(|| pairs.iter().map(byte).collect())?
}

fn of_base64(text: &str) -> Option<Vec<u8>> {
    const LENIENT: GeneralPurposeConfig =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let is_for_urls = text.contains(['-', '_']);
    let alphabet = if is_for_urls { &alphabet::URL_SAFE } else { &alphabet::STANDARD };
    GeneralPurpose::new(alphabet, LENIENT).decode(text).ok()
}

/// A public key from PEM, or from base64 of DER or of its raw bytes.
fn key_bytes(secret: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(secret).ok()?.trim();
    let encoded: String = match text.strip_prefix("-----BEGIN PUBLIC KEY-----") {
        Some(rest) => rest.split("-----").next()?.split_whitespace().collect(),
        None => text.to_owned(),
    };
    STANDARD.decode(encoded).ok()
}

#[cfg(test)]
mod tests {
    use super::{Encoded, KeyForm, bytes_of, key_bytes, key_of};

    #[test]
    fn hashes_are_read_in_every_form_and_no_other() {
        let hex = |text: &str| bytes_of(Encoded::Hex(text.to_owned()));
        let base64 = |text: &str| bytes_of(Encoded::Base64(text.to_owned()));
        assert_eq!(bytes_of(Encoded::Bytes(vec![1, 2])), Some(vec![1, 2]));
        assert_eq!(hex("00fFa0"), Some(vec![0, 255, 160]));
        for text in ["0", "0g", "+1", "-1", " 01", "0x01", "é"] {
            assert_eq!(hex(text), None, "{text}");
        }
        for text in ["+/8=", "+/8", "-_8", "-_8="] {
            assert_eq!(base64(text), Some(vec![0xfb, 0xff]), "{text}");
        }
        for text in ["+_8=", "+/8 ", "+/8==", "+", "é"] {
            assert_eq!(base64(text), None, "{text}");
        }
    }

    /// A secret may be written with a line end, as editors leave it; as plain bytes it is what it is.
    #[test]
    fn the_value_of_a_secret_says_a_key() {
        assert_eq!(key_of(b" 0aff\n", KeyForm::Hex).as_deref(), Some(&[10, 255][..]));
        assert_eq!(key_of(b"Cv8\n", KeyForm::Base64).as_deref(), Some(&[10, 255][..]));
        assert_eq!(key_of(b"0aff\n", KeyForm::Plain).as_deref(), Some(&b"0aff\n"[..]));
        for value in ["key", "0a f", "\u{e9}"] {
            assert_eq!(key_of(value.as_bytes(), KeyForm::Hex), None, "{value}");
        }
        assert_eq!(key_of(b"a key", KeyForm::Base64), None);
    }

    #[test]
    fn keys_are_pem_or_base64() {
        assert_eq!(key_bytes(b"-----BEGIN PUBLIC KEY-----\nAQ\nID\n-----END PUBLIC KEY-----\n").unwrap(), [1, 2, 3]);
        assert_eq!(key_bytes(b" AQID\n").unwrap(), [1, 2, 3]);
        assert_eq!(key_bytes(b"not base64!"), None);
        assert_eq!(key_bytes(&[0xff]), None);
    }
}
