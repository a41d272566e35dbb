//! The objects of a store in a folder. All calls block.

use std::fs::{self, DirEntry, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use snapshot_core::{Content, Created, Generation, Key, NodeId, Sink, SnapshotId, StoreError};
use tempfile::NamedTempFile;

use super::folders::SyncedFolders;
use super::{layout, reading, sync, unfinished, writing};
use crate::closure;

/// How often a `create` begins again because a `delete` elsewhere removed the folder, empty at that moment, that it was about
/// to use. One attempt takes microseconds and two in a row seldom fail; the bound is there for a folder that never stays.
const ATTEMPTS: usize = 1000;

/// All objects below one folder.
#[derive(Clone, Debug)]
pub(super) struct Objects {
    root: Arc<Path>,
    folders: SyncedFolders,
}

impl Objects {
    pub(super) fn below(root: PathBuf) -> Self {
        Self { root: root.into(), folders: SyncedFolders::default() }
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    pub(super) fn create(&self, key: Key, content: Content) -> Result<Created, StoreError> {
        self.try_create(key, content).map_err(|error| self.error("write", key, error))
    }

    pub(super) fn read(&self, key: Key, sink: Sink) -> Result<bool, StoreError> {
        self.try_read(key, sink).map_err(|error| self.error("read", key, error))
    }

    pub(super) fn list_parts(&self, generation: Option<Generation>) -> Result<Vec<Key>, StoreError> {
        self.try_list_parts(generation).map_err(|error| self.error("list", "the parts", error))
    }

    pub(super) fn delete(&self, key: Key) -> Result<(), StoreError> {
        self.try_delete(key).map_err(|error| self.error("delete", key, error))
    }

    fn try_create(&self, key: Key, content: Content) -> io::Result<Created> {
        let place = Place::of(&self.root, key);
        if self.settled(&place)? {
            return Ok(Created::Exists);
        }
        let mut file = self.write(content)?;
        for _ in 0..ATTEMPTS {
            match place.make_folders().and_then(|()| place.name(file)) {
                Ok(Named::Free) => return self.sync(&place).map(|()| Created::New),
                Ok(Named::Taken(_)) if self.settled(&place)? => return Ok(Created::Exists),
                // Deleted again, or the folder went away under it.
                Ok(Named::Taken(unnamed) | Named::NoFolder(unnamed)) => file = unnamed,
                Err(error) => return Err(error),
            }
        }
        Err(io::Error::other("its folder was removed again and again by others"))
    }

    /// Writes what the object shall be to a file without a name of its own, durable and complete.
    fn write(&self, content: Content) -> io::Result<NamedTempFile> {
        let file = unfinished::create(&self.root)?;
        writing::write(file.as_file(), |out| closure::write(content, out))?;
        sync::file(file.as_file(), file.path())?;
        Ok(file)
    }

    /// Whether the object is there. Then it is durable, although whoever named it may not have come so far (D4).
    fn settled(&self, place: &Place) -> io::Result<bool> {
        unless_missing(fs::symlink_metadata(&place.path).and_then(|_| self.sync(place)))
            .map(|found| found.is_some())
    }

    fn sync(&self, place: &Place) -> io::Result<()> {
        self.folders.sync(&place.top, &place.path)
    }

    fn try_read(&self, key: Key, sink: Sink) -> io::Result<bool> {
        let place = Place::of(&self.root, key);
        // Synced before it is shown: who has seen a record builds on it, and its author may have crashed before its own sync.
        let found =
            unless_missing(File::open(&place.path).and_then(|file| self.sync(&place).map(|()| file)))?;
        let Some(file) = found else { return self.present().map(|()| false) };
        reading::read(&file, |input| closure::read(sink, input))?;
        Ok(true)
    }

    fn try_list_parts(&self, generation: Option<Generation>) -> io::Result<Vec<Key>> {
        let any = Key::Part {
            snapshot: SnapshotId {
                generation: generation.unwrap_or(Generation::FIRST),
                sequence: 0,
                initiator: NodeId(0),
            },
            node: NodeId(0),
        }
        .to_string();
        // part/<generation>/<snapshot>/<node>
        let (below, depth) = if generation.is_some() { (2, 1) } else { (3, 2) };
        let start = Path::new(&any).ancestors().nth(below).unwrap_or(Path::new(""));
        let mut parts = Vec::new();
        self.walk(&self.root.join(start), depth, &mut parts)?;
        if parts.is_empty() {
            self.present()?;
        }
        Ok(parts)
    }

    /// Collects the parts in `folder`, and in its folders down to `depth` more. What has another name or form is not ours.
    fn walk(&self, folder: &Path, depth: usize, parts: &mut Vec<Key>) -> io::Result<()> {
        let Some(entries) = unless_missing(fs::read_dir(folder))? else { return Ok(()) };
        for entry in entries {
            let Some(entry) = unless_missing(entry)? else { continue };
            let Some(kind) = unless_missing(entry.file_type())? else { continue };
            if depth > 0 && kind.is_dir() {
                self.walk(&entry.path(), depth - 1, parts)?;
            } else if depth == 0 && kind.is_file() {
                parts.extend(self.part_at(&entry));
            }
        }
        Ok(())
    }

    fn part_at(&self, entry: &DirEntry) -> Option<Key> {
        let path = entry.path();
        let words: Option<Vec<&str>> =
            path.strip_prefix(&self.root).ok()?.iter().map(|word| word.to_str()).collect();
        Key::parse(&words?.join("/")).filter(|key| matches!(key, Key::Part { .. }))
    }

    fn try_delete(&self, key: Key) -> io::Result<()> {
        let place = Place::of(&self.root, key);
        if unless_missing(fs::remove_file(&place.path))?.is_none() {
            self.present()?;
        }
        place.remove_empty_folders();
        place.sync_what_is_left()
    }

    /// That an object is missing means something only while the store is there: below an empty mount point, everything is.
    fn present(&self) -> io::Result<()> {
        if layout::is_present(&self.root) {
            return Ok(());
        }
        Err(io::Error::new(
            ErrorKind::NotFound,
            "the store has gone from its folder: has the disk been unmounted?",
        ))
    }

    fn error(&self, action: &str, what: impl std::fmt::Display, error: io::Error) -> StoreError {
        let advice = match error.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => ": no space is left; free some",
            ErrorKind::ReadOnlyFilesystem | ErrorKind::PermissionDenied => {
                ": check that the disk may be written to, and that all processes run as the owner of the folder"
            }
            ErrorKind::NotFound if !layout::is_present(&self.root) => {
                ": the store has gone from its folder; check that the disk is mounted"
            }
            _ => "",
        };
        StoreError::new(format!("cannot {action} {what} in {}{advice}", self.root.display()), error)
    }
}

/// Where one object is, or would be.
struct Place {
    /// The folder of all keys of this kind, which is made when the store is opened and never removed.
    top: PathBuf,
    path: PathBuf,
}

enum Named {
    Free,
    Taken(NamedTempFile),
    NoFolder(NamedTempFile),
}

impl Place {
    fn of(root: &Path, key: Key) -> Self {
        let text = key.to_string();
        let mut words = text.split('/');
        let top = root.join(words.next().unwrap_or_default());
        let path = words.fold(top.clone(), |path, word| path.join(word));
        Self { top, path }
    }

    /// The folders that lead to the object, below the top one, from the inside out.
    fn folders(&self) -> impl DoubleEndedIterator<Item = &Path> {
        let folders: Vec<&Path> =
            self.path.ancestors().skip(1).take_while(|folder| *folder != self.top).collect();
        folders.into_iter()
    }

    /// Makes the folders of the object, but not the top one: where that is missing, the store has gone.
    fn make_folders(&self) -> io::Result<()> {
        for folder in self.folders().rev() {
            match fs::create_dir(folder) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                // Its own folder has just been removed; naming the object will find that out, and begin again.
                Err(error) if error.kind() == ErrorKind::NotFound && self.top.is_dir() => {}
                other => other?,
            }
        }
        Ok(())
    }

    /// Gives the file its name, if that is free: at most one of all who try succeeds (D1).
    fn name(&self, file: NamedTempFile) -> io::Result<Named> {
        match file.persist_noclobber(&self.path) {
            Ok(_) => Ok(Named::Free),
            Err(refused) => match refused.error.kind() {
                ErrorKind::AlreadyExists => Ok(Named::Taken(refused.file)),
                ErrorKind::NotFound if self.top.is_dir() => Ok(Named::NoFolder(refused.file)),
                _ => Err(refused.error),
            },
        }
    }

    /// Folders that another process fills at this moment stay: the system refuses to remove them.
    fn remove_empty_folders(&self) {
        for folder in self.folders() {
            if fs::remove_dir(folder).is_err() {
                break;
            }
        }
    }

    /// Makes a deletion durable: the innermost folder that is still there has lost an entry.
    fn sync_what_is_left(&self) -> io::Result<()> {
        for folder in self.folders().chain([self.top.as_path()]) {
            if unless_missing(sync::folder(folder))?.is_some() {
                break;
            }
        }
        Ok(())
    }
}

/// What is missing is `None`.
fn unless_missing<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
