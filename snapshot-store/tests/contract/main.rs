//! The clauses of `SnapshotStore`, checked on every store of this package, and on doubles that break one clause each.

mod broken;
mod checks;

use snapshot_store::{DirectoryStore, Fault, FaultyStore, MemoryStore};

macro_rules! every_check {
    ($store:ident) => {
        every_check!($store: one_of_many_creates_wins, who_comes_later_changes_nothing, an_object_is_what_was_written,
            a_half_written_object_is_not_there, a_created_object_is_found, an_empty_store_holds_nothing,
            listed_parts_are_those_that_are_there, a_deleted_object_is_gone_and_may_come_again,
            failed_content_leaves_nothing, a_failed_sink_is_an_error);
    };
    ($store:ident: $($check:ident),*) => {
        $(#[test]
        fn $check() {
            super::$store(|store| super::checks::$check(store));
        })*
    };
}

fn directory(check: impl FnOnce(&DirectoryStore)) {
    let place = tempfile::tempdir().unwrap();
    check(&DirectoryStore::open(place.path()).unwrap());
    let unfinished = std::fs::read_dir(place.path().join("tmp")).unwrap().count();
    assert_eq!(unfinished, 0, "nothing may be left in tmp");
}

fn memory(check: impl FnOnce(&MemoryStore)) {
    check(&MemoryStore::new());
}

fn faultless(check: impl FnOnce(&FaultyStore<MemoryStore>)) {
    check(&FaultyStore::new(MemoryStore::new(), |_| Fault::None));
}

mod directory_store {
    every_check!(directory);
}

mod memory_store {
    every_check!(memory);
}

mod faulty_store_without_faults {
    every_check!(faultless);
}
