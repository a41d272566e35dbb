//! Placeholder until the real module lands.
#![allow(missing_docs)]
use std::collections::BTreeMap; use std::io; use crate::*; use crate::journal::PartRef;
#[derive(Clone, PartialEq, Eq, Hash, Debug, thiserror::Error)] pub enum PartError { #[error("m {key}")] Missing{key: Key} }
impl PartError { pub(crate) fn is_damage(&self) -> bool { true } }
#[derive(Clone, PartialEq, Eq, Hash, Debug)] pub struct StoredPart<C, M> { pub turn: Turn, pub state: C, pub channels: BTreeMap<NodeId, Vec<M>> }
pub(crate) struct PartLabel { pub(crate) group: String, pub(crate) members: Vec<NodeId>, pub(crate) key: Key, pub(crate) turn: Turn }
pub(crate) struct Expected<'a> { pub(crate) group: &'a str, pub(crate) members: &'a [NodeId], pub(crate) key: Key, pub(crate) part: Option<&'a PartRef> }
pub(crate) fn write_part<S: StateProvider, M>(_label: &PartLabel, _state: &S::Captured, _channels: &BTreeMap<NodeId, Vec<M>>, _codec: Option<&dyn MessageCodec<M>>, _out: &mut dyn io::Write) -> io::Result<PartRef> { todo!() }
pub(crate) fn read_part<S: StateProvider, M>(_e: &Expected<'_>, _codec: Option<&dyn MessageCodec<M>>, _input: &mut dyn io::Read) -> Result<StoredPart<S::Captured, M>, PartError> { todo!() }
pub(crate) fn verify_part(_e: &Expected<'_>, _input: &mut dyn io::Read) -> Result<PartRef, PartError> { todo!() }
