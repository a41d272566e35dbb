//! What is particular to a folder: its layout, its opening, its limits.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex, mpsc};
use std::thread;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures::FutureExt;
use futures::executor::block_on;
use snapshot_core::{Content, Created, Generation, Key, NodeId, Sink, SnapshotId, SnapshotStore, StoreError};
use snapshot_store::{DirectoryStore, OpenError};
use tempfile::{TempDir, tempdir};

fn snapshot(sequence: u64) -> SnapshotId {
    SnapshotId { generation: Generation(1), sequence, initiator: NodeId(1) }
}

fn part(sequence: u64, node: u64) -> Key {
    Key::Part { snapshot: snapshot(sequence), node: NodeId(node) }
}

fn evidence(sequence: u64, node: u64) -> Key {
    Key::Evidence { snapshot: snapshot(sequence), node: NodeId(node) }
}

fn fresh() -> (TempDir, DirectoryStore) {
    let place = tempdir().unwrap();
    let store = DirectoryStore::open(place.path()).unwrap();
    (place, store)
}

fn create(store: &DirectoryStore, key: Key) -> Result<Created, StoreError> {
    block_on(store.create(key, Bytes::from("object").into()))
}

fn has(store: &DirectoryStore, key: Key) -> Result<bool, StoreError> {
    block_on(store.read(key, Sink::new(|_| Ok(()))))
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn object_is_a_file_named_by_its_key_and_is_there_when_the_folder_is_opened_again() {
    let place = tempdir().unwrap();
    let folder = place.path().join("a/b/snapshots");
    let keys = [Key::Journal(1), part(3, 7), evidence(3, 7), Key::Initial(NodeId(7))];
    for key in keys {
        assert_eq!(create(&DirectoryStore::open(&folder).unwrap(), key).unwrap(), Created::New);
        assert_eq!(fs::read(folder.join(key.to_string())).unwrap(), b"object");
    }
    assert_eq!(names(&folder), ["SNAPSHOT-STORE", "evidence", "initial", "journal", "part", "seat", "tmp"]);
    assert_eq!(fs::read(folder.join("SNAPSHOT-STORE")).unwrap(), b"snapshot-store layout 1\n");
    let store = DirectoryStore::open_existing(&folder).unwrap();
    for key in keys {
        assert_eq!(create(&store, key).unwrap(), Created::Exists);
        assert!(has(&store, key).unwrap());
    }
    assert_eq!(block_on(store.list_parts(None)).unwrap(), [part(3, 7)], "evidence is no part");
}

#[test]
fn folder_that_is_missing_or_empty_is_no_existing_store() {
    let place = tempdir().unwrap();
    let missing = place.path().join("missing");
    let error = DirectoryStore::open_existing(&missing).unwrap_err();
    assert!(matches!(error, OpenError::Missing { .. }));
    assert!(error.to_string().contains(missing.to_str().unwrap()), "{error}");
    assert!(!missing.exists());
    assert!(matches!(DirectoryStore::open_existing(place.path()), Err(OpenError::NotAStore { .. })));
    assert_eq!(names(place.path()), [""; 0]);
}

#[test]
fn folder_of_other_things_is_refused_and_left_as_it_is() {
    for other in ["letter.txt", "tmp/letter.txt", "journal/00000000000000000001"] {
        let place = tempdir().unwrap();
        let file = place.path().join(other);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, "dear").unwrap();
        let before = names(place.path());
        assert!(matches!(DirectoryStore::open(place.path()), Err(OpenError::NotAStore { .. })), "{other}");
        assert!(matches!(DirectoryStore::open_existing(place.path()), Err(OpenError::NotAStore { .. })));
        assert_eq!(names(place.path()), before);
        let error = StoreError::from(DirectoryStore::open(&file).unwrap_err());
        assert!(error.to_string().contains(file.to_str().unwrap()), "{error}");
        assert!(matches!(DirectoryStore::open_existing(&file), Err(OpenError::NotAStore { .. })));
    }
}

