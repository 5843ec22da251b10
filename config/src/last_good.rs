//! The last snapshot that served well, on disk: what a process boots from while the store can't be
//! reached. A file is replaced whole or not at all; one that isn't what was written is refused and
//! left in place.

use std::fs;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use bytes::BytesMut;
use fprs_proto::feed as wire;
use prost::Message;
use prost::encoding;

use crate::key::Revision;
use crate::limits;
use crate::store::{Contents, Entry};
use crate::whole_file::{self, Outlives, Readers};

/// Where the last good snapshot is kept.
#[derive(Clone, Debug)]
pub struct LastGood {
    path: PathBuf,
}

/// How fast a file is written.
#[derive(Clone, Copy, Debug)]
pub enum Pace<'a> {
    /// As fast as it can be.
    AtOnce,
    /// With most of the time left to whoever serves on the same core, until this is set.
    Gently(&'a AtomicBool),
}

/// Why a last-good file can't be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LastGoodError {
    /// The file system refuses.
    #[error("the last-good file {} can't be {what}: {error}; check its directory and disk", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// `read` or `written`.
        what: &'static str,
        /// The system's reason.
        error: io::Error,
    },
    /// It is not what was written.
    #[error(
        "the last-good file {} is not used: {reason}; it is left in place, remove it to silence this",
        path.display()
    )]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

/// First bytes of the file.
const MAGIC: [u8; 8] = *b"fprs-lkg";
/// Changes with every layout that an earlier build could not read.
const VERSION: u32 = 1;
/// Magic, version, checksum of the rest.
const HEADER_BYTES: usize = 16;

impl LastGood {
    /// Keeps it in that file; its directory must exist.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the file; `None` if there is none. Blocks.
    ///
    /// # Errors
    /// The file can't be read, or isn't what was written.
    pub fn read(&self) -> Result<Option<Contents>, LastGoodError> {
        let mut entries = Vec::new();
        let revision = self.each(|_, entry| entries.push(entry))?;
        Ok(revision.map(|revision| Contents { revision, entries }))
    }

    /// Reads the file entry by entry, each with the file's revision, which is returned; `None` if there
    /// is no file. Nothing is told of one whose checksum is wrong. Blocks. Holds one entry at a time.
    ///
    /// # Errors
    /// The file can't be read, or isn't what was written.
    pub fn each(
        &self,
        take: impl FnMut(Revision, Entry),
    ) -> Result<Option<Revision>, LastGoodError> {
        let mut file = match fs::File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(self.io("read", error)),
        };
        match check(&mut file).and_then(|()| decode(file, take)) {
            Ok(revision) => Ok(Some(revision)),
            Err(Unreadable::Io(error)) => Err(self.io("read", error)),
            Err(Unreadable::Wrong(reason)) => Err(LastGoodError::Unusable {
                path: self.path.clone(),
                reason,
            }),
        }
    }

    /// Replaces the file, durably, with those entries, each key once, as they are at that revision.
    /// Blocks. Holds one entry at a time.
    ///
    /// # Errors
    /// The file can't be written; the one before is still there.
    pub fn write(
        &self,
        revision: Revision,
        entries: impl IntoIterator<Item = Entry>,
        pace: Pace<'_>,
    ) -> Result<(), LastGoodError> {
        let write = |file: &mut fs::File| encode(file, revision, entries, pace);
        // Manifests' `env` is in it.
        whole_file::replace_by(&self.path, Readers::Owner, Outlives::Power, write)
            .map_err(|error| self.io("written", error))
    }

    fn io(&self, what: &'static str, error: io::Error) -> LastGoodError {
        LastGoodError::Io {
            path: self.path.clone(),
            what,
            error,
        }
    }
}

