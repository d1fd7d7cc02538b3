//! What a body is without its `Content-Encoding`. It is made in steps, each of which is short, so that whoever asks can say
//! where the next ones are taken.

use brotli_decompressor::{BrotliDecompressStream, BrotliResult, BrotliState, StandardAlloc};
use bytes::Bytes;
use flate2::bufread::GzDecoder;
use flate2::{Decompress, FlushDecompress, Status};
use http::HeaderMap;
use http::header::CONTENT_ENCODING;
use ringback_records::stop::Stop;
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};
use std::error::Error;
use std::fmt;
use std::io::{Cursor, ErrorKind, Read};

/// How many times as large a body may become as it came.
const RATIO_MAX: usize = 250;
/// What every body may become, however small it came.
const SMALL_BYTES: usize = 64 << 10;
/// Most bytes that a step adds.
const STEP_BYTES: usize = 32 << 10;
/// Largest window of zstd, as RFC 9659 has it for what is sent by HTTP: it is kept in memory.
const ZSTD_WINDOW_BYTES_MAX: u64 = 8 << 20;

/// How a body is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    Gzip,
    Deflate,
    Brotli,
    Zstd,
}

/// It is encoded otherwise, or several times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownCoding;

impl Coding {
    /// How the body of a request with these headers is encoded; `None` where it is not.
    ///
    /// # Errors
    ///
    /// Nobody here can read it.
    pub fn of(headers: &HeaderMap) -> Result<Option<Self>, UnknownCoding> {
        let mut coding = None;
        for value in headers.get_all(CONTENT_ENCODING) {
            for name in value.to_str().map_err(|_| UnknownCoding)?.split(',') {
                let found = match name.trim().to_ascii_lowercase().as_str() {
                    "" | "identity" => continue,
                    "gzip" | "x-gzip" => Self::Gzip,
                    "deflate" => Self::Deflate,
                    "br" => Self::Brotli,
                    "zstd" => Self::Zstd,
                    _ => return Err(UnknownCoding),
                };
                if coding.replace(found).is_some() {
                    return Err(UnknownCoding);
                }
            }
        }
        Ok(coding)
    }

    /// Whether a body, or what there is of it, begins as one of this coding does.
    fn begins(self, body: &[u8]) -> bool {
        let like = |magic: &[u8]| body.iter().zip(magic).all(|(byte, magic)| byte == magic);
        match self {
            Self::Gzip => like(&[0x1F, 0x8B]),
            Self::Zstd => {
                // The number of a frame that means nothing is one of sixteen.
                let number = body.first().map_or(0x50, |first| 0x50 | first & 0x0F);
                like(&[0x28, 0xB5, 0x2F, 0xFD]) || like(&[number, 0x2A, 0x4D, 0x18])
            }
            // Theirs say nothing.
            Self::Deflate | Self::Brotli => true,
        }
    }
}

impl fmt::Display for Coding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
            Self::Brotli => "br",
            Self::Zstd => "zstd",
        })
    }
}

/// Most bytes that may come of so many.
pub fn content_max(received: usize, limit: usize) -> usize {
    limit.min(received.saturating_mul(RATIO_MAX).max(SMALL_BYTES))
}

/// A body on its way to what it is without its encoding.
pub struct Expansion {
    coding: Coding,
    /// Whether it begins as one of this coding does.
    is_like: bool,
    decoder: Decoder,
    received: usize,
    /// What may come of it, and what may come of so little.
    limit: usize,
    bytes_max: usize,
    content: Vec<u8>,
}

/// Why a body is not expanded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Cut,
    Damaged,
    /// There is more behind its end.
    Followed,
    TooLarge,
    /// Whoever reads it would need a window that is too large.
    Window,
}

impl Expansion {
    /// `limit` is the most bytes that may come of it.
    pub fn new(coding: Coding, body: Bytes, limit: usize) -> Self {
        let (received, is_like) = (body.len(), coding.begins(&body));
        let bytes_max = content_max(received, limit);
        let decoder = match coding {
            Coding::Gzip => Decoder::Gzip(Box::new(GzDecoder::new(Cursor::new(body)))),
            Coding::Deflate => {
                // Some send what is in the zlib format without that.
                let is_zlib = matches!(body[..], [first, second, ..]
                    if first & 15 == 8 && u16::from_be_bytes([first, second]) % 31 == 0);
                Decoder::Deflate { stream: Decompress::new(is_zlib), body, is_over: false }
            }
            Coding::Brotli => {
                let alloc = StandardAlloc::default;
                // A window of more than 16 MiB is no part of the format.
                let state = Box::new(BrotliState::new_strict(alloc(), alloc(), alloc()));
                Decoder::Brotli { state, body, at: 0, is_over: false }
            }
            Coding::Zstd => {
                let (decoder, body) = (Box::new(FrameDecoder::new()), Cursor::new(body));
                Decoder::Zstd { decoder, body, left: None, content_max: bytes_max as u64 }
            }
        };
        Self { coding, is_like, decoder, received, limit, bytes_max, content: Vec::new() }
    }

