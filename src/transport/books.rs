//! What the master keeps for one member, changed by whoever reads its link and by those who send to it.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::account::Account;
use super::address::Address;
use super::header::WireError;
use crate::identity::MemberId;

/// The credit that a member has used and not got back, the calls that it was given, and whether it owes a sign of life: what
/// its reader checks and those who send to it change.
#[derive(Debug, Default)]
pub(crate) struct Books {
    debts: Mutex<HashMap<Account, u32>>,
    calls: Mutex<OpenCalls>,
    /// It has been asked whether it is there, and has not answered. Not more than one question is under way.
    asked: AtomicBool,
    /// Messages and calls that it sent, and those that other members sent and it was given. Only shown.
    passed: AtomicU64,
}

impl Books {
    pub(crate) fn calls(&self) -> MutexGuard<'_, OpenCalls> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn debts(&self) -> MutexGuard<'_, HashMap<Account, u32>> {
        self.debts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The member is about to be asked whether it is there.
    pub(crate) fn ask(&self) {
        self.asked.store(true, Ordering::Release);
    }

    /// It answers. `false`: to nothing that it was asked.
    pub(super) fn take_asked(&self) -> bool {
        self.asked.swap(false, Ordering::AcqRel)
    }

    /// So many messages more have gone over its link.
    pub(super) fn pass(&self, messages: u32) {
        self.passed.fetch_add(messages.into(), Ordering::Relaxed);
    }

    /// How many messages have gone over its link, in either direction. What the master itself says is not counted.
    pub(crate) fn passed(&self) -> u64 {
        self.passed.load(Ordering::Relaxed)
    }

    /// Credit goes back to the member.
    pub(crate) fn repay(&self, account: Account, charge: u32) {
        let mut debts = self.debts();
        if let Some(debt) = debts.get_mut(&account) {
            *debt = debt.saturating_sub(charge);
            if *debt == 0 {
                debts.remove(&account);
            }
        }
    }

    pub(super) fn owe(&self, account: Account, to: Address, charge: u32, limit: u32) -> Result<(), WireError> {
        let mut debts = self.debts();
        let debt = debts.entry(account).or_default();
        *debt = debt.saturating_add(charge);
        match *debt > limit {
            true => Err(WireError::OverCredit(to)),
            false => Ok(()),
        }
    }
}

/// The calls that a member was given and has not answered, each by its caller and the caller's number for it. In order:
/// what is answered for the dead is answered in the same order every time.
#[derive(Debug, Default)]
pub(crate) struct OpenCalls(BTreeMap<(MemberId, u32), u32>);

impl OpenCalls {
    /// More are not passed on: as many tasks in the callee wait for something.
    pub(crate) const LIMIT: usize = 8_192;

    pub(crate) fn is_full(&self) -> bool {
        self.0.len() >= OpenCalls::LIMIT
    }

    pub(crate) fn open(&mut self, caller: MemberId, correlation: u32) {
        *self.0.entry((caller, correlation)).or_default() += 1;
    }

    /// Its answer is here.
    pub(crate) fn close(&mut self, caller: MemberId, correlation: u32) -> Result<(), WireError> {
        match self.0.get_mut(&(caller, correlation)) {
            Some(1) => {
                self.0.remove(&(caller, correlation));
                Ok(())
            }
            // A caller that gave two calls one number hears of both.
            Some(times) => {
                *times -= 1;
                Ok(())
            }
            None => Err(WireError::NoSuchCall),
        }
    }

    /// Takes out all that is left.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = (MemberId, u32)> + use<> {
        std::mem::take(&mut self.0).into_iter().flat_map(|(call, times)| std::iter::repeat_n(call, times as usize))
    }
}

#[cfg(test)]
mod tests {
    use super::super::run::tests::worker;
    use super::*;

    #[test]
    fn a_call_is_answered_once() {
        let mut calls = OpenCalls::default();
        calls.open(worker(), 1);
        calls.open(worker(), 2);
        assert_eq!(calls.close(worker(), 1), Ok(()));
        assert_eq!(calls.close(worker(), 1), Err(WireError::NoSuchCall));
        assert_eq!(calls.drain().collect::<Vec<_>>(), [(worker(), 2)]);
        assert_eq!(calls.close(worker(), 2), Err(WireError::NoSuchCall));
    }
}
