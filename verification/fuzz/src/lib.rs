//! What all targets share: the allocator that ends one which takes more memory than it may, and the way to look at an input
//! (`SHOW_INPUT=1`).

/// Makes a target of this name.
#[macro_export]
macro_rules! target {
    ($name:literal) => {
        /// A target that asks for more than this is killed, and the input kept.
        #[global_allocator]
        static ALLOCATOR: cap::Cap<std::alloc::System> = cap::Cap::new(std::alloc::System, 128 << 20);

        libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
            let target = snapshot_verification::fuzzing::target($name).expect("there is such a target");
            if std::env::var_os("SHOW_INPUT").is_some() {
                eprintln!("{}", (target.show)(bytes));
            }
            (target.run)(bytes);
        });
    };
}
