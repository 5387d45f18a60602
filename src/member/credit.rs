//! How much this member may have under way to whom, and those who wait for more.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Semaphore, TryAcquireError};

use crate::transport::Account;

/// The accounts that have been used.
#[derive(Debug)]
pub(crate) struct Credit {
    window: u32,
    accounts: Mutex<Accounts>,
}

#[derive(Debug, Default)]
struct Accounts {
    open: BTreeMap<Account, Arc<Semaphore>>,
    closed: bool,
}

/// There is no credit: for now, or because the link is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoCredit {
    Full,
    Closed,
}

impl Credit {
    pub(crate) fn new(window: u32) -> Credit {
        Credit { window, accounts: Mutex::default() }
    }

    /// Takes what `charge` costs, if it is there.
    pub(crate) fn try_take(&self, account: Account, charge: u32) -> Result<(), NoCredit> {
        match self.account(account).try_acquire_many(charge) {
            Ok(permits) => {
                permits.forget();
                Ok(())
            }
            Err(TryAcquireError::NoPermits) => Err(NoCredit::Full),
            Err(TryAcquireError::Closed) => Err(NoCredit::Closed),
        }
    }

    /// Waits for what `charge` costs, in turn with others. Cancel-safe: dropped before it resolves, nothing was taken.
    pub(crate) async fn take(&self, account: Account, charge: u32) -> Result<(), NoCredit> {
        let account = self.account(account);
        let permits = account.acquire_many(charge).await.map_err(|_| NoCredit::Closed)?;
        permits.forget();
        Ok(())
    }

    /// Credit has come back.
    pub(crate) fn give_back(&self, account: Account, charge: u32) {
        self.account(account).add_permits(charge as usize);
    }

    /// The link is gone: nobody need wait.
    pub(crate) fn close(&self) {
        let mut accounts = self.accounts();
        accounts.closed = true;
        for account in accounts.open.values() {
            account.close();
        }
    }

    fn account(&self, account: Account) -> Arc<Semaphore> {
        let mut accounts = self.accounts();
        let closed = accounts.closed;
        let new = || {
            let account = Semaphore::new(self.window as usize);
            if closed {
                account.close();
            }
            Arc::new(account)
        };
        accounts.open.entry(account).or_insert_with(new).clone()
    }

    fn accounts(&self) -> MutexGuard<'_, Accounts> {
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Account = Account::Slot { rank: 128, index: 0 };

    #[tokio::test]
    async fn who_waits_gets_what_comes_back_in_turn_and_others_do_not_wait() {
        let credit = Arc::new(Credit::new(1000));
        credit.take(A, 900).await.expect("all is there");
        assert_eq!(credit.try_take(A, 200), Err(NoCredit::Full));
        assert_eq!(credit.try_take(Account::Group, 1000), Ok(()));
        let waiter = tokio::spawn({
            let credit = credit.clone();
            async move { credit.take(A, 200).await }
        });
        tokio::task::yield_now().await;
        assert_eq!(credit.try_take(A, 50), Err(NoCredit::Full), "nobody overtakes");
        credit.give_back(A, 900);
        assert_eq!(waiter.await.expect("it was given"), Ok(()));
        credit.close();
        assert_eq!(credit.try_take(A, 1), Err(NoCredit::Closed));
        assert_eq!(credit.take(Account::Random { rank: 1 }, 1).await, Err(NoCredit::Closed), "also a new account");
    }
}
