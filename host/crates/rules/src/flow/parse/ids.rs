//! What URLs are made of elsewhere, and is brought along.

use super::Parser;
use crate::face::Face;
use crate::flow::GivenIds;
use crate::flow::document::Node;
use crate::flow::schema::keys;
use ringback_records::name::{DIFFERENT_MIN, SECRET_MIN, looks_random};
use uuid::Uuid;

/// Fewest characters of a key whose callers prove themselves besides.
const PROVED_KEY_MIN: usize = 8;
/// Fewest characters of a callback's id, which has a signature beside it.
const CALLBACK_ID_MIN: usize = 8;
/// Most characters of any part.
const PART_MAX: usize = 128;

impl Parser {
    /// What the URLs of a trigger are made of. Whether its callers prove themselves decides how short a key may be.
    pub(super) fn ids(&mut self, node: &Node, faces: &[&'static dyn Face], is_proved: bool) -> GivenIds {
        let keys = keys("ids");
        let Some(members) = self.object(node, "`ids`", &keys) else { return GivenIds::default() };
        for member in members.members {
            let used = faces.iter().flat_map(|face| face.parts()).any(|part| *part == member.name);
            if keys.contains(&member.name.as_str()) && !used {
                let with = "`key` belongs to the faces native and nocobase, `flow` and `trigger` to flowrunner; a callback of \
                            patchworks has an `id` and a `signature` of its own";
                let detail = format!("no URL of this trigger has a `{}`: {with}", member.name);
                self.mistakes.push(member.name_at.mistake(detail));
            }
        }
        let key_min = if is_proved { PROVED_KEY_MIN } else { SECRET_MIN };
        let key = members.get("key").and_then(|node| {
            let why = match is_proved {
                true => "a shorter key can be guessed",
                false => {
                    "a shorter key can be guessed, and it is all that keeps strangers away; with `verify` or `auth`, 8 \
                     characters are enough"
                }
            };
            self.part(node, "a key", key_min, why)
        });
        let flow = members.get("flow").and_then(|node| self.uuid(node));
        let trigger = members.get("trigger").and_then(|node| self.uuid(node));
        GivenIds { key, flow, trigger }
    }

    /// The same in any case.
    pub(super) fn callback_id(&mut self, node: &Node) -> Option<String> {
        let why = "shorter ids of two callbacks may be the same";
        self.part(node, "an id", CALLBACK_ID_MIN, why).map(|id| id.to_ascii_lowercase())
    }

    pub(super) fn signature(&mut self, node: &Node) -> Option<String> {
        self.part(node, "a signature", SECRET_MIN, "a shorter signature can be guessed")
    }

    fn part(&mut self, node: &Node, what: &str, min: usize, why: &str) -> Option<String> {
        let text = self.text(node)?;
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        let mistake = if !text.bytes().all(is_plain) || text.len() > PART_MAX {
            format!("{what} has letters, digits, `_` and `-`, at most {PART_MAX}")
        } else if text.len() < min {
            format!("{what} has at least {min} characters here, not {}: {why}", text.len())
        } else if !looks_random(text) {
            format!("{what} has at least {DIFFERENT_MIN} different characters: others are easily guessed")
        } else {
            return Some(text.to_owned());
        };
        self.mistakes.push(node.mistake(mistake));
        None
    }

    fn uuid(&mut self, node: &Node) -> Option<Uuid> {
        let text = self.text(node)?;
        match Uuid::try_parse(text).ok().filter(|_| text.len() == 36) {
            None => self.wrong(node, "an id like C778279B-B151-6272-EDA7-76C9141E1F11"),
            Some(_) if !looks_random(&text.to_ascii_lowercase()) => {
                let detail =
                    format!("an id has at least {DIFFERENT_MIN} different characters: others are easily guessed");
                self.mistakes.push(node.mistake(detail));
            }
            Some(id) => return Some(id),
        }
        None
    }
}
