//! What the URLs of a flow are made of: made once, kept over versions.

use super::FlowError;
use aws_lc_rs::error::Unspecified;
use ringback_records::flow::{CallbackIds, FlowRecord, Ids, SIGNATURE_LENGTH};
use ringback_records::name::{Name, SECRET_MIN, random_id, random_key};
use ringback_rules::flow::{CallbackSpec, Flow, GivenIds, Mistake, Trigger};
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

/// Gives every trigger and callback what its URLs are made of: what the flow brings along, what it had before, else something
/// random. Of what it brings along, these signatures were dropped.
///
/// # Errors
///
/// A callback would have too many signatures, or there are no random bytes.
pub(super) fn complete(
    all: &mut BTreeMap<Name, Ids>,
    flow: &Flow,
    dropped: &BTreeSet<String>,
) -> Result<(), FlowError> {
    let brought = flow.triggers.iter().find_map(|trigger| trigger.ids.flow);
    let known = brought.or_else(|| all.values().next().map(|known| known.flow));
    let flow_id = known.map_or_else(random_id, Ok)?;
    for trigger in &flow.triggers {
        let ids = match all.entry(trigger.id.clone()) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => {
                let ids = Ids { key: random_key()?, flow: flow_id, trigger: random_id()?, callbacks: BTreeMap::new() };
                new.insert(ids)
            }
        };
        let GivenIds { key, flow, trigger: id } = &trigger.ids;
        ids.key = key.clone().unwrap_or_else(|| std::mem::take(&mut ids.key));
        ids.flow = flow.unwrap_or(ids.flow);
        ids.trigger = id.unwrap_or(ids.trigger);
        for spec in &trigger.callbacks {
            let of_callback = match ids.callbacks.entry(spec.name.clone()) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(new) => {
                    let (id, signatures) = (callback_id(random_id()?), Vec::new());
                    let mut ids = CallbackIds { id, signatures, keys: BTreeMap::new(), dropped: Vec::new() };
                    if spec.signature.as_ref().is_none_or(|brought| dropped.contains(brought)) {
                        add_signature(&mut ids)?;
                    }
                    new.insert(ids)
                }
            };
            of_callback.id = spec.id.clone().unwrap_or_else(|| std::mem::take(&mut of_callback.id));
            let is_new = |one: &&String| !of_callback.signatures.contains(one) && !dropped.contains(*one);
            if let Some(brought) = spec.signature.as_ref().filter(is_new) {
                if of_callback.signatures.len() >= SIGNATURES_MAX {
                    return Err(FlowError::SignaturesMax);
                }
                of_callback.signatures.insert(0, brought.clone());
            }
        }
    }
    Ok(())
}

/// The triggers whose callers prove themselves no more, while an earlier version brought a key for them that is only long enough
/// if they do.
pub(super) fn short_keys(all: &BTreeMap<Name, Ids>, flow: &Flow) -> Vec<Mistake> {
    let mistake = |trigger: &Trigger| {
        let length = all.get(&trigger.id)?.key.len();
        let is_used = trigger.faces.iter().any(|face| face.parts().contains(&"key"));
        let detail = || {
            format!(
                "the key in the URL of this trigger came with `ids` and has {length} characters, which are enough only with `verify` \
                 or `auth`: leave one of them, or give another key with at least {SECRET_MIN} (`ids: {{ key: … }}`)"
            )
        };
        (is_used && length < SECRET_MIN && !trigger.is_proved()).then(|| trigger.at.mistake(detail()))
    };
    flow.triggers.iter().filter_map(mistake).collect()
}

/// Another signature for a callback: the newest.
///
/// # Errors
///
/// It would be one too many, or there are no random bytes.
pub(super) fn add_signature(ids: &mut CallbackIds) -> Result<(), FlowError> {
    if ids.signatures.len() >= SIGNATURES_MAX {
        return Err(FlowError::SignaturesMax);
    }
    let made = signature()?;
    ids.keys.insert(made.clone(), signature()?);
    ids.signatures.insert(0, made);
    Ok(())
}

/// Drops a signature by its id or as a whole, which may be that of what one of the environments has in place of it: what counts no
/// more.
pub(super) fn drop_signature(ids: &mut CallbackIds, environments: &[Name], id: &str) -> Result<Vec<String>, FlowError> {
    let in_urls = |known: &str| -> Vec<String> {
        let elsewhere = environments.iter().map(|environment| ids.in_environment(known, environment).into_owned());
        std::iter::once(known.to_owned()).chain(elsewhere).collect()
    };
    let all: Vec<Vec<String>> = ids.signatures.iter().map(|known| in_urls(known)).collect();
    let is_meant = |in_urls: &Vec<String>| in_urls.iter().any(|known| known == id || signature_id(known) == id);
    let meant: Vec<Vec<String>> = all.into_iter().filter(is_meant).collect();
    if meant.len() > 1 && !meant.iter().flatten().any(|known| known == id) {
        return Err(FlowError::SignatureAmbiguous(id.to_owned()));
    }
    let dropped: Vec<String> = meant.into_iter().flatten().collect();
    ids.signatures.retain(|known| !dropped.contains(known));
    ids.keys.retain(|known, _| !dropped.contains(known));
    Ok(dropped)
}

