//! The clauses of [`SnapshotStore`], D1 to D8.
//!
//! Each check begins with a fresh store, and opens it several times, as the processes of a group do. Beside plain use it puts
//! a store where implementations go wrong: two writers inside the same object at the same time, a reader while a writer is
//! half-way or an object is deleted, closures that fail or panic at any place, calls that are dropped, keys that are easily
//! confused, objects from nothing to megabytes, more parts than a page of a listing holds.
//!
//! | test | what it does |
//! | --- | --- |
//! | `d1_one_winner` | writers of one key: one after the other, one half-way when the other comes, all at once |
//! | `d2_durable` | opens the store again; after a crash, where the fixture has one |
//! | `d3_whole_or_none` | sizes, pieces, forms, keys; reads while an object is written or deleted |
//! | `d4_found_at_once` | reads right after a `create`, through other handles, also those that looked before |
//! | `d5_listing` | lists parts of many generations, more than one page of them, among other objects, while some come and go |
//! | `d6_delete` | deletes what is there and what is not; neighbours stay; the key is free again |
//! | `d7_errors_leave_no_half` | drops calls half-way; asks a store that is out of reach, or goes there half-way, where the fixture has that |
//! | `d8_failing_closures` | content and sinks that fail with every kind of error, or panic, early and late |
//!
//! What no test sees is whether bytes are on the disk when `create` returns: pull the plug yourself, or give the fixture a
//! [`crash`](StoreFixture::crash).

mod bench;
mod contents;
mod d1;
mod d2;
mod d3;
mod d4;
mod d5;
mod d6;
mod d7;
mod d8;
mod keys;
mod meet;

use std::future::Future;
use std::time::Duration;

use snapshot_core::SnapshotStore;

use self::bench::Bench;
use super::{Breach, Clause};

/// How the suite gets a store of yours. Each test makes its own.
///
/// ```
/// use snapshot_conformance::StoreFixture;
/// use snapshot_store::DirectoryStore;
/// use tempfile::TempDir;
///
/// struct Folder(TempDir);
///
/// impl StoreFixture for Folder {
///     type Store = DirectoryStore;
///     fn new() -> Self { Self(tempfile::tempdir().unwrap()) }
///     async fn open(&self) -> DirectoryStore { DirectoryStore::open(self.0.path()).unwrap() }
/// }
///
/// // In a test file: one line, eight tests.
/// snapshot_conformance::store!(Folder);
/// # fn main() { snapshot_conformance::store::d6_delete::<Folder>().unwrap(); }
/// ```
pub trait StoreFixture: Sized + Send + Sync + 'static {
    /// The store.
    type Store: SnapshotStore;

    /// How long one step may take, in real time, before the test fails: one object written, read, listed or deleted.
    const LIMIT: Duration = Duration::from_secs(30);

    /// How many parts the test of D5 lists at once. The default is more than a page of the usual object stores, which is 1000;
    /// it may be less where a listing has no pages.
    const PARTS: usize = 1100;

    /// A place for a store that holds nothing: a temporary folder, a bucket, a table. What it needs is given back when it is
    /// dropped.
    fn new() -> Self;

    /// Opens the store, as another process would: any number of times, on the same objects.
    fn open(&self) -> impl Future<Output = Self::Store> + Send;

    /// Loses what the machine's crash would lose: all that was not made durable. And leaves what a write under way would leave,
    /// such as half a record at the end of a log. Called when no store of this fixture is open.
    /// Returns whether that was done; by default it cannot be, and what only a crash shows is not tested.
    fn crash(&self) -> bool {
        false
    }

    /// Puts the store out of reach, or back within it: a folder that is unmounted, a network that is down. Until then all
    /// operations of the stores that are open should fail; those that have begun may fail or go on. Returns whether that was
    /// done; by default it cannot be.
    fn outage(&self, begins: bool) -> bool {
        let _ = begins;
        false
    }

    /// Runs a future: on the runtime that the store needs. By default on this thread, without a runtime. Called from several
    /// threads at the same time.
    fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        futures::executor::block_on(future)
    }
}

