//! Properties of random values of the stored forms: what is written is read, what is cut or bent is refused.

mod forms;
mod part;
