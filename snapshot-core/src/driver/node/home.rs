//! Where the application's state lives while the node may need it.

/// A place from which the node can borrow the state for a moment: to capture it, or to install another.
pub(crate) trait Home<S> {
    /// Lends the state to `visit`.
    fn visit<R>(&mut self, visit: impl FnOnce(&mut S) -> R) -> R;
}

/// The state of an application with a message loop, which lends it for the whole of `next`.
pub(super) struct Lent<'a, S>(pub(super) &'a mut S);

impl<S> Home<S> for Lent<'_, S> {
    fn visit<R>(&mut self, visit: impl FnOnce(&mut S) -> R) -> R {
        visit(self.0)
    }
}