#[test]
fn what_the_system_says_of_a_path_is_neither_a_missing_store_nor_an_empty_one() {
    let place = tempdir().unwrap();
    fs::write(place.path().join("letter.txt"), "dear").unwrap();
    let under_a_file = DirectoryStore::open_existing(place.path().join("letter.txt/store")).unwrap_err();
    fs::create_dir_all(place.path().join("store/SNAPSHOT-STORE")).unwrap();
    let marked_by_a_folder = DirectoryStore::open_existing(place.path().join("store")).unwrap_err();
    for error in [under_a_file, marked_by_a_folder] {
        assert!(matches!(error, OpenError::System { .. }), "{error}");
        let cause = std::error::Error::source(&error).expect("what the system said").to_string();
        let error = StoreError::from(error);
        assert_eq!(std::error::Error::source(&error).map(ToString::to_string), Some(cause));
    }
}

#[test]
fn new_disk_and_interrupted_beginning_count_as_empty() {
    let place = tempdir().unwrap();
    fs::create_dir(place.path().join("lost+found")).unwrap();
    fs::create_dir(place.path().join("tmp")).unwrap();
    fs::write(place.path().join("tmp/unfinished-abcdef"), "snapsh").unwrap();
    DirectoryStore::open(place.path()).unwrap();
}

#[test]
fn marker_of_a_newer_layout_or_of_something_else_is_refused() {
    let (place, _) = fresh();
    let marker = place.path().join("SNAPSHOT-STORE");
    fs::write(&marker, "snapshot-store layout 2\nwith more to say").unwrap();
    let error = DirectoryStore::open(place.path()).unwrap_err();
    assert!(matches!(error, OpenError::NewerLayout { found: 2, .. }));
    assert!(
        error
            .to_string()
            .ends_with("has layout 2, and this program knows layouts up to 1: upgrade the program")
    );
    for text in [
        &b""[..],
        b"snapshot-store layout 0\n",
        b"snapshot-store layout 99999999999\n",
        b"\xff\xfe",
        &[b'1'; 4096],
    ] {
        fs::write(&marker, text).unwrap();
        assert!(matches!(DirectoryStore::open(place.path()), Err(OpenError::NotAStore { .. })));
        assert!(matches!(DirectoryStore::open_existing(place.path()), Err(OpenError::NotAStore { .. })));
    }
}

#[test]
fn only_abandoned_files_are_swept() {
    let (place, _) = fresh();
    let tmp = place.path().join("tmp");
    let long_ago = SystemTime::now() - Duration::from_secs(20 * 60);
    let a_while_ago = SystemTime::now() - Duration::from_secs(10 * 60);
    let files = ["unfinished-abandoned", "unfinished-in-use", "unfinished-young", "foreign"].map(|name| {
        let file = File::create(tmp.join(name)).unwrap();
        file.set_modified(if name.ends_with("young") { a_while_ago } else { long_ago }).unwrap();
        file
    });
    files[1].lock().unwrap();
    DirectoryStore::open(place.path()).unwrap();
    assert_eq!(names(&tmp), ["foreign", "unfinished-in-use", "unfinished-young"]);
    files[1].unlock().unwrap();
    DirectoryStore::open_existing(place.path()).unwrap();
    assert_eq!(names(&tmp), ["foreign", "unfinished-young"]);
}

#[test]
fn file_that_a_slow_state_is_written_to_is_not_swept() {
    let (place, store) = fresh();
    let folder = place.path().to_owned();
    let content = Content::new(move |out| {
        out.write_all(b"slow")?;
        let tmp = folder.join("tmp");
        let file = File::options().write(true).open(tmp.join(&names(&tmp)[0]))?;
        file.set_modified(SystemTime::now() - Duration::from_secs(3600))?;
        DirectoryStore::open(&folder).map_err(io::Error::other)?;
        Ok(())
    });
    assert_eq!(block_on(store.create(part(1, 1), content)).unwrap(), Created::New);
}

#[test]
fn writers_that_win_lose_fail_or_panic_leave_nothing_in_tmp() {
    let (place, store) = fresh();
    let writes: [fn(&mut dyn Write) -> io::Result<()>; 4] = [
        |out| out.write_all(&[7; 600_000]),
        |out| out.write_all(b"too late"),
        |out| {
            out.write_all(&[7; 600_000])?;
            Err(io::ErrorKind::StorageFull.into())
        },
        |out| {
            out.write_all(&[7; 600_000])?;
            std::panic::resume_unwind(Box::new("this state cannot be encoded"))
        },
    ];
    let outcomes = [0, 0, 1, 2].map(|sequence| part(sequence, 1)).into_iter().zip(writes);
    let outcomes: Vec<_> =
        outcomes.map(|(key, write)| block_on(store.create(key, Content::new(write)))).collect();
    let [Ok(Created::New), Ok(Created::Exists), Err(full), Err(panicked)] = &outcomes[..] else {
        panic!("{outcomes:?}")
    };
    assert!(full.is_full());
    let source = std::error::Error::source(panicked).unwrap().to_string();
    assert!(source.contains("this state cannot be encoded"), "{source}");
    assert_eq!(names(&place.path().join("tmp")), [""; 0]);
}

