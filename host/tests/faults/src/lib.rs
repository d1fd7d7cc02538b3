//! Stands between the server and its files, as `LD_PRELOAD`: counts the operations that change a file of the data directory,
//! lets one of them fail, or kills the process there; and records them all, so that a test can make what a power failure
//! would leave. The count is of the whole process, over all of its threads.
//!
//! | variable | meaning |
//! | --- | --- |
//! | `FAULTS_DIRECTORY` | only files below it are looked at |
//! | `FAULTS_AT` | number of the operation, from 1 on |
//! | `FAULTS_ACTION` | `kill` before it, `tear` (a write: the first half of it, then kill), `eio` once, `enospc` from there on |
//! | `FAULTS_RECORD` | file that takes the record; its form is at [`Event`] |

#![expect(unsafe_code, reason = "replaces functions of libc")]

use libc::{c_char, c_int, c_void, iovec, mode_t, off64_t, size_t, ssize_t};
use std::ffi::{CStr, OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};

/// What is recorded: one byte, then its fields. Numbers are big-endian, of 8 bytes; texts and bytes have their length before
/// them. A write that is zeros from end to end has the kind `Z` and a length in place of its bytes.
#[derive(Clone, Copy)]
#[repr(u8)]
enum Event {
    /// path, inode: a file that was not there
    Create = b'C',
    /// inode, offset, bytes
    Write = b'W',
    /// inode, offset, length
    Zeros = b'Z',
    /// inode, length
    Truncate = b'T',
    /// inode: it begins; what was written before is meant
    SyncBegin = b'b',
    /// inode: it has ended well
    SyncEnd = b'e',
    /// path, path
    Rename = b'R',
    /// path
    Unlink = b'U',
    /// path, inode
    MakeDirectory = b'M',
    /// bytes that go to a socket
    Send = b'S',
}

struct State {
    directory: PathBuf,
    at: u64,
    action: OsString,
    count: u64,
    /// Descriptor of the record.
    record: Option<c_int>,
}

impl State {
    fn new() -> Option<Self> {
        let variable = |name: &str| std::env::var_os(name);
        let record = variable("FAULTS_RECORD").map(|path| real::create(&path));
        Some(Self {
            directory: variable("FAULTS_DIRECTORY")?.into(),
            at: variable("FAULTS_AT").and_then(|at| at.to_str()?.parse().ok()).unwrap_or(u64::MAX),
            action: variable("FAULTS_ACTION").unwrap_or_default(),
            count: 0,
            record,
        })
    }

    fn write(&mut self, event: Event, fields: &[&[u8]]) {
        let Some(record) = self.record else { return };
        let line = [&[event as u8][..], &fields.concat()].concat();
        let mut rest = &line[..];
        while !rest.is_empty() {
            // SAFETY: the bytes are there.
            let written = unsafe { real::write(record, rest.as_ptr().cast(), rest.len()) };
            match usize::try_from(written) {
                Ok(written) => rest = rest.get(written..).unwrap_or_default(),
                // The record is of no use any more, and shall not look as if it were.
                Err(_) => std::process::abort(),
            }
        }
    }
}

/// What is to be done with an operation.
enum Verdict {
    Perform,
    Fail(c_int),
    Tear,
}

fn with_state<R>(act: impl FnOnce(&mut State) -> R) -> Option<R> {
    static STATE: OnceLock<Option<Mutex<State>>> = OnceLock::new();
    let state = STATE.get_or_init(|| State::new().map(Mutex::new)).as_ref()?;
    Some(act(&mut state.lock().unwrap_or_else(PoisonError::into_inner)))
}

fn kill() -> ! {
    // SAFETY: it ends this process.
    unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
    loop {
        std::thread::park();
    }
}

/// Counts an operation that makes a file larger or not, and says what is to be done with it.
fn judge(state: &mut State, needs_space: bool) -> Verdict {
    state.count += 1;
    let now = state.count == state.at;
    match state.action.as_bytes() {
        b"kill" if now => kill(),
        b"tear" if now => Verdict::Tear,
        b"eio" if now => Verdict::Fail(libc::EIO),
        b"enospc" if state.count >= state.at && needs_space => Verdict::Fail(libc::ENOSPC),
        _ => Verdict::Perform,
    }
}

fn fail(error: c_int) {
    // SAFETY: the place belongs to this thread.
    unsafe { *libc::__errno_location() = error };
}

fn number(number: u64) -> [u8; 8] {
    number.to_be_bytes()
}

fn path_of(fd: c_int) -> Option<PathBuf> {
    std::fs::read_link(format!("/proc/self/fd/{fd}")).ok()
}

fn is_meant(state: &State, path: &Path) -> bool {
    path.starts_with(&state.directory)
}

fn inode(fd: c_int) -> u64 {
    let mut stat = std::mem::MaybeUninit::<libc::stat64>::uninit();
    // SAFETY: it fills the place when it returns zero.
    match unsafe { libc::fstat64(fd, stat.as_mut_ptr()) } {
        0 => unsafe { stat.assume_init() }.st_ino,
        _ => 0,
    }
}

