//! What is synced, and when: it shows only when the power fails.

use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use snapshot_core::{Created, Generation, Key, NodeId, Sink, SnapshotId};
use tempfile::{TempDir, tempdir};

use super::folders::MOST;
use super::layout;
use super::objects::Objects;
use super::sync::tests::synced;

const SNAPSHOT: SnapshotId = SnapshotId { generation: Generation(1), sequence: 2, initiator: NodeId(3) };
const PART: Key = Key::Part { snapshot: SNAPSHOT, node: NodeId(4) };

fn fresh() -> (TempDir, Objects) {
    let place = tempdir().unwrap();
    let objects = Objects::below(layout::open(place.path()).unwrap());
    synced();
    (place, objects)
}

/// The folders from the one of the part to that of all parts.
fn way_to(root: &Path) -> Vec<PathBuf> {
    let file = root.join(PART.to_string());
    file.ancestors().skip(1).take(3).map(Path::to_owned).collect()
}

fn create(objects: &Objects) -> Created {
    objects.create(PART, Bytes::from_static(b"object").into()).unwrap()
}

#[test]
fn an_object_is_durable_before_it_has_its_name_and_its_name_before_it_is_said_to_be_there() {
    let (place, objects) = fresh();
    assert_eq!(create(&objects), Created::New);
    let synced = synced();
    let (file, folders) = synced.split_first().unwrap();
    assert!(file.starts_with(place.path().join("tmp")), "{}", file.display());
    assert_eq!(folders, way_to(place.path()));
}

#[test]
fn what_others_have_named_is_made_durable_by_whoever_sees_it() {
    // D4: its author may have crashed before its own sync, and who has seen it builds on it.
    let (place, author) = fresh();
    create(&author);
    let of_another_process = || Objects::below(author.root().to_owned());
    synced();
    assert_eq!(create(&of_another_process()), Created::Exists);
    assert_eq!(synced(), way_to(place.path()));
    let (sink, found) = Sink::collect();
    assert!(of_another_process().read(PART, sink).unwrap());
    assert_eq!(synced(), way_to(place.path()));
    assert_eq!(found.take().as_deref(), Some(&b"object"[..]));
}

/// Where the system does not tell when a folder was made, they are synced each time.
fn times_are_told(folder: &Path) -> bool {
    cfg!(unix) && fs::metadata(folder).unwrap().created().is_ok()
}

#[test]
fn folders_whose_names_this_process_made_durable_are_not_synced_again_until_they_are_others() {
    let (place, objects) = fresh();
    if !times_are_told(place.path()) {
        return;
    }
    create(&objects);
    synced();
    let way = way_to(place.path());
    let beside = |node| {
        let key = Key::Part { snapshot: SNAPSHOT, node: NodeId(node) };
        objects.create(key, Bytes::new().into()).unwrap();
        synced()[1..].to_vec()
    };
    assert_eq!(beside(5), way[..1]);
    let (sink, _) = Sink::collect();
    assert!(objects.clone().read(PART, sink).unwrap());
    assert_eq!(synced(), way[..1]);

    // Removed and made again by another process, the inner one, then both.
    fs::rename(&way[0], place.path().join("away")).unwrap();
    assert_eq!(beside(6), way[..2]);
    assert_eq!(beside(7), way[..1]);
    fs::rename(&way[1], place.path().join("away too")).unwrap();
    assert_eq!(beside(8), way);
    assert_eq!(beside(9), way[..1]);
}

#[test]
fn so_many_folders_are_remembered_that_old_ones_are_synced_once_more() {
    let (place, objects) = fresh();
    if !times_are_told(place.path()) {
        return;
    }
    let create = |sequence, node| {
        let key = Key::Part { snapshot: SnapshotId { sequence, ..SNAPSHOT }, node: NodeId(node) };
        objects.create(key, Bytes::new().into()).unwrap();
        synced()[1..].len()
    };
    assert_eq!(create(0, 1), 3);
    // The folder of all of them is one of those that are remembered.
    (1..MOST as u64 - 1).for_each(|sequence| assert_eq!(create(sequence, 1), 2));
    assert_eq!(create(0, 2), 1);
    (MOST as u64..MOST as u64 + 2).for_each(|sequence| assert!(create(sequence, 1) >= 2));
    assert!(create(0, 3) >= 2);
}

#[test]
fn a_deletion_is_durable_where_a_folder_is_left() {
    let (place, objects) = fresh();
    create(&objects);
    let beside = Key::Part { snapshot: SNAPSHOT, node: NodeId(5) };
    objects.create(beside, Bytes::new().into()).unwrap();
    synced();
    let way = way_to(place.path());
    objects.delete(PART).unwrap();
    assert_eq!(synced(), way[..1], "the other object keeps the folder");
    objects.delete(beside).unwrap();
    assert_eq!(synced(), way[2..], "the others were empty, and have gone");
}

#[test]
fn a_new_store_is_durable_with_all_that_leads_to_it() {
    let place = tempdir().unwrap();
    let root = place.path().join("a/b");
    layout::open(&root).unwrap();
    let new = synced();
    assert!(new[0].starts_with(root.join("tmp")), "the marker: {}", new[0].display());
    for folder in [root.clone(), place.path().join("a"), place.path().to_owned()] {
        assert!(new.contains(&folder), "{}", folder.display());
    }
    // Whoever made it may not have come so far.
    layout::open(&root).unwrap();
    assert_eq!(synced(), new[1..]);
    layout::open_existing(&root).unwrap();
    assert_eq!(synced(), new[1..]);
}
