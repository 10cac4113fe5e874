//! A disk that can be looked into: a layer between the store, or SQLite, and the real files that writes down what happens
//! to them, can be told to fail, and can say what might be left after a loss of power at any moment.
//!
//! What a file holds after a loss of power is what was made durable, and of everything written since then any part:
//! each write whole, not at all, or some of its sectors.
#![allow(unsafe_code)]

use std::collections::BTreeMap;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, Once, PoisonError};

use env::Entropy;
use rusqlite::ffi;
use store::embedded::medium::{self, Blocks, Medium};

/// What a disk writes whole or not at all.
const SECTOR: usize = 512;

/// What happened, in order.
#[derive(Clone, Debug)]
pub enum Entry {
    /// Bytes were written.
    Write { file: String, offset: usize, data: Vec<u8> },
    /// The file was cut.
    Truncate { file: String, size: usize },
    /// What happened to the file before the entry with this number is durable.
    Sync { file: String, before: usize },
    /// The file was removed.
    Delete { file: String },
    /// Somebody was answered.
    Answer { writer: usize, number: u64, revision: u64 },
}

/// How the disk fails from now on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fault {
    /// It does not.
    #[default]
    None,
    /// There is no room.
    Full,
    /// SQLite's files have no room; the journal has its own.
    DatabaseFull,
    /// What ends with this name cannot be made durable.
    NotDurable(&'static str),
}

/// What is known of one directory.
#[derive(Debug, Default)]
struct Tape {
    entries: Vec<Entry>,
    fault: Fault,
}

static TAPES: Mutex<BTreeMap<PathBuf, Tape>> = Mutex::new(BTreeMap::new());
static REGISTER: Once = Once::new();

fn tapes() -> MutexGuard<'static, BTreeMap<PathBuf, Tape>> {
    TAPES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Writes down what happens to the files of a directory from now on.
pub fn observe(directory: &Path) {
    REGISTER.call_once(register);
    tapes().insert(directory.to_owned(), Tape::default());
}

/// Makes the disk fail, or stop failing.
pub fn set_fault(directory: &Path, fault: Fault) {
    tapes().entry(directory.to_owned()).or_default().fault = fault;
}

/// Writes down an answer among what happens to the files.
pub fn answered(directory: &Path, writer: usize, number: u64, revision: u64) {
    let entry = Entry::Answer { writer, number, revision };
    tapes().entry(directory.to_owned()).or_default().entries.push(entry);
}

/// All that happened.
pub fn tape(directory: &Path) -> Vec<Entry> {
    tapes().get(directory).map(|tape| tape.entries.clone()).unwrap_or_default()
}

/// The files as they may be after a loss of power before the entry with the number `at`. A disk that lies has made
/// nothing durable.
pub fn after_power_loss(
    entries: &[Entry],
    at: usize,
    lies: bool,
    entropy: &Entropy,
) -> BTreeMap<String, Vec<u8>> {
    let mut durable: BTreeMap<&str, usize> = BTreeMap::new();
    for entry in &entries[..at] {
        if let Entry::Sync { file, before } = entry {
            let known = durable.entry(file).or_default();
            *known = (*known).max(if lies { 0 } else { *before });
        }
    }
    let mut files: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    for (number, entry) in entries[..at].iter().enumerate() {
        let sure = |file: &str| number < durable.get(file).copied().unwrap_or(0);
        match entry {
            Entry::Write { file, offset, data } => {
                let content = files.entry(file.clone()).or_default();
                match (sure(file), entropy.below(3)) {
                    (true, _) | (false, 0) => write(content, *offset, data),
                    (false, 1) => {}
                    (false, _) => {
                        for (sector, data) in data.chunks(SECTOR).enumerate() {
                            if entropy.below(2) == 0 {
                                write(content, offset + sector * SECTOR, data);
                            }
                        }
                    }
                }
            }
            Entry::Truncate { file, size } => {
                if sure(file) || entropy.below(2) == 0 {
                    files.entry(file.clone()).or_default().truncate(*size);
                }
            }
            Entry::Delete { file } => {
                if sure(file) || entropy.below(2) == 0 {
                    files.remove(file);
                }
            }
            Entry::Sync { .. } | Entry::Answer { .. } => {}
        }
    }
    files
}

fn write(content: &mut Vec<u8>, offset: usize, data: &[u8]) {
    if content.len() < offset + data.len() {
        content.resize(offset + data.len(), 0);
    }
    content[offset..offset + data.len()].copy_from_slice(data);
}

/// The same layer for the files that SQLite does not write.
#[derive(Clone, Copy, Debug)]
pub struct Observed;

#[derive(Debug)]
struct ObservedFile {
    real: Box<dyn Blocks>,
    directory: PathBuf,
    name: String,
}

impl Medium for Observed {
    fn open(&self, path: &Path) -> std::io::Result<Box<dyn Blocks>> {
        let real = medium::Disk.open(path)?;
        let directory = path.parent().expect("files are in directories").to_owned();
        let name = path.file_name().and_then(|name| name.to_str()).expect("names are texts").to_owned();
        Ok(Box::new(ObservedFile { real, directory, name }))
    }
}

