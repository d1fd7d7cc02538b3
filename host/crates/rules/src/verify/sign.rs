//! A callback as its sender would send it, for those who try a trigger: only where what proves it also makes the proof.

use super::{Verify, verify};
use crate::vault::{SecretValue, Vault};
use ringback_records::callback::Callback;
use ringback_records::time::Timestamp;
use std::sync::Arc;

/// Gives a callback the proof that a trigger wants, under the newest value of the first of its secrets.
///
/// # Errors
///
/// It cannot be made here, in words.
pub fn sign(scheme: &Verify, mut callback: Callback, secrets: &Vault, now: Timestamp) -> Result<Callback, String> {
    let by_key = "its senders sign with a key that only they have";
    let (workspace, environment) = (callback.workspace.clone(), callback.environment.clone());
    let find = |names: &[String]| -> Result<SecretValue, String> {
        let name = names.first().map_or("", String::as_str);
        let value = secrets.find(&workspace, &environment, name);
        value.ok_or_else(|| format!("there is no secret named {name} yet"))
    };
    match scheme {
        Verify::None | Verify::CloudEvents { .. } => return Ok(callback),
        Verify::StandardWebhooks { secrets, .. } => {
            super::standard_webhooks::sign(&mut callback, &find(secrets)?, now)?;
        }
        Verify::Provider { provider, secrets, url, .. } => {
            provider.sign(&mut callback, &find(secrets)?, url.as_deref(), now)?;
        }
        Verify::Described { recipe, secrets, url, .. } => {
            recipe.sign(&mut callback, &find(secrets)?, url.as_deref(), now)?;
        }
        Verify::Message { .. } | Verify::Certificate(_) | Verify::Plaid(_) => return Err(by_key.to_owned()),
        Verify::Plugin(call) => return Err(format!("only the plugin {} knows what proves it", call.plugin)),
    }
    // Nothing is said to be signed that would be refused.
    match verify(scheme, Arc::new(callback.clone()), secrets, now, None) {
        Ok(_) => Ok(callback),
        Err(stop) => Err(format!("what would prove it cannot be made here: {}", stop.reason)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::callback;
    use super::super::{Provider, Recipe, Source, Verify, providers, verify};
    use super::sign;
    use crate::vault::Vault;
    use ringback_records::name::Name;
    use ringback_records::time::Timestamp;
    use std::sync::Arc;
    use std::time::Duration;

    const NOW: Timestamp = Timestamp::from_millis(1_795_696_189_308);

    fn of(provider: &'static Provider) -> Verify {
        let secrets = vec!["S".to_owned()];
        Verify::Provider { provider, secrets, tolerance: provider.tolerance, verify_tokens: Vec::new(), url: None }
    }

    #[test]
    fn what_is_signed_here_is_genuine_and_what_cannot_be_is_said() {
        let mut refused = Vec::new();
        for provider in providers() {
            let secret = ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "00ff10"]
                .into_iter()
                .find(|secret| provider.check_secret(secret.as_bytes()).is_ok());
            let Some(secret) = secret else {
                refused.push(provider.name);
                continue;
            };
            let vault = Vault::in_memory(&Name::default_name(), &[("S", secret)]);
            let scheme = of(provider);
            let sent = callback(&[("content-type", "application/json")], br#"{"id": "e-1", "total": 20}"#);
            match sign(&scheme, sent, &vault, NOW) {
                Ok(signed) => {
                    let other = Vault::in_memory(&Name::default_name(), &[("S", "whsec_AAAA")]);
                    assert!(verify(&scheme, Arc::new(signed.clone()), &vault, NOW, None).is_ok(), "{}", provider.name);
                    assert!(verify(&scheme, Arc::new(signed), &other, NOW, None).is_err(), "{}", provider.name);
                }
                Err(why) => {
                    assert!(!why.is_empty() && !why.contains(secret), "{}: {why}", provider.name);
                    refused.push(provider.name);
                }
            }
        }
        assert!(providers().len() - refused.len() >= 40, "not signed: {refused:?}");
        for name in ["github", "stripe", "shopify", "slack"] {
            assert!(!refused.contains(&name), "{name}");
        }
    }

    #[test]
    fn one_that_is_described_is_signed_where_it_says() {
        let vault = Vault::in_memory(&Name::default_name(), &[("S", "key")]);
        let scheme = |recipe| Verify::Described {
            recipe: Box::new(recipe),
            secrets: vec!["S".to_owned()],
            tolerance: Duration::from_mins(5),
            url: None,
        };
        let signed = sign(&scheme(Recipe::over_body("x-signature")), callback(&[], b"{}"), &vault, NOW).unwrap();
        assert_eq!(signed.request.header("x-signature").map(|text| text.len()), Some(64));
        // What stood there before is no second signature.
        let again = sign(&scheme(Recipe::over_body("x-signature")), signed, &vault, NOW).unwrap();
        assert_eq!(again.request.headers.get_all("x-signature").iter().count(), 1);
        let by_query = scheme(Recipe::equal(Source::parse("query:token").unwrap(), ""));
        let signed = sign(&by_query, callback(&[], b"{}"), &vault, NOW).unwrap();
        assert_eq!(signed.request.query, "token=key");
        let in_body = scheme(Recipe { at: vec![Source::parse("body:/s").unwrap()], ..Recipe::over_body("x") });
        assert!(sign(&in_body, callback(&[], b"{}"), &vault, NOW).unwrap_err().contains("in its body"));
        let nobody = Vault::in_memory(&Name::default_name(), &[]);
        let missing = sign(&by_query, callback(&[], b"{}"), &nobody, NOW).unwrap_err();
        assert_eq!(missing, "there is no secret named S yet");
    }
}
