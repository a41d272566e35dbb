//! What departs, and when: F1 and W1 to W4. Grants and asks may be posted at any time; what they say is judged as they depart.

use snapshot_core::{Generation, NodeId};

use super::{Step, sure};
use crate::trace::line::{Body, Frame, Grant, Message, weight};
use crate::trace::state::{Channel, Intake, State};

impl State {
    /// A frame departs: now it gets its number.
    pub(super) fn out(&mut self, node: NodeId, to: NodeId, frame: &Frame) -> Step {
        let own = matches!(&frame.body, Body::Grant(grant) if grant.receiver == node);
        let process = self.process(node)?;
        let speaks = process.speaks;
        let channel = process.channels.get_mut(&to).ok_or("they are no neighbours")?;
        let mut numbered = true;
        match &frame.body {
            Body::Grant(grant) if own => self.check_grant(node, to, *grant)?,
            Body::Ask => channel.ask()?,
            Body::Message(message) => channel.depart(*message)?,
            body => {
                let Some(head) = channel.control.pop_front() else {
                    return Err(format!("{node} has no such frame for {to}"));
                };
                numbered = head.numbered;
                sure(head.body == *body, || format!("the next control frame for {to} is `{}`", head.body))?;
            }
        }
        let tag = self.store.nonce(speaks) & 0xffff;
        let channel = self.process(node)?.channels.entry(to).or_default();
        channel.last_out += u64::from(numbered);
        let number = if numbered { channel.last_out } else { 0 };
        let due = Frame { generation: Generation(speaks), number, tag, body: frame.body.clone() };
        sure(due == *frame, || format!("the next frame for {to} is `{due}`"))?;
        self.network.entry((node, to)).or_default().push_back(due);
        Ok(())
    }

    /// W2: what it says is true, and no more than it was when the markers were posted that it goes ahead of (W4).
    fn check_grant(&mut self, node: NodeId, to: NodeId, grant: Grant) -> Step {
        let Grant { sender, taken, messages, bytes, whole, .. } = grant;
        let way = self.graph.links.get(&(sender, node)) == Some(&true)
            && self.graph.next_hop(node, sender) == Some(to);
        sure(way, || format!("a grant for {sender} does not go to {to}"))?;
        let (window, window_bytes) = self.window;
        let process = self.process(node)?;
        sure(process.speaks == process.generation, || {
            format!("{node} does not live in that generation yet")
        })?;
        let now = process.channels.entry(sender).or_default().intake;
        let channel = process.channels.entry(to).or_default();
        sure(channel.last_out > 0, || "a generation begins with a Hello".into())?;
        let knew = channel.control.iter().find_map(|queued| queued.knew.get(&sender).copied());
        let Intake { taken: most, replayed, replayed_bytes } = knew.unwrap_or(now);
        let ahead = if knew.is_some() { ", ahead of a marker" } else { "" };
        sure(taken <= most, || format!("W2: {node} can tell of {most} messages that it has taken{ahead}"))?;
        let room = (window.saturating_sub(replayed), window_bytes.saturating_sub(replayed_bytes));
        sure(messages <= room.0 && bytes <= room.1, || {
            format!("W1: the window is {} messages of {} bytes{ahead}", room.0, room.1)
        })?;
        // What was replayed may have been taken since.
        let fits = if whole { replayed == 0 } else { messages < window || window == 0 };
        sure(fits, || format!("W1: {replayed} messages are replayed and not taken{ahead}"))
    }

    /// The receiver of a channel tells its sender, by way of others where there is no link back.
    pub(super) fn granted(&mut self, node: NodeId, grant: Grant) -> Step {
        let hop = self.graph.next_hop(node, grant.sender);
        let process = self.process(node)?;
        if grant.sender == node {
            return process.channels.entry(grant.receiver).or_default().granted(grant);
        }
        hop.into_iter().for_each(|hop| process.push(hop, Body::Grant(grant)));
        Ok(())
    }

    /// A `Hello` of the generation in which this node speaks.
    pub(super) fn greet(&mut self, node: NodeId, to: NodeId) -> Step {
        let speaks = self.process(node)?.speaks;
        let nonce = self.store.nonce(speaks);
        self.process(node)?.push(to, Body::Hello { nonce });
        Ok(())
    }

    /// From here on it speaks in this generation: nothing of an older one departs any more.
    pub(super) fn announce(&mut self, node: NodeId, generation: u64) -> Step {
        let process = self.process(node)?;
        if std::mem::replace(&mut process.speaks, generation) == generation {
            return Ok(());
        }
        process.channels.values_mut().for_each(Channel::reset);
        let out: Vec<_> = self.graph.outgoing(node).collect();
        out.into_iter().try_for_each(|to| self.greet(node, to))
    }
}

impl Channel {
    fn ask(&self) -> Step {
        sure(self.granted.is_some() && !self.messages.is_empty(), || "nothing is held up by a window".into())
    }

    /// W1, W3, W4: a message departs behind all control, and only if the window has room for it.
    fn depart(&mut self, message: Message) -> Step {
        if let Some(queued) = self.control.front() {
            return Err(format!("W4: `{}` goes before messages", queued.body));
        }
        let head = self.messages.pop_front();
        sure(head == Some(message), || match head {
            Some(head) => format!("m{head} is the next message to depart"),
            None => "no message waits".into(),
        })?;
        let Some(told) = self.granted else { return Err("W3: the receiver has granted nothing yet".into()) };
        let out = self.outstanding.len() as u64;
        let bytes: u64 = self.outstanding.iter().copied().map(weight).sum();
        let fits = out < told.messages && bytes + weight(message) <= told.bytes;
        sure(fits || out == 0 && told.whole, || {
            format!(
                "W1: {out} messages of {bytes} bytes are outstanding, and there is no room for m{message}"
            )
        })?;
        self.outstanding.push_back(message);
        Ok(())
    }

    /// Cumulative: an older one says nothing, and a repeated one may only tell of a larger window.
    fn granted(&mut self, grant: Grant) -> Step {
        let known = self.granted.map_or(0, |told| told.taken);
        let Some(news) = grant.taken.checked_sub(known) else { return Ok(()) };
        sure(news <= self.outstanding.len() as u64, || "more was taken than has departed".into())?;
        self.outstanding.drain(..usize::try_from(news).unwrap_or(usize::MAX));
        self.granted = Some(match self.granted {
            Some(told) if news == 0 => Grant {
                messages: told.messages.max(grant.messages),
                bytes: told.bytes.max(grant.bytes),
                whole: told.whole || grant.whole,
                ..grant
            },
            _ => grant,
        });
        Ok(())
    }
}

impl Intake {
    pub(super) fn take(&mut self, message: Message) {
        if self.replayed > 0 {
            self.replayed -= 1;
            self.replayed_bytes -= weight(message);
        } else {
            self.taken += 1;
        }
    }

    pub(super) fn replay(&mut self, message: Message) {
        self.replayed += 1;
        self.replayed_bytes += weight(message);
    }
}
