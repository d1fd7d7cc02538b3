use super::{Coding, Expansion, UnknownCoding};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use http::HeaderMap;
use ringback_records::stop::Stop;
use std::io::Write;

const MIB: usize = 1 << 20;

/// One body, encoded by zlib and Brotli of Node.js 20 and by zstd 1.5.4; `deflate` in its format and without it.
const ENCODED: [(Coding, &str); 5] = [
    (
        Coding::Gzip,
        "H4sIAAAAAAAAA1XIOwqAMBAFwLu8Okr+Qq4iFkpSBBUlmkIkd7cQFnbKeXE/Z0LAUWIq/TnnCIF8p/1CGF/kiCAFrrUiYNlq6iSa+F+xV/SavaY3\
         7A29ZW/pHXtH79l7+oH9gDa1DwKOz7TfAAAA",
    ),
    (
        Coding::Deflate,
        "eJxVyDsKgDAQBcC7vDpK/kKuIhZKUgQVJZpCJHe3EBZ2ynlxP2dCwFFiKv055wiBfKf9Qhhf5IggBa61ImDZauokmvhfsVf0mr2mN+wNvWVv6R17\
         R+/Ze/qB/YA2tQ9Kf0Id",
    ),
    (
        Coding::Deflate,
        "Vcg7CoAwEAXAu7w6Sv5CriIWSlIEFSWaQiR3txAWdsp5cT9nQsBRYir9OecIgXyn/UIYX+SIIAWutSJg2WrqJJr4X7FX9Jq9pjfsDb1lb+kde0fv\
         2Xv6gf2ANrUP",
    ),
    (
        Coding::Brotli,
        "G94AaBwHbqzFRqdDmz5CpUPUjsiXa+buN4ij0qgSm2sdlq6+oIPTbMpTDfB6oMC8FKSO1THlEy/A3ghKDIf18SGD5wH37Sk8WFEbZscdhJN0Ue7p\
         7A==",
    ),
    (
        Coding::Zstd,
        "KLUv/STf3QIAgsQQF4BZB3hq6/AHX6YSSabARJIkJzLTGGEjdahvjbG1lEoJoXO23gBNj+J8asiv4bv3ReBLpOf73j0CBrFdTM5vqMwvAQ6oEPj6\
         /xnw5RAcoRg+PTpJsQUpBY8BMTs=",
    ),
];

fn body() -> Vec<u8> {
    let items: Vec<_> = (0..8).map(|id| serde_json::json!({ "id": id, "sku": format!("blue-{id}") })).collect();
    serde_json::json!({ "type": "order.paid", "items": items }).to_string().into()
}

fn expand(coding: Coding, body: impl Into<Bytes>, bytes_max: usize) -> Result<Bytes, Stop> {
    let mut expansion = Expansion::new(coding, body.into(), bytes_max);
    while !expansion.step()? {}
    Ok(expansion.finish())
}

fn code(result: Result<Bytes, Stop>) -> (u16, &'static str) {
    let problem = result.unwrap_err().problem;
    (problem.status, problem.code)
}

fn gzip(zeros: usize) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    for _ in 0..zeros / MIB {
        encoder.write_all(&[0; MIB]).unwrap();
    }
    encoder.finish().unwrap()
}

/// A frame with a window of 128 KiB, and so many blocks of one byte that is repeated.
fn zstd(blocks: u32) -> Vec<u8> {
    let mut frame = vec![0x28, 0xB5, 0x2F, 0xFD, 0, 0x38];
    for block in 1..=blocks {
        let header = (128_u32 << 10) << 3 | 1 << 1 | u32::from(block == blocks);
        frame.extend_from_slice(&header.to_le_bytes()[..3]);
        frame.push(b' ');
    }
    frame
}