#[test]
fn large_object_comes_back_as_it_was_written() {
    const PIECE: usize = 1_000_003;
    let piece: Arc<Vec<u8>> = Arc::new((0..PIECE).map(|at| (at >> 4) as u8).collect());
    let (_place, store) = fresh();
    let written = Arc::clone(&piece);
    let content = Content::new(move |out| (0..40).try_for_each(|_| out.write_all(&written)));
    assert_eq!(block_on(store.create(part(1, 1), content)).unwrap(), Created::New);
    let (sink, count) = Sink::collecting(move |input| {
        let (mut found, mut count) = (vec![0; PIECE], 0);
        while count < 40 {
            input.read_exact(&mut found)?;
            assert!(found == *piece, "piece {count}");
            count += 1;
        }
        assert_eq!(input.read(&mut found)?, 0);
        Ok(count)
    });
    assert!(block_on(store.read(part(1, 1), sink)).unwrap());
    assert_eq!(count.take(), Some(40));
}

#[test]
fn foreign_names_are_not_listed() {
    let (place, store) = fresh();
    create(&store, part(1, 1)).unwrap();
    let real = place.path().join(part(1, 1).to_string());
    let snapshot = real.parent().unwrap();
    fs::write(snapshot.join("notes.txt"), "").unwrap();
    fs::write(snapshot.parent().unwrap().join("00000000000000000009"), "").unwrap();
    fs::write(place.path().join("part/readme"), "").unwrap();
    fs::create_dir(snapshot.join("00000000000000000002")).unwrap();
    fs::create_dir_all(place.path().join("part/new/old")).unwrap();
    assert_eq!(block_on(store.list_parts(None)).unwrap(), [part(1, 1)]);
    assert_eq!(block_on(store.list_parts(Some(Generation(1)))).unwrap(), [part(1, 1)]);
}

#[test]
fn folders_go_with_their_last_object() {
    let (place, store) = fresh();
    for key in [part(1, 1), part(1, 2), part(2, 1)] {
        create(&store, key).unwrap();
    }
    let generation = place.path().join("part").join(&names(&place.path().join("part"))[0]);
    for (key, left) in [(part(1, 1), 2), (part(1, 2), 1)] {
        block_on(store.delete(key)).unwrap();
        assert_eq!(names(&generation).len(), left);
    }
    block_on(store.delete(part(2, 1))).unwrap();
    assert_eq!(names(&place.path().join("part")), [""; 0]);
}

#[test]
fn create_succeeds_while_others_remove_the_folder_it_needs() {
    /// Fewer than `create` tries: each try that fails has met one of these.
    const REMOVALS: usize = 900;

    let (place, store) = fresh();
    let file = place.path().join(part(1, 1).to_string());
    let folders: Vec<&Path> = file.ancestors().skip(1).take(2).collect();
    let (done, is_done) = mpsc::channel::<()>();
    let removed = AtomicUsize::new(0);
    thread::scope(|scope| {
        // Dropped when a check below fails, so that the other thread ends.
        let (done, removed) = (done, &removed);
        scope.spawn(move || {
            while is_done.try_recv() == Err(mpsc::TryRecvError::Empty) {
                for folder in &folders {
                    if removed.load(Ordering::SeqCst) < REMOVALS && fs::remove_dir(folder).is_ok() {
                        removed.fetch_add(1, Ordering::SeqCst);
                    }
                }
            }
        });
        for _ in 0..100 {
            removed.store(0, Ordering::SeqCst);
            assert_eq!(create(&store, part(1, 1)).unwrap(), Created::New);
            assert!(has(&store, part(1, 1)).unwrap());
            block_on(store.delete(part(1, 1))).unwrap();
        }
        drop(done);
    });
    assert_eq!(block_on(store.list_parts(None)).unwrap(), []);
}

