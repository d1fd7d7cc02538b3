//! Checks by a secret's name: its bytes stay on this side.

use super::CallState;
use super::resources::failure;
use crate::bindings::imports::secrets::{Host, Mac, MacAlgorithm, Part, SignatureAlgorithm};
use crate::bindings::imports::types::Failure;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, VerificationAlgorithm,
};
use aws_lc_rs::{constant_time, hmac};
use base64::Engine;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use ringback_rules::vault::SecretValue;
use wasmtime::Result;

impl CallState {
    /// Every value of a secret that counts.
    fn secret(&self, name: &str) -> std::result::Result<Vec<SecretValue>, Failure> {
        let unknown = || failure("unknown-secret", format!("there is no secret named {name:?}"));
        self.services.secrets.find_all(&self.workspace, &self.environment, name, self.now).ok_or_else(unknown)
    }
}

impl Host for CallState {
    fn verify_mac(
        &mut self,
        secret: String,
        algorithm: MacAlgorithm,
        message: Vec<u8>,
        mac: Vec<u8>,
    ) -> Result<std::result::Result<bool, Failure>> {
        Ok(self.secret(&secret).map(|values| is_mac(&values, algorithm, &[message.as_slice()], &mac)))
    }

    fn verify_mac_parts(
        &mut self,
        secret: String,
        algorithm: MacAlgorithm,
        message: Vec<Part>,
        mac: Mac,
    ) -> Result<std::result::Result<bool, Failure>> {
        let verify = || {
            let values = self.secret(&secret)?;
            let body = self.callback.as_ref().map(|callback| &callback.request.body);
            let missing = || failure("no-callback", "this call has no callback, and so no body");
            let parts = message.iter().map(|part| match part {
                Part::Bytes(bytes) => Ok(bytes.as_slice()),
                Part::Body => body.map(AsRef::as_ref).ok_or_else(missing),
            });
            let parts = parts.collect::<std::result::Result<Vec<&[u8]>, Failure>>()?;
            Ok(mac_bytes(mac).is_some_and(|mac| is_mac(&values, algorithm, &parts, &mac)))
        };
        Ok(verify())
    }

    fn verify_signature(
        &mut self,
        key: String,
        algorithm: SignatureAlgorithm,
        message: Vec<u8>,
        signature: Vec<u8>,
    ) -> Result<std::result::Result<bool, Failure>> {
        let algorithm: &'static dyn VerificationAlgorithm = match algorithm {
            SignatureAlgorithm::Ed25519 => &ED25519,
            SignatureAlgorithm::EcdsaP256Sha256 => &ECDSA_P256_SHA256_ASN1,
            SignatureAlgorithm::RsaPkcs1Sha256 => &RSA_PKCS1_2048_8192_SHA256,
        };
        let verify = || {
            let unusable = || failure("invalid-key", format!("the secret {key:?} is not such a public key"));
            let usable = |value: &SecretValue| ParsedPublicKey::new(algorithm, key_bytes(value.bytes())?).ok();
            let keys: Vec<_> = self.secret(&key)?.iter().filter_map(usable).collect();
            if keys.is_empty() {
                return Err(unusable());
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

/// Whether one of the values makes this hash of the parts.
fn is_mac(values: &[SecretValue], algorithm: MacAlgorithm, parts: &[&[u8]], mac: &[u8]) -> bool {
    let algorithm = match algorithm {
        MacAlgorithm::HmacSha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
        MacAlgorithm::HmacSha256 => hmac::HMAC_SHA256,
        MacAlgorithm::HmacSha512 => hmac::HMAC_SHA512,
    };
    // A key of no bytes is everyone's key.
    values.iter().filter(|value| !value.bytes().is_empty()).any(|value| {
        let mut context = hmac::Context::with_key(&hmac::Key::new(algorithm, value.bytes()));
        parts.iter().for_each(|part| context.update(part));
        constant_time::verify_slices_are_equal(context.sign().as_ref(), mac).is_ok()
    })
}

/// What a caller sent; `None` when it is not what it should be.
fn mac_bytes(mac: Mac) -> Option<Vec<u8>> {
    const LENIENT: GeneralPurposeConfig =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    match mac {
        Mac::Bytes(bytes) => Some(bytes),
        Mac::Hex(text) => {
            let (pairs, rest) = text.as_bytes().as_chunks::<2>();
            let byte = |pair: &[u8; 2]| {
                let text = std::str::from_utf8(pair).ok().filter(|text| !text.starts_with('+'))?;
                u8::from_str_radix(text, 16).ok()
            };
            rest.is_empty().then(|| pairs.iter().map(byte).collect())?
        }
        Mac::Base64(text) => {
            let is_for_urls = text.contains(['-', '_']);
            let alphabet = if is_for_urls { &alphabet::URL_SAFE } else { &alphabet::STANDARD };
            GeneralPurpose::new(alphabet, LENIENT).decode(text).ok()
        }
    }
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
    use super::{Mac, key_bytes, mac_bytes};

    #[test]
    fn hashes_are_read_in_every_form_and_no_other() {
        let hex = |text: &str| mac_bytes(Mac::Hex(text.to_owned()));
        let base64 = |text: &str| mac_bytes(Mac::Base64(text.to_owned()));
        assert_eq!(mac_bytes(Mac::Bytes(vec![1, 2])), Some(vec![1, 2]));
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

    #[test]
    fn keys_are_pem_or_base64() {
        assert_eq!(key_bytes(b"-----BEGIN PUBLIC KEY-----\nAQ\nID\n-----END PUBLIC KEY-----\n").unwrap(), [1, 2, 3]);
        assert_eq!(key_bytes(b" AQID\n").unwrap(), [1, 2, 3]);
        assert_eq!(key_bytes(b"not base64!"), None);
        assert_eq!(key_bytes(&[0xff]), None);
    }
}