#[test]
fn what_nobody_here_can_read_is_unknown() {
    for (values, coding) in [
        (&["compress"][..], Err(UnknownCoding)),
        (&["aes128gcm"], Err(UnknownCoding)),
        (&["gzip, gzip"], Err(UnknownCoding)),
        (&["gzip", "br"], Err(UnknownCoding)),
        (&["gzip;q=1"], Err(UnknownCoding)),
        (&[], Ok(None)),
        (&[""], Ok(None)),
        (&["identity", " Identity"], Ok(None)),
        (&["GZip"], Ok(Some(Coding::Gzip))),
        (&["identity, x-gzip"], Ok(Some(Coding::Gzip))),
        (&["deflate"], Ok(Some(Coding::Deflate))),
        (&["br"], Ok(Some(Coding::Brotli))),
        (&["zstd"], Ok(Some(Coding::Zstd))),
    ] {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append("content-encoding", value.parse().unwrap());
        }
        assert_eq!(Coding::of(&headers), coding, "{values:?}");
    }
}

/// What is shorter than the least that it could be is not cut off for that.
#[test]
fn what_does_not_begin_as_its_header_says_is_something_else() {
    for coding in [Coding::Gzip, Coding::Zstd] {
        for body in [&b"{}"[..], b"{\"a\":1}", b"x", b"\x1f{}", b"(x"] {
            assert_eq!(code(expand(coding, body.to_vec(), MIB)), (400, "encoding_damaged"), "{coding}: {body:?}");
        }
    }
    let nothing = [0x5F, 0x2A, 0x4D, 0x18, 3, 0, 0];
    assert_eq!(code(expand(Coding::Zstd, nothing.to_vec(), MIB)), (400, "encoding_cut"));
}

/// A gibibyte of zeros in a few kibibytes: nothing of it is in memory but what the limit allows.
#[test]
fn a_bomb_is_too_large() {
    let zeros = include_bytes!("zeros.br");
    let bomb = gzip(1 << 30);
    let inner = expand(Coding::Gzip, bomb.clone(), 8 * MIB);
    assert_eq!(code(inner), (413, "body_too_large"));
    assert_eq!(code(expand(Coding::Gzip, bomb[..10 << 10].to_vec(), MIB)), (413, "body_too_large"));
    assert_eq!(code(expand(Coding::Brotli, &zeros[..], MIB)), (413, "body_expands_too_much"));
    assert_eq!(code(expand(Coding::Brotli, &zeros[..], 128 << 10)), (413, "body_too_large"));
    assert_eq!(code(expand(Coding::Zstd, zstd(2500), MIB)), (413, "body_too_large"));
    let mut held = Expansion::new(Coding::Zstd, zstd(2500).into(), MIB);
    while held.step().is_ok() {}
    assert!(held.content.capacity() < 3 * MIB, "{}", held.content.capacity());
}

#[test]
fn so_little_does_not_become_so_much() {
    let some = gzip(MIB);
    assert!(some.len() < 2000, "{}", some.len());
    assert_eq!(code(expand(Coding::Gzip, some, 64 * MIB)), (413, "body_expands_too_much"));
    assert_eq!(code(expand(Coding::Zstd, zstd(8), 64 * MIB)), (413, "body_expands_too_much"));
}

/// Whoever decodes it would keep a window of what the frame says.
#[test]
fn a_window_that_is_too_large_is_refused() {
    let frame = |descriptor: u8, rest: &[u8]| [&[0x28, 0xB5, 0x2F, 0xFD, descriptor][..], rest].concat();
    for rest in [0x69, 0x70, 0xF8, 0xFF] {
        let refused = code(expand(Coding::Zstd, frame(0, &[rest, 1, 0, 0]), MIB));
        assert_eq!(refused, (413, "encoding_window"), "{rest:x}");
    }
    // What a frame says of its size is held against what comes.
    for (size, said) in [(3, Ok(&b"abc"[..])), (2, Err("encoding_damaged")), (4, Err("encoding_damaged"))] {
        for head in [vec![0x20, size], vec![0x80, 0x38, size, 0, 0, 0]] {
            let (descriptor, rest) = head.split_first().unwrap();
            let whole = frame(*descriptor, &[rest, &[0x19, 0, 0][..], b"abc"].concat());
            match said {
                Ok(content) => assert_eq!(expand(Coding::Zstd, whole, MIB).unwrap(), content),
                Err(code_of) => assert_eq!(code(expand(Coding::Zstd, whole, MIB)), (400, code_of), "{size}"),
            }
        }
    }
    let huge = frame(0xE0, &[0, 0, 0, 0, 0, 1, 0, 0, 1, 0, 0]);
    assert_eq!(code(expand(Coding::Zstd, huge, 64 * MIB)).0, 413);
    assert_eq!(expand(Coding::Zstd, frame(0, &[0x68, 1, 0, 0]), MIB), Ok(Bytes::new()));
    // Brotli has windows of 1 GiB as an extension.
    assert_eq!(code(expand(Coding::Brotli, vec![0x11, 0x1E, 0x03], MIB)), (400, "encoding_damaged"));
}