impl Blocks for ObservedFile {
    fn write(&self, offset: u64, data: &[u8]) -> std::io::Result<()> {
        if matches!(fault_of(&self.directory), Fault::Full) {
            return Err(std::io::ErrorKind::StorageFull.into());
        }
        let (file, offset_here) = (self.name.clone(), offset as usize);
        record(&self.directory, Entry::Write { file, offset: offset_here, data: data.to_vec() });
        self.real.write(offset, data)
    }

    fn sync(&self) -> std::io::Result<()> {
        if matches!(fault_of(&self.directory), Fault::NotDurable(end) if self.name.ends_with(end)) {
            return Err(std::io::Error::other("not durable"));
        }
        let before = tapes().get(&self.directory).map_or(0, |tape| tape.entries.len());
        self.real.sync()?;
        record(&self.directory, Entry::Sync { file: self.name.clone(), before });
        Ok(())
    }
}

/// A file of ours. The real one follows it in memory.
#[repr(C)]
struct Shim {
    base: ffi::sqlite3_file,
    /// Directory and name, if the file is observed. Ours to free.
    name: *mut (PathBuf, String),
}

/// The real layer.
fn real() -> *mut ffi::sqlite3_vfs {
    // SAFETY: the name is a text that ends with zero; "unix" is always there on Linux and is never removed.
    unsafe { ffi::sqlite3_vfs_find(c"unix".as_ptr()) }
}

fn register() {
    // SAFETY: `real` is valid for the life of the process, and so are the leaked copy and its methods.
    unsafe {
        let mut vfs = *real();
        vfs.szOsFile += size_of::<Shim>() as c_int;
        vfs.zName = c"observed".as_ptr();
        vfs.pNext = std::ptr::null_mut();
        vfs.xOpen = Some(open);
        vfs.xDelete = Some(delete);
        let registered = ffi::sqlite3_vfs_register(Box::leak(Box::new(vfs)), 1);
        assert_eq!(registered, ffi::SQLITE_OK, "the layer is registered");
    }
}

/// Directory and name of a file whose directory is observed.
///
/// # Safety
/// `path` is null or a text that ends with zero.
unsafe fn observed(path: *const c_char) -> Option<(PathBuf, String)> {
    if path.is_null() {
        return None;
    }
    // SAFETY: the caller says so.
    let path = Path::new(unsafe { CStr::from_ptr(path) }.to_str().ok()?);
    let (directory, name) = (path.parent()?.to_owned(), path.file_name()?.to_str()?.to_owned());
    tapes().contains_key(&directory).then_some((directory, name))
}

unsafe extern "C" fn open(
    _: *mut ffi::sqlite3_vfs,
    path: *const c_char,
    file: *mut ffi::sqlite3_file,
    flags: c_int,
    out: *mut c_int,
) -> c_int {
    // SAFETY: SQLite hands over `szOsFile` bytes, which is room for ours and the real file, and a path for `xOpen`.
    unsafe {
        let shim = file.cast::<Shim>();
        (*shim).base.pMethods = std::ptr::null();
        (*shim).name = std::ptr::null_mut();
        let opened = (*real()).xOpen.expect("it opens files")(real(), path, below(file), flags, out);
        if opened == ffi::SQLITE_OK {
            if let Some(name) = observed(path) {
                (*shim).name = Box::into_raw(Box::new(name));
            }
            (*shim).base.pMethods = &METHODS;
        }
        opened
    }
}

unsafe extern "C" fn delete(_: *mut ffi::sqlite3_vfs, path: *const c_char, sync: c_int) -> c_int {
    // SAFETY: SQLite hands over a path that ends with zero.
    unsafe {
        let deleted = (*real()).xDelete.expect("it deletes files")(real(), path, sync);
        if let Some((directory, file)) = observed(path)
            && deleted == ffi::SQLITE_OK
            && let Some(tape) = tapes().get_mut(&directory)
        {
            tape.entries.push(Entry::Delete { file: file.clone() });
            if sync != 0 {
                let before = tape.entries.len();
                tape.entries.push(Entry::Sync { file, before });
            }
        }
        deleted
    }
}

fn record(directory: &Path, entry: Entry) {
    if let Some(tape) = tapes().get_mut(directory) {
        tape.entries.push(entry);
    }
}

/// The real file behind one of ours.
///
/// # Safety
/// `file` is one of ours.
unsafe fn below(file: *mut ffi::sqlite3_file) -> *mut ffi::sqlite3_file {
    // SAFETY: the real file was put right behind ours.
    unsafe { file.cast::<Shim>().add(1).cast() }
}

/// The observed name of a file of ours.
///
/// # Safety
/// `file` is one of ours, and open.
unsafe fn name_of<'a>(file: *mut ffi::sqlite3_file) -> Option<&'a (PathBuf, String)> {
    // SAFETY: the name lives until the file is closed, and the caller does not keep it longer.
    unsafe { (*file.cast::<Shim>()).name.as_ref() }
}

