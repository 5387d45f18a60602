//! The only place where a decision becomes a call.

use super::board::Board;
use super::journal;
use super::messages::SlotMsg;
use super::routes::Routes;
use crate::identity::Slot;
use crate::supervision::{Action, Outcome};
use crate::transport::Order;

/// Has `action` carried out. Returns the end of the cluster, when that is the action.
pub(crate) fn perform(action: Action, routes: &Routes, board: &mut Board) -> Option<Outcome> {
    let tell = |id: crate::identity::MemberId, message| routes.tell(id.slot(), message);
    match action {
        Action::Spawn(id) => tell(id, SlotMsg::Start(id)),
        Action::Admit(id) => tell(id, SlotMsg::Admit(id)),
        Action::AnnounceReady => {
            journal::cluster_ready();
            routes.tell_all(|_| SlotMsg::Announce(Order::ClusterReady));
        }
        Action::ResendReady(id) => tell(id, SlotMsg::Order(id, Order::ClusterReady)),
        Action::Stay(id) => tell(id, SlotMsg::Order(id, Order::Stay)),
        Action::Drain(id, within) => tell(id, SlotMsg::Replace(id, within)),
        Action::Terminate(id, within) => tell(id, SlotMsg::Order(id, Order::Stop(within))),
        Action::Kill(id) => tell(id, SlotMsg::Kill(id)),
        Action::Abandon(id) => {
            journal::abandoned(id, board.pid(id));
            tell(id, SlotMsg::Abandon(id));
        }
        Action::Park(slot) => routes.tell(slot, SlotMsg::Park),
        Action::Vacate(slot) => routes.tell(slot, SlotMsg::Vacate),
        // Its place has been made: the master makes the actors of slots.
        Action::Open(_) => {}
        Action::Close(slot) => {
            routes.close(slot);
            routes.tell(slot, SlotMsg::Vacate);
            board.close(slot);
        }
        // Whoever asked is told when it is on the board.
        Action::Conclude(id, conclusion) => journal::concluded(id, &conclusion),
        Action::Record(record) => {
            journal::record(&record, board.pid(record.member));
            board.record(&record);
        }
        Action::Finish(outcome) => return Some(*outcome),
    }
    None
}

/// The slot that an action is about.
pub(crate) fn slot(action: &Action) -> Option<Slot> {
    match action {
        Action::Spawn(id)
        | Action::Admit(id)
        | Action::ResendReady(id)
        | Action::Stay(id)
        | Action::Drain(id, _)
        | Action::Terminate(id, _)
        | Action::Kill(id)
        | Action::Abandon(id) => Some(id.slot()),
        Action::Park(slot) | Action::Vacate(slot) | Action::Open(slot) | Action::Close(slot) => Some(*slot),
        Action::Record(record) => Some(record.member.slot()),
        Action::AnnounceReady | Action::Conclude(..) | Action::Finish(_) => None,
    }
}
