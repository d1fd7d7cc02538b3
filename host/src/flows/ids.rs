//! What the URLs of a flow are made of: made once, kept over versions.

use super::FlowError;
use crate::face::{CallbackIds, Ids};
use crate::flow::{CallbackSpec, Flow, GivenIds, Mistake, Trigger};
use crate::name::{Name, SECRET_MIN, random_id, random_key, sha256_hex};
use crate::store::FlowRecord;
use aws_lc_rs::error::Unspecified;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

/// Gives every trigger and callback what its URLs are made of: what the flow brings along, what it had before, else something
/// random.
///
/// # Errors
///
/// A callback would have too many signatures, or there are no random bytes.
pub(super) fn complete(all: &mut BTreeMap<Name, Ids>, flow: &Flow) -> Result<(), FlowError> {
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
                    let signatures = if spec.signature.is_some() { Vec::new() } else { vec![signature()?] };
                    new.insert(CallbackIds { id: callback_id(random_id()?), signatures, dropped: Vec::new() })
                }
            };
            of_callback.id = spec.id.clone().unwrap_or_else(|| std::mem::take(&mut of_callback.id));
            let is_new = |one: &&String| !of_callback.signatures.contains(one) && !is_dropped(of_callback, one);
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

/// Drops the signature with this id: whether there was one. It is remembered, so that a file that brings it does not bring it
/// back.
pub(super) fn drop_signature(ids: &mut CallbackIds, id: &str) -> bool {
    let dropped: Vec<String> = ids.signatures.extract_if(.., |known| signature_id(known) == id).collect();
    ids.dropped.extend(dropped.iter().map(|signature| sha256_hex(signature.as_bytes())));
    let forgotten = ids.dropped.len().saturating_sub(DROPPED_MAX);
    ids.dropped.drain(..forgotten);
    !dropped.is_empty()
}

fn is_dropped(ids: &CallbackIds, signature: &str) -> bool {
    !ids.dropped.is_empty() && ids.dropped.contains(&sha256_hex(signature.as_bytes()))
}

/// What the author of a file has to know that brings signatures which were dropped.
pub(super) fn dropped_again(all: &BTreeMap<Name, Ids>, flow: &Flow) -> Vec<String> {
    let mut warnings = Vec::new();
    for Trigger { id, name, callbacks, .. } in &flow.triggers {
        for CallbackSpec { name: callback, signature, .. } in callbacks {
            let known = all.get(id).and_then(|ids| ids.callbacks.get(callback));
            if signature.as_ref().zip(known).is_some_and(|(signature, known)| is_dropped(known, signature)) {
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
/// Most dropped signatures of a callback that are remembered: the last ones.
const DROPPED_MAX: usize = 256;
/// Characters of a signature.
const SIGNATURE_LENGTH: usize = 52;

/// 260 random bits (PW-12).
pub(super) fn signature() -> Result<String, Unspecified> {
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
    use crate::store::FlowRecord;

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