#[test]
fn what_is_cut_off_or_damaged_is_told_so() {
    for (coding, encoded) in ENCODED {
        let encoded = STANDARD.decode(encoded).unwrap();
        for length in 1..encoded.len() {
            let refused = code(expand(coding, encoded[..length].to_vec(), MIB));
            assert_eq!(refused, (400, "encoding_cut"), "{coding} of {length}");
        }
        for at in 0..encoded.len() {
            let mut damaged = encoded.clone();
            damaged[at] ^= 0x40;
            match expand(coding, damaged, MIB) {
                Err(stop) => assert!([400, 413].contains(&stop.problem.status)),
                // With a check of the whole, it is what it was.
                Ok(content) => assert!(content == body() || !matches!(coding, Coding::Gzip | Coding::Zstd)),
            }
        }
        for behind in [&b"x"[..], b"more of it", &[0], &[0; 512]] {
            let stop = expand(coding, [&encoded[..], behind].concat(), MIB).unwrap_err();
            assert_eq!((stop.problem.status, stop.problem.code), (400, "encoding_damaged"), "{coding} {behind:?}");
            assert!(stop.reason.contains("behind its end"), "{coding} {behind:?}: {}", stop.reason);
        }
        assert_eq!(code(expand(coding, b"{\"type\":\"order.paid\"}".to_vec(), MIB)).0, 400, "{coding}");
    }
}

#[test]
fn bodies_are_what_they_were() {
    for (coding, encoded) in ENCODED {
        let encoded = STANDARD.decode(encoded).unwrap();
        assert_eq!(expand(coding, encoded.clone(), MIB).unwrap(), body(), "{coding}");
        if matches!(coding, Coding::Gzip | Coding::Zstd) {
            let twice = [&encoded[..], &encoded].concat();
            assert_eq!(expand(coding, twice, MIB).unwrap(), [body(), body()].concat(), "{coding}");
        }
    }
    let skipped =
        [&[0x5F, 0x2A, 0x4D, 0x18, 3, 0, 0, 0, 1, 2, 3][..], &STANDARD.decode(ENCODED[4].1).unwrap()].concat();
    assert_eq!(expand(Coding::Zstd, skipped, MIB).unwrap(), body());
    // Numbers that repeat little, over many steps.
    let long: Vec<u8> = (0..300_000_u32).flat_map(|number| (number ^ number << 7).to_le_bytes()).collect();
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(&long).unwrap();
    assert_eq!(expand(Coding::Deflate, encoder.finish().unwrap(), 2 * MIB).unwrap(), long);
}

/// Whatever is sent ends in a body or a refusal.
#[test]
fn nothing_that_is_sent_breaks_it() {
    let mut state = 0x2545_F491_4F6C_DD1D_u64;
    let mut random = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    for round in 0..2000 {
        let (coding, encoded) = ENCODED[round % ENCODED.len()];
        let mut encoded = STANDARD.decode(encoded).unwrap();
        for _ in 0..1 + random() % 8 {
            let at = random() as usize % encoded.len();
            match random() % 4 {
                0 => encoded.truncate(at.max(1)),
                1 => encoded.insert(at, random() as u8),
                _ => encoded[at] = random() as u8,
            }
        }
        drop(expand(coding, encoded, MIB));
    }
}