    /// Whether so little came that its first steps are as short as they can be.
    pub fn is_small(&self) -> bool {
        self.received <= SMALL_BYTES
    }

    /// Takes a step: whether that was the last.
    ///
    /// # Errors
    ///
    /// It becomes too large (413), is cut off or damaged (400).
    pub fn step(&mut self) -> Result<bool, Stop> {
        let before = self.content.len();
        self.content.resize(before + STEP_BYTES, 0);
        let added = self.decoder.read(self.content.get_mut(before..).unwrap_or_default());
        self.content.truncate(before + added.ok().flatten().unwrap_or_default());
        let is_over = added.map_err(|fault| self.stop(fault))?.is_none();
        if self.content.len() > self.bytes_max {
            return Err(self.stop(Fault::TooLarge));
        }
        Ok(is_over)
    }

    /// What it has become.
    pub fn finish(self) -> Bytes {
        self.content.into()
    }

    fn stop(&self, fault: Fault) -> Stop {
        let Self { coding, received, limit, bytes_max, .. } = self;
        let what = format!("the body, {received} bytes of {coding},");
        match fault {
            Fault::TooLarge if bytes_max < limit => {
                let reason = format!("{what} becomes more than {bytes_max} bytes, which is too much of so little");
                Stop::refused(413, "body_expands_too_much", "The body expands too much.", reason)
            }
            Fault::TooLarge => {
                let reason = format!("{what} becomes more than {bytes_max} bytes");
                Stop::refused(413, "body_too_large", "The body is too large.", reason)
            }
            Fault::Window => {
                let reason = format!("{what} needs a window of more than {ZSTD_WINDOW_BYTES_MAX} bytes to be read");
                Stop::refused(413, "encoding_window", "The body needs too large a window to be read.", reason)
            }
            Fault::Followed => {
                let reason = format!("{what} goes on behind its end with something else");
                Stop::refused(400, "encoding_damaged", "There is more behind the encoded body.", reason)
            }
            Fault::Cut if self.is_like => {
                let reason = format!("{what} is cut off");
                Stop::refused(400, "encoding_cut", "The encoded body is cut off.", reason)
            }
            Fault::Cut | Fault::Damaged => {
                let reason = format!("{what} is damaged, or something else");
                Stop::refused(400, "encoding_damaged", "The body is not encoded as its header says.", reason)
            }
        }
    }
}

enum Decoder {
    Gzip(Box<GzDecoder<Cursor<Bytes>>>),
    Deflate {
        stream: Decompress,
        body: Bytes,
        is_over: bool,
    },
    Brotli {
        state: Box<BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>>,
        body: Bytes,
        at: usize,
        is_over: bool,
    },
    Zstd {
        decoder: Box<FrameDecoder>,
        body: Cursor<Bytes>,
        /// Within a frame: what it says that is still to come, where it says that.
        left: Option<Option<u64>>,
        content_max: u64,
    },
}