/// SAFETY: the pointer is a text of the caller's.
unsafe fn path_at(path: *const c_char) -> PathBuf {
    PathBuf::from(OsStr::from_bytes(unsafe { CStr::from_ptr(path) }.to_bytes()))
}

fn text(path: &Path) -> Vec<u8> {
    let bytes = path.as_os_str().as_bytes();
    [&number(bytes.len() as u64)[..], bytes].concat()
}

/// The functions of libc themselves.
mod real {
    use super::*;

    macro_rules! real {
        ($($name:ident: fn($($argument:ident: $kind:ty),*) -> $result:ty;)*) => {$(
            pub unsafe fn $name($($argument: $kind),*) -> $result {
                static FOUND: OnceLock<usize> = OnceLock::new();
                let name = concat!(stringify!($name), "\0");
                // SAFETY: the name ends with a zero; libc has a function of this name and form.
                let found = *FOUND.get_or_init(|| unsafe { libc::dlsym(libc::RTLD_NEXT, name.as_ptr().cast()) } as usize);
                let function: unsafe extern "C" fn($($kind),*) -> $result = unsafe { std::mem::transmute(found) };
                unsafe { function($($argument),*) }
            }
        )*};
    }

    real! {
        open64: fn(path: *const c_char, flags: c_int, mode: mode_t) -> c_int;
        write: fn(fd: c_int, bytes: *const c_void, length: size_t) -> ssize_t;
        writev: fn(fd: c_int, parts: *const iovec, count: c_int) -> ssize_t;
        send: fn(fd: c_int, bytes: *const c_void, length: size_t, flags: c_int) -> ssize_t;
        pwrite64: fn(fd: c_int, bytes: *const c_void, length: size_t, offset: off64_t) -> ssize_t;
        ftruncate64: fn(fd: c_int, length: off64_t) -> c_int;
        fsync: fn(fd: c_int) -> c_int;
        fdatasync: fn(fd: c_int) -> c_int;
        rename: fn(from: *const c_char, to: *const c_char) -> c_int;
        unlink: fn(path: *const c_char) -> c_int;
        mkdir: fn(path: *const c_char, mode: mode_t) -> c_int;
    }

    /// The descriptor of a file for the record, which is itself not looked at.
    pub fn create(path: &OsStr) -> c_int {
        let path = [path.as_bytes(), b"\0"].concat();
        let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_APPEND | libc::O_CLOEXEC;
        // SAFETY: the path ends with a zero.
        unsafe { open64(path.as_ptr().cast(), flags, 0o600) }
    }
}

/// # Safety
///
/// As the function of libc.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn open64(path: *const c_char, flags: c_int, mode: mode_t) -> c_int {
    let open = || unsafe { real::open64(path, flags, mode) };
    if flags & (libc::O_CREAT | libc::O_TRUNC) == 0 {
        return open();
    }
    let wanted = unsafe { path_at(path) };
    let done = with_state(|state| {
        if !is_meant(state, &wanted) {
            return None;
        }
        let is_new = !wanted.exists();
        if !is_new && flags & libc::O_TRUNC == 0 {
            return None;
        }
        if let Verdict::Fail(error) = judge(state, is_new) {
            fail(error);
            return Some(-1);
        }
        let fd = open();
        if fd >= 0 && is_new {
            state.write(Event::Create, &[&text(&wanted), &number(inode(fd))]);
        } else if fd >= 0 {
            state.write(Event::Truncate, &[&number(inode(fd)), &number(0)]);
        }
        Some(fd)
    });
    done.flatten().unwrap_or_else(open)
}

/// A write at a place; `perform` writes the first bytes of it.
fn writing(fd: c_int, bytes: &[u8], offset: impl FnOnce() -> u64, perform: impl Fn(usize) -> ssize_t) -> ssize_t {
    let done = with_state(|state| {
        path_of(fd).filter(|path| is_meant(state, path))?;
        match judge(state, true) {
            Verdict::Fail(error) => {
                fail(error);
                return Some(-1);
            }
            Verdict::Tear => {
                perform(bytes.len() / 2);
                kill();
            }
            Verdict::Perform => {}
        }
        let place = [number(inode(fd)), number(offset())].concat();
        let length = number(bytes.len() as u64);
        match bytes.iter().all(|byte| *byte == 0) {
            true => state.write(Event::Zeros, &[&place, &length]),
            false => state.write(Event::Write, &[&place, &length, bytes]),
        }
        Some(perform(bytes.len()))
    });
    done.flatten().unwrap_or_else(|| perform(bytes.len()))
}

/// SAFETY: the caller's bytes.
unsafe fn bytes_at<'b>(bytes: *const c_void, length: size_t) -> &'b [u8] {
    unsafe { std::slice::from_raw_parts(bytes.cast(), length) }
}

