//! The layout of values: every record carries a format version and a checksum, and none is large.
//!
//! | bytes | content |
//! | --- | --- |
//! | 1 | format version, now 1 |
//! | 1 | form: 0 whole, 1 in chunks, 2 a chunk |
//! | 4 | revision, big-endian; 0 where nothing depends on it |
//! | 4 | CRC-32 of all the other bytes, big-endian |
//! | rest | whole: the payload; in chunks: its length (8) and the number of chunks (4); a chunk: a part of the payload |

use super::key;

const FORMAT: u8 = 1;
const HEADER: usize = 10;
/// Largest record, in bytes: the engine writes larger ones to files that it does not make durable.
pub(super) const RECORD_BYTES_MAX: usize = 4096;
const CHUNK_BYTES: usize = RECORD_BYTES_MAX - HEADER;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Form {
    Whole = 0,
    Chunked = 1,
    Chunk = 2,
}

/// A record as read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Record<'a> {
    Whole(&'a [u8]),
    Chunked { length: u64, chunks: u32 },
    Chunk(&'a [u8]),
}

/// What one value becomes: the record under its key, and its chunks.
pub(super) fn encode(key: &[u8], revision: u32, payload: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    if payload.len() <= CHUNK_BYTES {
        return vec![(key.to_vec(), seal(Form::Whole, revision, payload))];
    }
    let parts = payload.chunks(CHUNK_BYTES);
    let count = u32::try_from(parts.len()).unwrap_or(u32::MAX);
    let head = [&(payload.len() as u64).to_be_bytes()[..], &count.to_be_bytes()].concat();
    let mut records = vec![(key.to_vec(), seal(Form::Chunked, revision, &head))];
    records.extend((0..count).zip(parts).map(|(index, part)| (key::chunk(key, index), seal(Form::Chunk, 0, part))));
    records
}

fn seal(form: Form, revision: u32, payload: &[u8]) -> Vec<u8> {
    let mut record = Vec::with_capacity(HEADER + payload.len());
    record.extend_from_slice(&[FORMAT, form as u8]);
    record.extend_from_slice(&revision.to_be_bytes());
    let mut crc = crc32fast::Hasher::new();
    crc.update(&record);
    crc.update(payload);
    record.extend_from_slice(&crc.finalize().to_be_bytes());
    record.extend_from_slice(payload);
    record
}

/// Reads and checks a record.
///
/// # Errors
///
/// What is wrong with it, in words.
pub(super) fn decode(record: &[u8]) -> Result<(u32, Record<'_>), String> {
    let Some((header, payload)) = record.split_first_chunk::<HEADER>() else {
        return Err(format!("it has only {} bytes", record.len()));
    };
    let [format, form, r0, r1, r2, r3, c0, c1, c2, c3] = *header;
    if format != FORMAT {
        return Err(format!("its format is {format}, but this version reads format {FORMAT}"));
    }
    let mut crc = crc32fast::Hasher::new();
    crc.update(&[format, form, r0, r1, r2, r3]);
    crc.update(payload);
    if crc.finalize() != u32::from_be_bytes([c0, c1, c2, c3]) {
        return Err("its checksum is wrong".to_owned());
    }
    let revision = u32::from_be_bytes([r0, r1, r2, r3]);
    let record = match form {
        0 => Record::Whole(payload),
        1 => {
            let (length, count) = payload.split_first_chunk::<8>().ok_or("its head is too short")?;
            let count: [u8; 4] = count.try_into().map_err(|_| "its head has the wrong size")?;
            Record::Chunked { length: u64::from_be_bytes(*length), chunks: u32::from_be_bytes(count) }
        }
        2 => Record::Chunk(payload),
        form => return Err(format!("its form {form} is unknown")),
    };
    Ok((revision, record))
}

#[cfg(test)]
mod tests {
    use super::{CHUNK_BYTES, RECORD_BYTES_MAX, Record, decode, encode};

    #[test]
    fn a_flipped_bit_anywhere_is_found() {
        let record = encode(b"k", 7, b"payload").remove(0).1;
        assert_eq!(decode(&record), Ok((7, Record::Whole(b"payload"))));
        for index in 0..record.len() {
            for bit in 0..8 {
                let mut damaged = record.clone();
                damaged[index] ^= 1 << bit;
                assert!(decode(&damaged).is_err(), "byte {index} bit {bit}");
            }
            assert!(decode(&record[..index]).is_err());
        }
    }

    #[test]
    fn no_record_is_larger_than_the_engine_keeps_in_its_log() {
        for size in [0, 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES, 1 << 20] {
            let records = encode(b"k", 0, &vec![1; size]);
            assert!(records.iter().all(|(_, record)| record.len() <= RECORD_BYTES_MAX));
            assert_eq!(records.len() == 1, size <= CHUNK_BYTES);
        }
    }
}