impl Decoder {
    /// How many bytes more there are, which may be none so far; `None` after the last.
    fn read(&mut self, into: &mut [u8]) -> Result<Option<usize>, Fault> {
        match self {
            Self::Gzip(decoder) => match decoder.read(into) {
                // A member has ended, and another may follow.
                Ok(0) => {
                    let rest = decoder.get_ref();
                    let rest = rest.get_ref().slice(rest.position() as usize..);
                    match rest.is_empty() {
                        true => Ok(None),
                        false if !Coding::Gzip.begins(&rest) => Err(Fault::Followed),
                        false => {
                            **decoder = GzDecoder::new(Cursor::new(rest));
                            Ok(Some(0))
                        }
                    }
                }
                Ok(read) => Ok(Some(read)),
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => Err(Fault::Cut),
                Err(_) => Err(Fault::Damaged),
            },
            Self::Deflate { is_over: true, .. } | Self::Brotli { is_over: true, .. } => Ok(None),
            Self::Deflate { stream, body, is_over } => {
                let place = |stream: &Decompress| {
                    let [read, written] = [stream.total_in(), stream.total_out()].map(usize::try_from);
                    (read.unwrap_or(usize::MAX), written.unwrap_or(usize::MAX))
                };
                let before = place(stream);
                let rest = body.get(before.0..).unwrap_or_default();
                let status = stream.decompress(rest, into, FlushDecompress::None).map_err(|_| Fault::Damaged)?;
                let after = place(stream);
                match status {
                    Status::StreamEnd if after.0 < body.len() => return Err(Fault::Followed),
                    Status::StreamEnd => *is_over = true,
                    Status::Ok | Status::BufError if before == after => return Err(Fault::Cut),
                    Status::Ok | Status::BufError => {}
                }
                Ok(Some(after.1 - before.1))
            }
            Self::Brotli { state, body, at, is_over } => {
                let (mut left, mut room, mut written, mut total) = (body.len() - *at, into.len(), 0, 0);
                match BrotliDecompressStream(&mut left, at, body, &mut room, &mut written, into, &mut total, state) {
                    BrotliResult::ResultSuccess if *at < body.len() => return Err(Fault::Followed),
                    BrotliResult::ResultSuccess => *is_over = true,
                    BrotliResult::NeedsMoreInput if written == 0 => return Err(Fault::Cut),
                    BrotliResult::NeedsMoreInput | BrotliResult::NeedsMoreOutput => {}
                    BrotliResult::ResultFailure => return Err(Fault::Damaged),
                }
                Ok(Some(written))
            }
            Self::Zstd { decoder, body, left, content_max } => {
                let Some(said) = left else {
                    let at = usize::try_from(body.position()).unwrap_or(usize::MAX);
                    let rest = body.get_ref().get(at..).unwrap_or_default();
                    if at > 0 && !Coding::Zstd.begins(rest) {
                        return Err(Fault::Followed);
                    }
                    match zstd_frame(rest, *content_max)? {
                        Frame::None => return Ok(None),
                        Frame::Skipped(bytes) => body.set_position(body.position() + bytes),
                        Frame::Content(size) => {
                            decoder.reset(body).map_err(|error| zstd_fault(&error))?;
                            *left = Some(size);
                        }
                    }
                    return Ok(Some(0));
                };
                if decoder.can_collect() == 0 && !decoder.is_finished() {
                    let block = BlockDecodingStrategy::UptoBlocks(1);
                    decoder.decode_blocks(body, block).map_err(|error| zstd_fault(&error))?;
                }
                let read = decoder.read(into).map_err(|_| Fault::Damaged)?;
                if let Some(said) = said {
                    *said = said.checked_sub(read as u64).ok_or(Fault::Damaged)?;
                }
                if decoder.is_finished() && decoder.can_collect() == 0 {
                    let checksum = decoder.get_checksum_from_data();
                    let is_whole = said.is_none_or(|left| left == 0);
                    if !is_whole || (checksum.is_some() && checksum != decoder.get_calculated_checksum()) {
                        return Err(Fault::Damaged);
                    }
                    *left = None;
                }
                Ok(Some(read))
            }
        }
    }
}

/// What comes next in a body of zstd.
enum Frame {
    None,
    /// With how many bytes it says that it has, where it does.
    Content(Option<u64>),
    /// So many bytes mean nothing.
    Skipped(u64),
}

/// Reads how a frame begins (RFC 8878, 3.1), since the decoder would take any window.
fn zstd_frame(rest: &[u8], content_max: u64) -> Result<Frame, Fault> {
    let number = |at: usize, bytes: usize| {
        let bytes = rest.get(at..at + bytes).ok_or(Fault::Cut)?;
        Ok(bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    };
    if rest.is_empty() {
        return Ok(Frame::None);
    }
    match number(0, 4)? {
        0x184D_2A50..=0x184D_2A5F => {
            let skipped = 8 + number(4, 4)?;
            return if skipped > rest.len() as u64 { Err(Fault::Cut) } else { Ok(Frame::Skipped(skipped)) };
        }
        0xFD2F_B528 => {}
        _ => return Err(Fault::Damaged),
    }
    let descriptor = number(4, 1)?;
    let is_one_segment = descriptor & 0x20 != 0;
    if !is_one_segment {
        let window = number(5, 1)?;
        let base = 1_u64 << (10 + (window >> 3));
        if base + base / 8 * (window & 7) > ZSTD_WINDOW_BYTES_MAX {
            return Err(Fault::Window);
        }
    }
    // The size of the content comes after the window and the number of a dictionary. Where there is no window, it is that.
    let at = 5 + usize::from(!is_one_segment) + [0, 1, 2, 4][(descriptor & 3) as usize];
    let size = match descriptor >> 6 {
        0 if is_one_segment => Some(number(at, 1)?),
        0 => None,
        1 => Some(number(at, 2)? + 256),
        2 => Some(number(at, 4)?),
        _ => Some(number(at, 8)?),
    };
    if size.is_some_and(|size| size > content_max) { Err(Fault::TooLarge) } else { Ok(Frame::Content(size)) }
}

fn zstd_fault(error: &(dyn Error + 'static)) -> Fault {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if error.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == ErrorKind::UnexpectedEof) {
            return Fault::Cut;
        }
        cause = error.source();
    }
    Fault::Damaged
}

#[cfg(test)]
mod tests;