/// # Safety
///
/// As the function of libc.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn write(fd: c_int, bytes: *const c_void, length: size_t) -> ssize_t {
    let end = || {
        // A file that is appended to is written at its end, whatever its position.
        let flags = unsafe { libc::fcntl(fd, libc::F_GETFL) };
        let whence = if flags & libc::O_APPEND == 0 { libc::SEEK_CUR } else { libc::SEEK_END };
        u64::try_from(unsafe { libc::lseek64(fd, 0, whence) }).unwrap_or_default()
    };
    writing(fd, unsafe { bytes_at(bytes, length) }, end, |length| unsafe { real::write(fd, bytes, length) })
}

/// # Safety
///
/// As the function of libc.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pwrite64(fd: c_int, bytes: *const c_void, length: size_t, offset: off64_t) -> ssize_t {
    let at = || u64::try_from(offset).unwrap_or_default();
    writing(fd, unsafe { bytes_at(bytes, length) }, at, |length| unsafe { real::pwrite64(fd, bytes, length, offset) })
}

fn sent(bytes: &[u8]) {
    if bytes.starts_with(b"HTTP/1.1 2") {
        with_state(|state| state.write(Event::Send, &[&number(bytes.len() as u64), bytes]));
    }
}

/// # Safety
///
/// As the function of libc.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn send(fd: c_int, bytes: *const c_void, length: size_t, flags: c_int) -> ssize_t {
    sent(unsafe { bytes_at(bytes, length) });
    unsafe { real::send(fd, bytes, length, flags) }
}

/// # Safety
///
/// As the function of libc.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn writev(fd: c_int, parts: *const iovec, count: c_int) -> ssize_t {
    // The head of an answer is its first part.
    if count > 0 {
        let first = unsafe { &*parts };
        if first.iov_len > 0 {
            sent(unsafe { bytes_at(first.iov_base, first.iov_len) });
        }
    }
    unsafe { real::writev(fd, parts, count) }
}

/// # Safety
///
/// As the function of libc.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ftruncate64(fd: c_int, length: off64_t) -> c_int {
    let done = with_state(|state| {
        path_of(fd).filter(|path| is_meant(state, path))?;
        if let Verdict::Fail(error) = judge(state, true) {
            fail(error);
            return Some(-1);
        }
        let length = u64::try_from(length).unwrap_or_default();
        state.write(Event::Truncate, &[&number(inode(fd)), &number(length)]);
        None
    });
    done.flatten().unwrap_or_else(|| unsafe { real::ftruncate64(fd, length) })
}

fn syncing(fd: c_int, perform: impl Fn() -> c_int) -> c_int {
    let begun = with_state(|state| {
        path_of(fd).filter(|path| is_meant(state, path))?;
        let verdict = judge(state, false);
        state.write(Event::SyncBegin, &[&number(inode(fd))]);
        Some(verdict)
    });
    match begun.flatten() {
        None => perform(),
        Some(Verdict::Fail(error)) => {
            fail(error);
            -1
        }
        // Others go on while the disk is busy.
        Some(_) => {
            let result = perform();
            if result == 0 {
                with_state(|state| state.write(Event::SyncEnd, &[&number(inode(fd))]));
            }
            result
        }
    }
}

/// # Safety
///
/// As the function of libc.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fsync(fd: c_int) -> c_int {
    syncing(fd, || unsafe { real::fsync(fd) })
}

/// # Safety
///
/// As the function of libc.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fdatasync(fd: c_int) -> c_int {
    syncing(fd, || unsafe { real::fdatasync(fd) })
}

/// A change of names, recorded once it has worked.
fn naming(paths: &[&Path], event: Event, perform: impl Fn() -> c_int) -> c_int {
    let done = with_state(|state| {
        if !paths.iter().all(|path| is_meant(state, path)) {
            return None;
        }
        if let Verdict::Fail(error) = judge(state, !matches!(event, Event::Unlink)) {
            fail(error);
            return Some(-1);
        }
        let result = perform();
        if result == 0 {
            let mut fields: Vec<Vec<u8>> = paths.iter().map(|path| text(path)).collect();
            if let (Event::MakeDirectory, [path]) = (event, paths) {
                fields.push(number(path.metadata().map_or(0, |metadata| metadata.ino())).to_vec());
            }
            state.write(event, &fields.iter().map(Vec::as_slice).collect::<Vec<_>>());
        }
        Some(result)
    });
    done.flatten().unwrap_or_else(perform)
}

/// # Safety
///
/// As the function of libc.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rename(from: *const c_char, to: *const c_char) -> c_int {
    let (old, new) = unsafe { (path_at(from), path_at(to)) };
    naming(&[&old, &new], Event::Rename, || unsafe { real::rename(from, to) })
}

/// # Safety
///
/// As the function of libc.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn unlink(path: *const c_char) -> c_int {
    let gone = unsafe { path_at(path) };
    naming(&[&gone], Event::Unlink, || unsafe { real::unlink(path) })
}

/// # Safety
///
/// As the function of libc.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mkdir(path: *const c_char, mode: mode_t) -> c_int {
    let made = unsafe { path_at(path) };
    naming(&[&made], Event::MakeDirectory, || unsafe { real::mkdir(path, mode) })
}
