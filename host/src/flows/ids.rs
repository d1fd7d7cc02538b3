//! What the URLs of a flow are made of: made once, kept over versions.

use crate::face::{CallbackIds, Ids};
use crate::flow::Flow;
use crate::name::{Name, random_id, random_key};
use crate::store::FlowRecord;
use aws_lc_rs::error::Unspecified;
use std::collections::BTreeMap;

/// Gives every trigger and callback that has none yet its ids.
pub(super) fn complete(all: &mut BTreeMap<Name, Ids>, flow: &Flow) -> Result<(), Unspecified> {
    let flow_id = all.values().next().map_or_else(random_id, |known| Ok(known.flow))?;
    for trigger in &flow.triggers {
        if !all.contains_key(&trigger.id) {
            let new = Ids { key: random_key()?, flow: flow_id, trigger: random_id()?, callbacks: BTreeMap::new() };
            all.insert(trigger.id.clone(), new);
        }
        let Some(ids) = all.get_mut(&trigger.id) else { continue };
        for spec in &trigger.callbacks {
            if !ids.callbacks.contains_key(&spec.name) {
                let new = CallbackIds { id: callback_id(random_id()?), signatures: vec![signature()?] };
                ids.callbacks.insert(spec.name.clone(), new);
            }
        }
    }
    Ok(())
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