/// Makes tests of all clauses of [`SnapshotStore`](snapshot_core::SnapshotStore), D1 to D8, for a
/// [`StoreFixture`](crate::StoreFixture).
///
/// For a second fixture in the same file, put the line into a `mod` of its own.
#[macro_export]
macro_rules! store {
    ($fixture:ty) => {
        $crate::store!(
            $fixture: d1_one_winner, d2_durable, d3_whole_or_none, d4_found_at_once, d5_listing, d6_delete,
            d7_errors_leave_no_half, d8_failing_closures
        );
    };
    ($fixture:ty: $($check:ident),*) => {
        $(#[test]
        fn $check() {
            $crate::judge($crate::store::$check::<$fixture>());
        })*
    };
}

const D1: Clause = Clause::new("D1", "one winner");
const D2: Clause = Clause::new("D2", "durable");
const D3: Clause = Clause::new("D3", "whole objects or none");
const D4: Clause = Clause::new("D4", "found at once");
const D5: Clause = Clause::new("D5", "listing");
const D6: Clause = Clause::new("D6", "delete");
const D7: Clause = Clause::new("D7", "errors leave no half");
const D8: Clause = Clause::new("D8", "failing closures");

/// Of any number of writers of one key at most one is told [`Created::New`](snapshot_core::Created::New), and its content is what is
/// there: one after the other, one half-way when the other comes, all at once.
///
/// # Errors
///
/// If D1 is broken, or the store does not work well enough to tell.
pub fn d1_one_winner<F: StoreFixture>() -> Result<(), Breach> {
    Bench::run::<F>(D1, d1::CHECKS)
}

/// What was created, or seen, is there when the store is opened again, and after a [crash](StoreFixture::crash).
///
/// # Errors
///
/// If D2 is broken, or the store does not work well enough to tell.
pub fn d2_durable<F: StoreFixture>() -> Result<(), Breach> {
    Bench::run::<F>(D2, d2::CHECKS)
}

/// What is read is what was written under that key, or nothing: objects of all sizes, in pieces of all sizes, while they are
/// written, and while they are deleted.
///
/// # Errors
///
/// If D3 is broken, or the store does not work well enough to tell.
pub fn d3_whole_or_none<F: StoreFixture>() -> Result<(), Breach> {
    Bench::run::<F>(D3, d3::CHECKS)
}

/// What a `create` reported is found by the next `read`, through every handle, also one that looked before.
///
/// # Errors
///
/// If D4 is broken, or the store does not work well enough to tell.
pub fn d4_found_at_once<F: StoreFixture>() -> Result<(), Breach> {
    Bench::run::<F>(D4, d4::CHECKS)
}

/// Lists parts, each once, and nothing else. A listing may lag: what is missing is waited for.
///
/// # Errors
///
/// If D5 is broken, or the store does not work well enough to tell.
pub fn d5_listing<F: StoreFixture>() -> Result<(), Breach> {
    Bench::run::<F>(D5, d5::CHECKS)
}

/// What is deleted is not found, its neighbours are, and its key is free again; what is not there can be deleted.
///
/// # Errors
///
/// If D6 is broken, or the store does not work well enough to tell.
pub fn d6_delete<F: StoreFixture>() -> Result<(), Breach> {
    Bench::run::<F>(D6, d6::CHECKS)
}

/// A call that was dropped, or failed, leaves a whole object or none, and a store that works; one that is [out of
/// reach](StoreFixture::outage) does not take itself for empty.
///
/// # Errors
///
/// If D7 is broken, or the store does not work well enough to tell.
pub fn d7_errors_leave_no_half<F: StoreFixture>() -> Result<(), Breach> {
    Bench::run::<F>(D7, d7::CHECKS)
}

/// Content that fails leaves nothing, and is an error; so is a sink that fails. Whatever the kind of the error, and for panics,
/// which may go on to the caller.
///
/// # Errors
///
/// If D8 is broken, or the store does not work well enough to tell.
pub fn d8_failing_closures<F: StoreFixture>() -> Result<(), Breach> {
    Bench::run::<F>(D8, d8::CHECKS)
}
