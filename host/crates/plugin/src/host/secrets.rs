//! Checks by a secret's name: its bytes stay on this side.

use super::CallState;
use super::resources::failure;
use crate::bindings::imports::secrets::{Host, MacAlgorithm, SignatureAlgorithm};
use crate::bindings::imports::types::Failure;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, VerificationAlgorithm,
};
use aws_lc_rs::{constant_time, hmac};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
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
        let algorithm = match algorithm {
            MacAlgorithm::HmacSha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
            MacAlgorithm::HmacSha256 => hmac::HMAC_SHA256,
            MacAlgorithm::HmacSha512 => hmac::HMAC_SHA512,
        };
        Ok(self.secret(&secret).map(|values| {
            // A key of no bytes is everyone's key.
            values.iter().any(|value| {
                !value.bytes().is_empty()
                    && hmac::verify(&hmac::Key::new(algorithm, value.bytes()), &message, &mac).is_ok()
            })
        }))
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
    use super::key_bytes;

    #[test]
    fn keys_are_pem_or_base64() {
        assert_eq!(key_bytes(b"-----BEGIN PUBLIC KEY-----\nAQ\nID\n-----END PUBLIC KEY-----\n").unwrap(), [1, 2, 3]);
        assert_eq!(key_bytes(b" AQID\n").unwrap(), [1, 2, 3]);
        assert_eq!(key_bytes(b"not base64!"), None);
        assert_eq!(key_bytes(&[0xff]), None);
    }
}