#[test]
fn parts_of_one_snapshot_come_and_go_at_the_same_time() {
    let (_place, store) = fresh();
    thread::scope(|scope| {
        for node in 0..4 {
            let store = &store;
            scope.spawn(move || {
                for _ in 0..20 {
                    assert_eq!(create(store, part(1, node)).unwrap(), Created::New);
                    assert!(has(store, part(1, node)).unwrap());
                    block_on(store.delete(part(1, node))).unwrap();
                }
            });
        }
    });
    assert_eq!(block_on(store.list_parts(None)).unwrap(), []);
}

#[test]
fn fresh_folder_may_be_opened_by_many_at_once() {
    for round in 0..20 {
        let place = tempdir().unwrap();
        let start = Barrier::new(8);
        thread::scope(|scope| {
            for node in 0..8 {
                let (start, folder) = (&start, place.path().join("store"));
                scope.spawn(move || {
                    start.wait();
                    let store = DirectoryStore::open(folder).unwrap();
                    assert_eq!(create(&store, part(round, node)).unwrap(), Created::New);
                });
            }
        });
    }
}

#[test]
fn file_in_place_of_a_folder_is_an_error_that_names_object_and_store() {
    let (place, store) = fresh();
    fs::write(place.path().join("part/00000000000000000001"), "in the way").unwrap();
    for error in [create(&store, part(1, 1)).unwrap_err(), has(&store, part(1, 1)).unwrap_err()] {
        let text = error.to_string();
        assert!(
            text.contains(&part(1, 1).to_string()) && text.contains(place.path().to_str().unwrap()),
            "{text}"
        );
    }
    block_on(store.delete(part(1, 1))).unwrap_err();
    assert_eq!(names(&place.path().join("tmp")), [""; 0]);
    assert_eq!(create(&store, Key::Journal(1)).unwrap(), Created::New);
}

#[cfg(unix)]
#[test]
fn folder_that_may_not_be_written_to_is_read_only() {
    use std::os::unix::fs::PermissionsExt;
    let (place, store) = fresh();
    create(&store, Key::Journal(1)).unwrap();
    let tmp = place.path().join("tmp");
    fs::set_permissions(&tmp, fs::Permissions::from_mode(0o500)).unwrap();
    if File::create(tmp.join("probe")).is_ok() {
        eprintln!("skipped: this user may write everywhere");
        return;
    }
    assert!(create(&store, Key::Journal(2)).unwrap_err().is_read_only());
    assert!(has(&store, Key::Journal(1)).unwrap());
    fs::set_permissions(&tmp, fs::Permissions::from_mode(0o700)).unwrap();
    assert_eq!(create(&store, Key::Journal(2)).unwrap(), Created::New);
}

#[test]
fn refusals_of_the_system_keep_their_kind() {
    let (_place, store) = fresh();
    // EROFS, EACCES, ENOSPC and EDQUOT of Linux, as the system would say them.
    for (number, read_only) in [(30, true), (13, true), (28, false), (122, false)] {
        let content = Content::new(move |_| Err(io::Error::from_raw_os_error(number)));
        let error = block_on(store.create(part(1, 1), content)).unwrap_err();
        if cfg!(target_os = "linux") {
            assert_eq!((error.is_read_only(), error.is_full()), (read_only, !read_only), "error {number}");
            let advice = if read_only { "check that the disk may be written to" } else { "free some" };
            assert!(error.to_string().contains(advice), "{error}");
        }
    }
}

#[test]
fn what_is_missing_in_a_store_that_is_there_is_not_said_to_be_the_store() {
    let (place, store) = fresh();
    let content = Content::new(|_| Err(io::ErrorKind::NotFound.into()));
    let error = block_on(store.create(part(1, 1), content)).unwrap_err();
    assert!(!error.to_string().contains("has gone"), "{error}");
    fs::remove_dir(place.path().join("journal")).unwrap();
    let error = create(&store, Key::Journal(1)).unwrap_err();
    let cause = std::error::Error::source(&error).unwrap().downcast_ref::<io::Error>().unwrap();
    assert_eq!(cause.kind(), io::ErrorKind::NotFound);
}

#[test]
fn file_in_place_of_what_a_store_needs_is_found_when_it_is_opened() {
    let (place, _) = fresh();
    fs::remove_dir(place.path().join("seat")).unwrap();
    fs::write(place.path().join("seat"), "in the way").unwrap();
    for error in [DirectoryStore::open(place.path()), DirectoryStore::open_existing(place.path())]
        .map(Result::unwrap_err)
    {
        assert!(matches!(error, OpenError::System { .. }), "{error}");
    }
}

