//! What a test asks of every run of its application.

use super::group::Builder;
use super::{Application, Cut};

/// What must hold, and how nodes are set up.
pub(super) struct Checks<A: Application> {
    pub(super) invariants: Vec<(String, Box<Invariant<A>>)>,
    pub(super) at_rest: Vec<(String, Box<AtRest<A>>)>,
    pub(super) tune: Box<dyn Fn(Builder<A>) -> Builder<A>>,
}

type Invariant<A> = dyn Fn(&Cut<A>) -> Result<(), String>;
type AtRest<A> = dyn Fn(&A, &Cut<A>) -> Result<(), String>;
