//! Broken on purpose: plausible mistakes in the protocol, each a patch in `verification/mutants/`, and proof that the model
//! check or the simulation finds each of them.
//!
//! Nothing in the product knows of this. A [`Workshop`] is a temporary copy of the workspace: a [`Mutant`] is applied to it,
//! the [`judge`] is built there together with the broken code, and says what did not hold.
//!
//! ```
//! use snapshot_verification::mutants::Mutant;
//! let patch = "\
//! Addition subtracts.
//! Breaks: arithmetic.
//!
//! --- a/src/add.rs
//! +++ b/src/add.rs
//! @@ -1,3 +1,3 @@
//!  fn add(a: u8, b: u8) -> u8 {
//! -    a + b
//! +    a - b
//!  }
//! ";
//! let mutant = Mutant::parse("01-add", patch)?;
//! assert_eq!((mutant.mistake.as_str(), mutant.rule.as_str()), ("Addition subtracts.", "arithmetic"));
//! let broken = mutant.apply(|_| Ok("// A sum.\nfn add(a: u8, b: u8) -> u8 {\n    a + b\n}\n".to_owned()))?;
//! assert!(broken[0].1.contains("a - b"), "it is found though it stands a line further down");
//! # Ok::<(), String>(())
//! ```

pub mod judge;
mod patch;
mod workshop;

pub use judge::{Kill, Verdict};
pub use patch::Mutant;
pub use workshop::{Options, Workshop};