/// Signatures that a flow brings along.
pub(super) fn brought(flow: &Flow) -> impl Iterator<Item = &String> {
    flow.triggers.iter().flat_map(|trigger| &trigger.callbacks).filter_map(|callback| callback.signature.as_ref())
}

/// What the author of a file has to know that brings signatures which were dropped.
pub(super) fn dropped_again(flow: &Flow, dropped: &BTreeSet<String>) -> Vec<String> {
    let mut warnings = Vec::new();
    for Trigger { name, callbacks, .. } in &flow.triggers {
        for CallbackSpec { name: callback, signature, .. } in callbacks {
            if signature.as_ref().is_some_and(|signature| dropped.contains(signature)) {
                warnings.push(format!(
                    "the `signature` of the callback {callback} of the trigger `{name}` was dropped, and stays so: take it out of \
                     the file, or bring another one"
                ));
            }
        }
    }
    warnings
}

/// Leaves of the ids those that were there before: the others are not kept, and a URL that is made of them will never be.
pub(super) fn only_known(all: &mut BTreeMap<Name, Ids>, before: &BTreeMap<Name, Ids>) {
    all.retain(|trigger, ids| {
        let known = before.get(trigger);
        ids.callbacks.retain(|name, _| known.is_some_and(|known| known.callbacks.contains_key(name)));
        known.is_some()
    });
}

/// Where a flow has a trigger.
pub(super) fn position(flow: &Flow, trigger: &Name) -> Option<usize> {
    flow.triggers.iter().position(|known| known.id == *trigger)
}

/// Gives a record of before there were faces the ids that it needs. They follow from its keys, so that they stay the same.
pub(super) fn take_over_keys(record: &mut FlowRecord) {
    let id = |what: &str, key: &str| uuid::Builder::from_random_bytes(hash16(what, key)).into_uuid();
    let Some(first) = record.keys.values().next().cloned() else { return };
    for (trigger, key) in std::mem::take(&mut record.keys) {
        let (flow, of_trigger) = (id("flow", &first), id("trigger", &key));
        let ids = Ids { key, flow, trigger: of_trigger, callbacks: BTreeMap::new() };
        record.ids.entry(trigger).or_insert(ids);
    }
}

fn hash16(what: &str, key: &str) -> [u8; 16] {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, format!("{what}:{key}").as_bytes());
    let mut bytes = [0; 16];
    bytes.iter_mut().zip(digest.as_ref()).for_each(|(byte, from)| *byte = *from);
    bytes
}

/// Most signatures of a callback that count at the same time.
pub(super) const SIGNATURES_MAX: usize = 4;

/// 260 random bits (PW-12).
fn signature() -> Result<String, Unspecified> {
    let mut signature = random_key()? + &random_key()?;
    signature.truncate(SIGNATURE_LENGTH);
    Ok(signature)
}

/// What names a signature in lists: its beginning, from which the rest cannot be guessed.
pub fn signature_id(signature: &str) -> &str {
    signature.get(..8).unwrap_or_default()
}

/// An id of 26 characters (PW-09).
fn callback_id(id: uuid::Uuid) -> String {
    const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
    let digit = |place: u32| ALPHABET.get((id.as_u128() >> (5 * place)) as usize & 31).copied().map(char::from);
    (0..26).rev().filter_map(digit).collect()
}

#[cfg(test)]
mod tests {
    use super::take_over_keys;
    use ringback_records::flow::FlowRecord;

    /// Whoever has a URL keeps it: the key of an older record becomes the key of its ids, which are the same every time.
    #[test]
    fn records_of_before_there_were_faces_keep_their_urls() {
        let old = r#"{"name": "a", "version": 2, "enabled": true, "keys": {"start": "k1", "second": "k2"}, "updated_at": "2026-01-01T00:00:00Z"}"#;
        let read = || {
            let mut record: FlowRecord = serde_json::from_str(old).unwrap();
            take_over_keys(&mut record);
            record
        };
        let record = read();
        assert_eq!(record, read());
        let ids: Vec<_> = record.ids.iter().map(|(trigger, ids)| (trigger.as_str(), ids.key.as_str())).collect();
        assert_eq!(ids, [("second", "k2"), ("start", "k1")]);
        let (second, start) = (&record.ids[&"second".parse().unwrap()], &record.ids[&"start".parse().unwrap()]);
        assert!(second.flow == start.flow && second.trigger != start.trigger);
        let again: FlowRecord = serde_json::from_str(&serde_json::to_string(&record).unwrap()).unwrap();
        assert_eq!(again, record, "from then on it is as any other");
    }
}
