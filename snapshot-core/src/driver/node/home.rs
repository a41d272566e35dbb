//! Where the application's state lives while the node may need it.

use crate::contract::state::StateProvider;

/// A place from which the node can borrow the state for a moment: to capture it, or to install another.
pub(crate) trait Home<S> {
    /// Lends the state to `visit`.
    fn visit<R>(&mut self, visit: impl FnOnce(&mut S) -> R) -> R;

    /// Puts another state in its place.
    fn install(&mut self, captured: S::Captured)
    where
        S: StateProvider,
    {
        self.visit(|state| state.install(captured));
    }
}

/// A state that is not there yet: made of what the store has, or else built when it is first needed.
pub(super) struct Unborn<S, F> {
    state: Option<S>,
    initial: Option<F>,
}

impl<S, F: FnOnce() -> S> Unborn<S, F> {
    pub(super) fn new(initial: F) -> Self {
        Self { state: None, initial: Some(initial) }
    }

    pub(super) fn born(mut self) -> Option<S> {
        self.build();
        self.state
    }

    fn build(&mut self) {
        if self.state.is_none() {
            self.state = self.initial.take().map(|initial| initial());
        }
    }
}

impl<S: From<S::Captured> + StateProvider, F: FnOnce() -> S> Home<S> for Unborn<S, F> {
    fn visit<R>(&mut self, visit: impl FnOnce(&mut S) -> R) -> R {
        self.build();
        visit(self.state.as_mut().expect("it was built, or installed before"))
    }

    fn install(&mut self, captured: S::Captured) {
        match &mut self.state {
            Some(state) => state.install(captured),
            None => self.state = Some(S::from(captured)),
        }
    }
}

/// The state of an application with a message loop, which lends it for the whole of `next`.
pub(super) struct Lent<'a, S>(pub(super) &'a mut S);

impl<S> Home<S> for Lent<'_, S> {
    fn visit<R>(&mut self, visit: impl FnOnce(&mut S) -> R) -> R {
        visit(self.0)
    }
}
