//! What becomes of frames on their way out.

use std::sync::atomic::Ordering;

use bytes::Bytes;
use snapshot_core::{Body, Frame, Frames, NodeId, Stamp};

use super::Double;
use crate::transport::faults::Fault;

impl Double {
    pub(super) fn spoil(&self, to: NodeId, frames: &mut Frames<Bytes>) {
        let mut all: Vec<Frame<Bytes>> = frames.drain(usize::MAX).collect();
        let mut kept = self.kept.lock().unwrap();
        let kept = kept.entry(to).or_default();
        let is_control = |frame: &Frame<Bytes>| matches!(frame.body, Body::Control(_));
        if self.is(Fault::ControlOvertakes) {
            all.sort_by_key(|frame| !is_control(frame));
        } else if self.is(Fault::LargeOnesLast) {
            all.sort_by_key(|frame| matches!(&frame.body, Body::Message(bytes) if bytes.len() > 1000));
        } else if self.is(Fault::SortsByNumber) {
            all.sort_by_key(|frame| frame.stamp.number());
        } else if self.is(Fault::DropsTheLastOfABatch) && all.len() > 1 {
            all.pop();
        } else if self.is(Fault::RepeatsNowAndThen) && all.len() > 100 {
            all.push(all[all.len() - 1].clone());
        } else if self.is(Fault::SwapsBatches) && kept.is_empty() {
            all.drain(..).for_each(|frame| kept.push_back(frame));
        } else if self.is(Fault::SwapsBatches) {
            all.extend(kept.drain(usize::MAX));
        } else if self.is(Fault::ResendsOnANewConnection) {
            let last = all.last().cloned();
            if self.marked.lock().unwrap().remove(&to) {
                all.splice(..0, kept.drain(usize::MAX));
            }
            kept.clear();
            last.into_iter().for_each(|last| kept.push_back(last));
        } else if self.is(Fault::CountsIn16Bits) {
            all.retain(|_| self.calls.fetch_add(1, Ordering::SeqCst) & 0xffff != 0xffff);
        } else if self.is(Fault::LosesEmptyControl) {
            all.retain(|frame| frame.body != Body::Control(Bytes::new()));
        } else if self.is(Fault::DropsEqualStamps) {
            let mut seen = self.stamps.lock().unwrap();
            all.retain(|frame| seen.insert((to, frame.stamp.generation().0, frame.stamp.number())));
        } else if self.is(Fault::KeepsAllWhenNotConnected) {
            let mut first: Vec<_> = kept.drain(usize::MAX).collect();
            first.append(&mut all);
            all = first;
        } else if self.is(Fault::KeepsTheLast) || self.is(Fault::FlushesInRecv) {
            let mut first: Vec<_> = kept.drain(usize::MAX).collect();
            first.append(&mut all);
            all = first;
            all.pop().into_iter().for_each(|last| kept.push_back(last));
        } else if self.is(Fault::GathersEight) {
            all.into_iter().for_each(|frame| kept.push_back(frame));
            all = if kept.len() < 8 { Vec::new() } else { kept.drain(usize::MAX).collect() };
        } else if self.is(Fault::ControlWithTheNextMessage) {
            all.into_iter().for_each(|frame| kept.push_back(frame));
            let messages =
                kept.iter().enumerate().filter(|(_, frame)| matches!(frame.body, Body::Message(_)));
            let last = messages.last().map(|(at, _)| at);
            all = last.map_or(Vec::new(), |last| kept.drain(last + 1).collect());
        }
        for mut frame in all {
            let Frame { stamp, body } = &mut frame;
            match body {
                Body::Message(bytes) if self.is(Fault::CutsLongMessages) => bytes.truncate(0xffff),
                Body::Message(bytes) if self.is(Fault::FlipsABit) && stamp.number() % 1000 == 999 => {
                    let mut changed = bytes.to_vec();
                    changed[0] ^= 1;
                    *bytes = changed.into();
                }
                _ => {}
            }
            if self.is(Fault::CutsNumbers) {
                *stamp = Stamp::new(stamp.generation(), stamp.number() & 0xffff_ffff);
            }
            if self.is(Fault::RoundsNumbers) {
                *stamp = Stamp::new(stamp.generation(), stamp.number() as f64 as u64);
            }
            frames.push_back(frame);
        }
    }
}