#[cfg(unix)]
#[test]
fn marker_that_leads_nowhere_makes_no_store() {
    let place = tempdir().unwrap();
    std::os::unix::fs::symlink("nowhere", place.path().join("SNAPSHOT-STORE")).unwrap();
    assert!(matches!(DirectoryStore::open(place.path()), Err(OpenError::System { .. })));
}

#[cfg(target_os = "linux")]
#[test]
fn full_disk_is_said_to_be_full() {
    let (_place, store) = fresh();
    let content = Content::new(|_| File::create("/dev/full")?.write_all(b"too much"));
    let error = block_on(store.create(part(1, 1), content)).unwrap_err();
    assert!(error.is_full());
    assert!(error.to_string().ends_with("no space is left; free some"), "{error}");
}

#[test]
fn store_that_has_gone_is_an_error_and_not_an_empty_store() {
    let (place, store) = fresh();
    create(&store, part(1, 1)).unwrap();
    let (here, away) = (place.path().to_owned(), tempdir().unwrap());
    fs::rename(&here, away.path().join("store")).unwrap();
    for empty_mount_point in [false, true] {
        if empty_mount_point {
            fs::create_dir(&here).unwrap();
        }
        let errors = [
            create(&store, part(1, 1)).unwrap_err(),
            has(&store, part(1, 1)).unwrap_err(),
            block_on(store.list_parts(None)).unwrap_err(),
            block_on(store.list_parts(Some(Generation(7)))).unwrap_err(),
            block_on(store.delete(part(1, 1))).unwrap_err(),
        ];
        assert!(
            errors.iter().all(|error| error.to_string().ends_with("check that the disk is mounted")),
            "{errors:?}"
        );
    }
    assert_eq!(names(&here), [""; 0]);
    fs::remove_dir(&here).unwrap();
    fs::rename(away.path().join("store"), &here).unwrap();
    assert!(has(&store, part(1, 1)).unwrap());
}

#[test]
fn four_states_are_written_at_once_and_records_do_not_wait_for_them() {
    let (_place, store) = fresh();
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (begun, has_begun) = mpsc::channel();
    let (go_on, may_go_on) = mpsc::channel();
    let may_go_on = Arc::new(Mutex::new(may_go_on));
    thread::scope(|scope| {
        // Dropped when a check below fails, so that the writers end.
        let go_on = go_on;
        for node in 0..8 {
            let (now, most, begun, may_go_on) = (now.clone(), most.clone(), begun.clone(), may_go_on.clone());
            let content = Content::new(move |_| {
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                begun.send(()).map_err(io::Error::other)?;
                may_go_on.lock().unwrap().recv().map_err(io::Error::other)?;
                now.fetch_sub(1, Ordering::SeqCst);
                Ok(())
            });
            let store = &store;
            scope.spawn(move || block_on(store.create(part(1, node), content)).unwrap());
        }
        for round in 1..=2 {
            (0..4).for_each(|_| has_begun.recv().unwrap());
            assert_eq!(create(&store, Key::Journal(round)).unwrap(), Created::New);
            (0..4).for_each(|_| go_on.send(()).unwrap());
        }
    });
    assert_eq!(most.load(Ordering::SeqCst), 4);
}

#[test]
fn dropped_calls_leave_whole_objects_or_none_and_take_no_room() {
    let (place, store) = fresh();
    for node in 0..20 {
        let call = store.create(part(1, node), Content::new(|out| out.write_all(&[5; 300_000])));
        // One poll, then dropped: some have begun by then, others have not.
        let _ = call.now_or_never();
    }
    // These meet only if all four places are free again.
    let all_four = Arc::new(Barrier::new(4));
    thread::scope(|scope| {
        for node in 0..4 {
            let (store, all_four) = (&store, all_four.clone());
            let content = Content::new(move |_| {
                all_four.wait();
                Ok(())
            });
            scope.spawn(move || block_on(store.create(Key::Initial(NodeId(node)), content)).unwrap());
        }
    });
    for key in block_on(store.list_parts(None)).unwrap() {
        let size = fs::metadata(place.path().join(key.to_string())).unwrap().len();
        assert_eq!(size, 300_000, "{key}");
    }
}
