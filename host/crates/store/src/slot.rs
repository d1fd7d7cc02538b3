//! Where in the log the value of a key is.

use super::log::Position;

pub(super) const SLOT_BYTES: usize = 16;

/// What the index knows of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slot {
    pub(super) revision: u32,
    pub(super) at: Position,
    pub(super) length: u32,
}

impl Slot {
    pub(super) fn new(revision: u32, at: Position, value: &[u8]) -> Self {
        Self { revision, at, length: u32::try_from(value.len()).unwrap_or(u32::MAX) }
    }

    /// Bytes in the log, nearly: without the header of the record.
    pub(super) fn weight(&self, key: &[u8]) -> u64 {
        key.len() as u64 + u64::from(self.length)
    }

    pub(super) fn encode(&self) -> [u8; SLOT_BYTES] {
        // A segment has 64 MiB, or one frame of at most a gigabyte.
        let offset = u32::try_from(self.at.offset).unwrap_or(u32::MAX);
        let mut bytes = [0; SLOT_BYTES];
        for (field, number) in bytes.chunks_exact_mut(4).zip([self.revision, self.at.segment, offset, self.length]) {
            field.copy_from_slice(&number.to_be_bytes());
        }
        bytes
    }

    pub(super) fn decode(bytes: &[u8; SLOT_BYTES]) -> Self {
        let [r0, r1, r2, r3, s0, s1, s2, s3, o0, o1, o2, o3, l0, l1, l2, l3] = *bytes;
        Self {
            revision: u32::from_be_bytes([r0, r1, r2, r3]),
            at: Position {
                segment: u32::from_be_bytes([s0, s1, s2, s3]),
                offset: u32::from_be_bytes([o0, o1, o2, o3]).into(),
            },
            length: u32::from_be_bytes([l0, l1, l2, l3]),
        }
    }
}