fn fault_of(directory: &Path) -> Fault {
    tapes().get(directory).map(|tape| tape.fault).unwrap_or_default()
}

/// Calls a method of the real file.
macro_rules! real_call {
    ($file:ident, $method:ident $(, $argument:expr)*) => {{
        let file = below($file);
        (*(*file).pMethods).$method.expect("the real file has it")(file $(, $argument)*)
    }};
}

/// Methods that only pass on.
macro_rules! passed_on {
    ($($name:ident => $method:ident($($argument:ident: $kind:ty),*) $(-> $result:ty)?;)+) => {
        $(unsafe extern "C" fn $name(file: *mut ffi::sqlite3_file $(, $argument: $kind)*) $(-> $result)? {
            // SAFETY: `file` is one of ours; arguments go to the real file as SQLite gave them.
            unsafe { real_call!(file, $method $(, $argument)*) }
        })+
    };
}

passed_on! {
    read => xRead(into: *mut c_void, amount: c_int, offset: i64) -> c_int;
    file_size => xFileSize(size: *mut i64) -> c_int;
    lock => xLock(level: c_int) -> c_int;
    unlock => xUnlock(level: c_int) -> c_int;
    check_reserved_lock => xCheckReservedLock(out: *mut c_int) -> c_int;
    file_control => xFileControl(operation: c_int, argument: *mut c_void) -> c_int;
    sector_size => xSectorSize() -> c_int;
    device_characteristics => xDeviceCharacteristics() -> c_int;
    shm_map => xShmMap(page: c_int, size: c_int, extend: c_int, out: *mut *mut c_void) -> c_int;
    shm_lock => xShmLock(offset: c_int, count: c_int, flags: c_int) -> c_int;
    shm_barrier => xShmBarrier();
    shm_unmap => xShmUnmap(remove: c_int) -> c_int;
}

unsafe extern "C" fn close(file: *mut ffi::sqlite3_file) -> c_int {
    // SAFETY: `file` is one of ours; its name was made by `open` and is freed once, here.
    unsafe {
        let closed = real_call!(file, xClose);
        let name = std::mem::replace(&mut (*file.cast::<Shim>()).name, std::ptr::null_mut());
        if !name.is_null() {
            drop(Box::from_raw(name));
        }
        closed
    }
}

unsafe extern "C" fn write_file(
    file: *mut ffi::sqlite3_file,
    from: *const c_void,
    amount: c_int,
    offset: i64,
) -> c_int {
    // SAFETY: `file` is one of ours, and `from` has `amount` bytes.
    unsafe {
        if let Some((directory, name)) = name_of(file) {
            if matches!(fault_of(directory), Fault::Full | Fault::DatabaseFull) {
                return ffi::SQLITE_FULL;
            }
            let data = std::slice::from_raw_parts(from.cast::<u8>(), amount as usize).to_vec();
            record(directory, Entry::Write { file: name.clone(), offset: offset as usize, data });
        }
        real_call!(file, xWrite, from, amount, offset)
    }
}

unsafe extern "C" fn truncate(file: *mut ffi::sqlite3_file, size: i64) -> c_int {
    // SAFETY: `file` is one of ours.
    unsafe {
        if let Some((directory, name)) = name_of(file) {
            record(directory, Entry::Truncate { file: name.clone(), size: size as usize });
        }
        real_call!(file, xTruncate, size)
    }
}

unsafe extern "C" fn sync(file: *mut ffi::sqlite3_file, flags: c_int) -> c_int {
    // SAFETY: `file` is one of ours.
    unsafe {
        let Some((directory, name)) = name_of(file) else { return real_call!(file, xSync, flags) };
        if matches!(fault_of(directory), Fault::NotDurable(end) if name.ends_with(end)) {
            return ffi::SQLITE_IOERR_FSYNC;
        }
        // What comes while it works may or may not be part of it.
        let before = tapes().get(directory).map_or(0, |tape| tape.entries.len());
        let synced = real_call!(file, xSync, flags);
        if synced == ffi::SQLITE_OK {
            record(directory, Entry::Sync { file: name.clone(), before });
        }
        synced
    }
}

static METHODS: ffi::sqlite3_io_methods = ffi::sqlite3_io_methods {
    // The second version has shared memory, and not yet mapped pages, which would go past us.
    iVersion: 2,
    xClose: Some(close),
    xRead: Some(read),
    xWrite: Some(write_file),
    xTruncate: Some(truncate),
    xSync: Some(sync),
    xFileSize: Some(file_size),
    xLock: Some(lock),
    xUnlock: Some(unlock),
    xCheckReservedLock: Some(check_reserved_lock),
    xFileControl: Some(file_control),
    xSectorSize: Some(sector_size),
    xDeviceCharacteristics: Some(device_characteristics),
    xShmMap: Some(shm_map),
    xShmLock: Some(shm_lock),
    xShmBarrier: Some(shm_barrier),
    xShmUnmap: Some(shm_unmap),
    xFetch: None,
    xUnfetch: None,
};
