//! What goes back to a sender: its frames, with the reason in place of the errand, and its credit.

use std::collections::BTreeMap;

use bytes::BytesMut;

use super::account::{Account, charge};
use super::address::Address;
use super::frame::{self, Frames};
use super::header::{Class, Flags, Header};
use super::kind::{Kind, Lane};
use super::reason::{Outcome, Reason};
use super::run::Run;
use crate::identity::{MemberId, Slot};

/// What is to be told to others.
#[derive(Clone, Debug)]
pub(crate) enum Effect {
    /// Credit goes back to a sender.
    Credit { to: MemberId, account: Account, charge: u32 },
    /// Frames go back to a sender, and with the last of them the credit that they had used.
    Return { to: MemberId, run: Run, refund: Option<(Account, u32)> },
    /// Of what the master keeps, for a member.
    Shelved { to: MemberId, run: Run },
    /// So much of it has been passed on to a member: there is room for more.
    Fetched { by: MemberId, charge: u32 },
}

/// Messages that nobody has had go back.
pub(crate) fn refuse(run: &Run, slot: Slot, reason: Reason) -> Effect {
    let refund = account(run, slot).map(|account| (account, run.charge));
    Effect::Return { to: run.from, run: returned(run, slot, reason, false), refund }
}

/// Messages that somebody had who died before it handed them on. Their credit was given back when they were passed on,
/// and calls among them are answered as what they are, open calls.
pub(crate) fn lose(run: &Run, slot: Slot) -> Option<Effect> {
    (!run.calls).then(|| Effect::Return { to: run.from, run: returned(run, slot, Reason::Died, true), refund: None })
}

/// The credit of messages that were passed on.
pub(crate) fn passed(run: &Run, slot: Slot) -> Option<Effect> {
    account(run, slot).map(|account| Effect::Credit { to: run.from, account, charge: run.charge })
}

fn account(run: &Run, slot: Slot) -> Option<Account> {
    Account::at_slot(run.class, run.lane, slot.role().rank(), slot.index())
}

/// The answers of the dead: to each caller that its calls have none.
pub(crate) fn no_answers(callee: MemberId, open: impl Iterator<Item = (MemberId, u32)>) -> Vec<Effect> {
    let mut by_caller: BTreeMap<MemberId, Vec<u32>> = BTreeMap::new();
    for (caller, correlation) in open {
        by_caller.entry(caller).or_default().push(correlation);
    }
    let answer = |(caller, correlations): (MemberId, Vec<u32>)| {
        let mut bytes = BytesMut::new();
        for &correlation in &correlations {
            let header = Header {
                to: caller.into(),
                from: callee.into(),
                correlation,
                detail: Outcome::Undelivered(Reason::Died).to_detail(),
                ..Header::bare(Kind::Reply)
            };
            frame::put(&mut bytes, header, "", b"");
        }
        let frames = correlations.len() as u32;
        Effect::Return { to: caller, run: answers(bytes, frames, callee, caller), refund: None }
    };
    by_caller.into_iter().map(answer).collect()
}

/// Says that `omitted` returns before this were not kept.
pub(crate) fn omission(to: MemberId, omitted: u32) -> Run {
    let header = Header { to: to.into(), correlation: omitted, ..Header::bare(Kind::Undelivered) };
    let mut bytes = BytesMut::new();
    frame::put(&mut bytes, header, "", b"");
    answers(bytes, 1, to, to)
}

/// The frames of `run` as their sender gets them back from `slot`: a message whole, a call as its answer. Copies of a
/// group message come back without their payload: the sender has it, and there are many of them.
fn returned(run: &Run, slot: Slot, reason: Reason, perhaps_seen: bool) -> Run {
    let mut bytes = BytesMut::with_capacity(run.bytes.len());
    for (header, frame) in Frames(&run.bytes) {
        let from = match run.class {
            Class::Direct => header.to,
            Class::Random | Class::Group => Address::from(slot),
        };
        let back = Header { to: run.from.into(), from, ..header };
        match run.calls {
            true => {
                let detail = Outcome::Undelivered(reason).to_detail();
                let header = Header { kind: Kind::Reply, flags: Flags::default(), detail, ..back };
                frame::put(&mut bytes, header, "", b"");
            }
            false => {
                let flags = Flags { perhaps_seen, ..header.flags };
                let detail = reason.to_number().into();
                let header = Header { kind: Kind::Undelivered, flags, correlation: 0, detail, ..back };
                let action = frame::action(&header, frame).unwrap_or_default();
                let payload = match run.class {
                    Class::Direct | Class::Random => &frame[frame::payload_start(&header)..],
                    Class::Group => &[],
                };
                frame::put(&mut bytes, header, action, payload);
            }
        }
    }
    answers(bytes, run.frames, run.from, run.from)
}

fn answers(bytes: BytesMut, frames: u32, from: MemberId, to: MemberId) -> Run {
    let charge = Frames(&bytes).map(|(header, _)| charge(&header)).sum();
    Run {
        bytes: bytes.freeze(),
        frames,
        charge,
        lane: Lane::Answers,
        class: Class::Direct,
        from,
        only: Some(to.incarnation()),
        calls: false,
    }
}