/// A header and one `SnapshotChunk`, of which no more than an entry is in memory.
fn encode(
    file: &mut fs::File,
    revision: Revision,
    entries: impl IntoIterator<Item = Entry>,
    pace: Pace<'_>,
) -> io::Result<()> {
    let mut sum = crc32fast::Hasher::new();
    let mut body = BufWriter::new(&mut *file);
    // Filled in at the end, which knows the sum.
    body.write_all(&[0; HEADER_BYTES])?;
    let mut piece = BytesMut::new();
    encoding::uint64::encode(1, &revision.0, &mut piece);
    let mut began = Instant::now();
    for (place, entry) in entries.into_iter().enumerate() {
        encoding::message::encode(2, &wire::Entry::from(entry), &mut piece);
        sum.update(&piece);
        body.write_all(&piece)?;
        piece.clear();
        if place % BREATH == BREATH - 1 {
            began = pace.breathe(began);
        }
    }
    sum.update(&piece);
    body.write_all(&piece)?;
    body.flush()?;
    drop(body);
    file.seek(SeekFrom::Start(0))?;
    file.write_all(&MAGIC)?;
    file.write_all(&VERSION.to_le_bytes())?;
    file.write_all(&sum.finalize().to_le_bytes())
}

/// Entries that are written in one go: about a tenth of a millisecond's work, which is what whoever
/// serves on the same core waits for at most.
const BREATH: usize = 64;

impl Pace<'_> {
    /// Leaves the core to others for its share of the time since then; since when it works again.
    fn breathe(self, began: Instant) -> Instant {
        if let Self::Gently(hurry) = self
            && !hurry.load(Ordering::Relaxed)
        {
            std::thread::sleep(began.elapsed().saturating_mul(limits::LAST_GOOD_REST));
        }
        Instant::now()
    }
}

/// Why nothing can be read.
enum Unreadable {
    Io(io::Error),
    Wrong(String),
}

