//! What a power failure leaves of files, from the record of what was done with them: what was synced is there, and of the
//! rest each sector, and each name, may be there or not.

use crate::load::Random;
use std::collections::BTreeMap;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

const SECTOR: usize = 512;

/// What was done; see `host/tests/faults` for how it is written.
pub enum Event {
    Create { path: PathBuf, inode: u64 },
    Write { inode: u64, offset: usize, bytes: Vec<u8> },
    Zeros { inode: u64, offset: usize, length: usize },
    Truncate { inode: u64, length: usize },
    SyncBegin { inode: u64 },
    SyncEnd { inode: u64 },
    Rename { from: PathBuf, to: PathBuf },
    Unlink { path: PathBuf },
    MakeDirectory { path: PathBuf, inode: u64 },
    Send(Vec<u8>),
}

impl Event {
    /// Whether it is counted as one that can fail.
    pub fn is_operation(&self) -> bool {
        !matches!(self, Self::SyncEnd { .. } | Self::Send(_))
    }
}

struct Reader<'r>(&'r [u8]);

impl Reader<'_> {
    fn take(&mut self, length: usize) -> Vec<u8> {
        let (taken, rest) = self.0.split_at(length);
        self.0 = rest;
        taken.to_vec()
    }

    fn number(&mut self) -> u64 {
        u64::from_be_bytes(self.take(8).try_into().unwrap())
    }

    fn size(&mut self) -> usize {
        usize::try_from(self.number()).unwrap()
    }

    fn bytes(&mut self) -> Vec<u8> {
        let length = self.size();
        self.take(length)
    }

    fn path(&mut self) -> PathBuf {
        String::from_utf8(self.bytes()).unwrap().into()
    }
}

/// Reads a record to its end.
pub fn read_record(path: &Path) -> Vec<Event> {
    let bytes = std::fs::read(path).unwrap();
    let mut reader = Reader(&bytes);
    let mut events = Vec::new();
    while !reader.0.is_empty() {
        events.push(match reader.take(1)[0] {
            b'C' => Event::Create { path: reader.path(), inode: reader.number() },
            b'W' => Event::Write { inode: reader.number(), offset: reader.size(), bytes: reader.bytes() },
            b'Z' => Event::Zeros { inode: reader.number(), offset: reader.size(), length: reader.size() },
            b'T' => Event::Truncate { inode: reader.number(), length: reader.size() },
            b'b' => Event::SyncBegin { inode: reader.number() },
            b'e' => Event::SyncEnd { inode: reader.number() },
            b'R' => Event::Rename { from: reader.path(), to: reader.path() },
            b'U' => Event::Unlink { path: reader.path() },
            b'M' => Event::MakeDirectory { path: reader.path(), inode: reader.number() },
            b'S' => Event::Send(reader.bytes()),
            kind => panic!("the record has an event of the kind {kind}"),
        });
    }
    events
}

enum Change<'e> {
    Write { offset: usize, bytes: &'e [u8] },
    Zeros { offset: usize, length: usize },
    Truncate { length: usize },
}

enum Naming<'e> {
    Link { path: &'e Path, file: usize },
    Directory { path: &'e Path },
    Rename { from: &'e Path, to: &'e Path },
    Unlink { path: &'e Path },
}

/// Things that were done one after the other, of which the first ones are durable.
struct Queue<T> {
    all: Vec<T>,
    durable: usize,
    /// How many there were when a sync began that has not ended.
    syncing: Vec<usize>,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self { all: Vec::new(), durable: 0, syncing: Vec::new() }
    }
}

impl<T> Queue<T> {
    fn begin(&mut self) {
        self.syncing.push(self.all.len());
    }

    fn end(&mut self) {
        if !self.syncing.is_empty() {
            self.durable = self.durable.max(self.syncing.remove(0));
        }
    }
}

#[derive(Default)]
struct Disk<'e> {
    files: Vec<Queue<Change<'e>>>,
    names: BTreeMap<PathBuf, Queue<Naming<'e>>>,
    file_of: BTreeMap<u64, usize>,
    directory_of: BTreeMap<u64, PathBuf>,
}

impl<'e> Disk<'e> {
    fn name(&mut self, path: &Path, naming: Naming<'e>) {
        self.names.entry(path.parent().unwrap().to_owned()).or_default().all.push(naming);
    }

    fn change(&mut self, inode: u64, change: Change<'e>) {
        let file = self.file_of[&inode];
        self.files[file].all.push(change);
    }

