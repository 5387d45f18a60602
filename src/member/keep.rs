//! What the rooms above keep with a member, until its link is lost.

use std::any::Any;
use std::fmt;
use std::sync::{Mutex, PoisonError};

/// A place for one thing, known to whoever put it there.
#[derive(Default)]
pub(crate) struct Keep(Mutex<Kept>);

#[derive(Default)]
enum Kept {
    #[default]
    Nothing,
    Something(Box<dyn Any + Send>),
    /// The link is lost: nothing is kept any more.
    Closed,
}

impl Keep {
    /// Lets `visit` at what is kept, which begins as nothing in particular. `None`: the link is lost.
    pub(crate) fn visit<T: Default + Send + 'static, R>(&self, visit: impl FnOnce(&mut T) -> R) -> Option<R> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(*kept, Kept::Nothing) {
            *kept = Kept::Something(Box::new(T::default()));
        }
        match &mut *kept {
            Kept::Something(something) => something.downcast_mut::<T>().map(visit),
            Kept::Nothing | Kept::Closed => None,
        }
    }

    /// The link is lost: what was kept is dropped.
    pub(crate) fn close(&self) {
        let kept = std::mem::replace(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner), Kept::Closed);
        drop(kept);
    }
}

impl fmt::Debug for Keep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keep")
    }
}