impl From<io::Error> for Unreadable {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<&str> for Unreadable {
    fn from(reason: &str) -> Self {
        Self::Wrong(reason.to_owned())
    }
}

/// Read at a time.
const PIECE: usize = 1024 * 1024;

/// Reads all of it once: it is what was written, as far as the header tells. Leaves the file at what
/// follows the header.
fn check(file: &mut fs::File) -> Result<(), Unreadable> {
    let length = file.metadata()?.len();
    let mut header = [0; HEADER_BYTES];
    if length < HEADER_BYTES as u64 {
        return Err(Unreadable::Wrong(format!(
            "it is cut short after {length} bytes"
        )));
    }
    if length > limits::LAST_GOOD_BYTES {
        return Err(Unreadable::Wrong(format!(
            "it has {length} bytes; the limit is {}",
            limits::LAST_GOOD_BYTES
        )));
    }
    file.read_exact(&mut header)?;
    if !header.starts_with(&MAGIC) {
        return Err("it is no last-good file".into());
    }
    let number = |at: usize| {
        header
            .get(at..)
            .and_then(|rest| rest.first_chunk::<4>())
            .map_or(0, |bytes| u32::from_le_bytes(*bytes))
    };
    let (version, sum) = (number(8), number(12));
    if version != VERSION {
        return Err(Unreadable::Wrong(format!(
            "it is of version {version}, this build knows {VERSION}"
        )));
    }
    let mut found = crc32fast::Hasher::new();
    let mut body = BufReader::with_capacity(PIECE, &mut *file);
    loop {
        let piece = body.fill_buf()?;
        if piece.is_empty() {
            break;
        }
        found.update(piece);
        let length = piece.len();
        body.consume(length);
    }
    drop(body);
    if found.finalize() != sum {
        return Err("its checksum is wrong".into());
    }
    file.seek(SeekFrom::Start(HEADER_BYTES as u64))?;
    Ok(())
}

/// A `SnapshotChunk`, field by field as [`encode`] writes it.
fn decode(file: fs::File, mut take: impl FnMut(Revision, Entry)) -> Result<Revision, Unreadable> {
    let mut body = BufReader::with_capacity(PIECE, file);
    let mut revision = Revision::default();
    while !body.fill_buf()?.is_empty() {
        match varint(&mut body)? {
            REVISION => revision = Revision(varint(&mut body)?),
            ENTRY => {
                let length = usize::try_from(varint(&mut body)?).unwrap_or(usize::MAX);
                if length > ENTRY_BYTES {
                    return Err("one of its entries is too large".into());
                }
                let mut bytes = BytesMut::zeroed(length);
                body.read_exact(&mut bytes)?;
                let entry = wire::Entry::decode(bytes.freeze());
                let entry = entry.map_err(|error| Unreadable::Wrong(error.to_string()))?;
                let entry = Entry::try_from(entry);
                let entry = entry.map_err(|error| Unreadable::Wrong(error.to_string()))?;
                take(revision, entry);
            }
            _ => return Err("it has a field this build doesn't know".into()),
        }
    }
    Ok(revision)
}

/// A field's number and how it is written: `revision`, a varint.
const REVISION: u64 = 1 << 3;
/// `entries`, each with its length.
const ENTRY: u64 = 2 << 3 | 2;
/// Largest entry that is read: a record with its key, and room for what later builds add.
const ENTRY_BYTES: usize = 2 * limits::RECORD_BYTES;

fn varint(from: &mut impl Read) -> Result<u64, Unreadable> {
    let mut value = 0_u64;
    for shift in (0..u64::BITS).step_by(7) {
        let mut byte = [0];
        from.read_exact(&mut byte)?;
        let [byte] = byte;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err("one of its numbers has no end".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{batch, contents_after, server, worker};

    fn contents() -> Contents {
        contents_after(&[
            batch(1, vec![server("a").change(), worker("w").change()]),
            batch(7, vec![server("b").change()]),
        ])
    }

    fn write(last_good: &LastGood, contents: &Contents) -> Result<(), LastGoodError> {
        let entries = contents.entries.iter().cloned();
        last_good.write(contents.revision, entries, Pace::AtOnce)
    }

    #[test]
    fn a_gentle_writer_rests_until_it_is_told_to_hurry() {
        let (_dir, last_good) = place();
        let entries: Vec<_> = (0..BREATH * 4)
            .flat_map(|number| {
                let commit = batch(1, vec![server(&format!("s{number}")).change()]);
                contents_after(&[commit]).entries
            })
            .collect();
        let timed = |hurry| {
            let began = Instant::now();
            let pace = Pace::Gently(&hurry);
            last_good.write(Revision(1), entries.clone(), pace).unwrap();
            assert_eq!(last_good.read().unwrap().unwrap().entries, entries);
            began.elapsed()
        };
        let pairs = (0..20).map(|_| (timed(true.into()), timed(false.into())));
        assert!(pairs.into_iter().any(|(hurried, gentle)| gentle > hurried));
    }

    fn place() -> (tempfile::TempDir, LastGood) {
        let dir = tempfile::tempdir().unwrap();
        let last_good = LastGood::new(dir.path().join("last-good"));
        (dir, last_good)
    }

    #[test]
    fn what_was_written_is_read() {
        let (dir, last_good) = place();
        assert_eq!(last_good.read().unwrap(), None);
        write(&last_good, &Contents::default()).unwrap();
        write(&last_good, &contents()).unwrap();
        assert_eq!(last_good.read().unwrap(), Some(contents()));
        assert_eq!(
            fs::read_dir(dir.path()).unwrap().count(),
            1,
            "no draft stays"
        );
    }

    #[test]
    fn any_cut_or_flip_is_refused_and_the_file_is_left_in_place() {
        let (_dir, last_good) = place();
        write(&last_good, &contents()).unwrap();
        let whole = fs::read(last_good.path()).unwrap();
        let mut spoiled: Vec<Vec<u8>> = (0..whole.len())
            .map(|length| whole[..length].to_vec())
            .collect();
        for at in 0..whole.len() {
            let mut flipped = whole.clone();
            flipped[at] ^= 0x10;
            spoiled.push(flipped);
        }
        for bytes in spoiled {
            fs::write(last_good.path(), &bytes).unwrap();
            let error = last_good.read().unwrap_err();
            assert!(matches!(error, LastGoodError::Unusable { .. }), "{error}");
            assert_eq!(fs::read(last_good.path()).unwrap(), bytes);
        }
    }

    #[test]
    fn a_file_that_can_not_be_written_is_named() {
        let last_good = LastGood::new("/nowhere/at/all");
        let error = write(&last_good, &contents()).unwrap_err().to_string();
        assert!(
            error.contains("/nowhere/at/all can't be written"),
            "{error}"
        );
    }
}