    fn happen(&mut self, event: &'e Event) {
        match event {
            Event::Create { path, inode } => {
                let file = self.files.len();
                self.files.push(Queue::default());
                self.file_of.insert(*inode, file);
                self.name(path, Naming::Link { path, file });
            }
            Event::MakeDirectory { path, inode } => {
                self.directory_of.insert(*inode, path.clone());
                self.name(path, Naming::Directory { path });
            }
            Event::Write { inode, offset, bytes } => self.change(*inode, Change::Write { offset: *offset, bytes }),
            Event::Zeros { inode, offset, length } => {
                self.change(*inode, Change::Zeros { offset: *offset, length: *length });
            }
            Event::Truncate { inode, length } => self.change(*inode, Change::Truncate { length: *length }),
            Event::Rename { from, to } => self.name(to, Naming::Rename { from, to }),
            Event::Unlink { path } => self.name(path, Naming::Unlink { path }),
            Event::SyncBegin { inode } => self.sync(*inode, Queue::begin, Queue::begin),
            Event::SyncEnd { inode } => self.sync(*inode, Queue::end, Queue::end),
            Event::Send(_) => {}
        }
    }

    fn sync(
        &mut self,
        inode: u64,
        file: impl FnOnce(&mut Queue<Change<'e>>),
        directory: impl FnOnce(&mut Queue<Naming<'e>>),
    ) {
        if let Some(path) = self.directory_of.get(&inode) {
            directory(self.names.entry(path.clone()).or_default());
        } else if let Some(number) = self.file_of.get(&inode) {
            file(&mut self.files[*number]);
        }
    }
}

/// How much of what was not synced is there.
#[derive(Clone, Copy)]
enum Luck {
    Nothing,
    Everything,
    Some,
}

impl Luck {
    fn has(self, random: &mut Random) -> bool {
        match self {
            Self::Nothing => false,
            Self::Everything => true,
            Self::Some => random.below(2) == 0,
        }
    }
}

fn write(content: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    if content.len() < offset + bytes.len() {
        content.resize(offset + bytes.len(), 0);
    }
    content[offset..offset + bytes.len()].copy_from_slice(bytes);
}

fn content(queue: &Queue<Change<'_>>, luck: Luck, random: &mut Random) -> Vec<u8> {
    let mut content = Vec::new();
    for (number, change) in queue.all.iter().enumerate() {
        let luck = if number < queue.durable { Luck::Everything } else { luck };
        match change {
            Change::Truncate { length } if luck.has(random) => content.resize(*length, 0),
            Change::Truncate { .. } => {}
            Change::Write { offset, bytes } => {
                // Sectors are of the file, not of the write.
                let mut start = *offset;
                while start < offset + bytes.len() {
                    let end = (start / SECTOR * SECTOR + SECTOR).min(offset + bytes.len());
                    if luck.has(random) {
                        write(&mut content, start, &bytes[start - offset..end - offset]);
                    }
                    start = end;
                }
            }
            Change::Zeros { offset, length } if luck.has(random) => write(&mut content, *offset, &vec![0; *length]),
            Change::Zeros { .. } => {}
        }
    }
    content
}

/// Writes what may be left of `from` after these events into `to`, as another boot of the machine finds it.
pub fn image(events: &[Event], from: &Path, to: &Path, random: &mut Random) {
    let mut disk = Disk::default();
    for event in events {
        disk.happen(event);
    }
    let luck = [Luck::Nothing, Luck::Everything, Luck::Some][usize::try_from(random.below(3)).unwrap()];
    let mut files: BTreeMap<PathBuf, Option<usize>> = BTreeMap::new();
    for queue in disk.names.values() {
        for (number, naming) in queue.all.iter().enumerate() {
            if number >= queue.durable && !luck.has(random) {
                continue;
            }
            match naming {
                Naming::Link { path, file } => drop(files.insert((*path).to_owned(), Some(*file))),
                Naming::Directory { path } => drop(files.insert((*path).to_owned(), None)),
                Naming::Unlink { path } => drop(files.remove(*path)),
                Naming::Rename { from, to } => {
                    // A directory takes what is in it along.
                    let moved: Vec<_> = files.keys().filter(|path| path.starts_with(from)).cloned().collect();
                    for path in moved {
                        let kept = files.remove(&path).flatten();
                        let rest = path.strip_prefix(from).unwrap();
                        let target = if rest.as_os_str().is_empty() { to.to_path_buf() } else { to.join(rest) };
                        files.insert(target, kept);
                    }
                }
            }
        }
    }
    // The directory of all is in one that is not looked at.
    files.remove(from);
    std::fs::create_dir(to).unwrap();
    for (path, file) in files {
        let target = to.join(path.strip_prefix(from).unwrap());
        match file {
            // A name that is there leads to nothing when its directory is not.
            _ if target.parent().is_some_and(|parent| !parent.exists() && parent.starts_with(to)) => {}
            None => drop(std::fs::create_dir(&target)),
            Some(file) => {
                std::fs::write(&target, content(&disk.files[file], luck, random)).unwrap();
                std::fs::set_permissions(&target, Permissions::from_mode(0o600)).unwrap();
            }
        }
    }
    let opened = to.join("store/opened");
    if opened.exists() {
        std::fs::write(opened, "another boot").unwrap();
    }
}
