//! What the rooms above keep with a member, until its link is lost.

use std::any::{Any, TypeId};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};

/// A place for one thing of each type, known to whoever put it there.
pub(crate) struct Keep(Mutex<Option<Kept>>);

/// `None` in its place: the link is lost, and nothing is kept any more.
type Kept = BTreeMap<TypeId, Box<dyn Any + Send>>;

impl Default for Keep {
    fn default() -> Keep {
        Keep(Mutex::new(Some(Kept::new())))
    }
}

impl Keep {
    /// Lets `visit` at what is kept of this type, which begins as nothing in particular. `None`: the link is lost.
    pub(crate) fn visit<T: Default + Send + 'static, R>(&self, visit: impl FnOnce(&mut T) -> R) -> Option<R> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let thing = kept.as_mut()?.entry(TypeId::of::<T>()).or_insert_with(|| Box::new(T::default()));
        thing.downcast_mut::<T>().map(visit)
    }

    /// The link is lost: what was kept is dropped.
    pub(crate) fn close(&self) {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        drop(kept);
    }
}

impl fmt::Debug for Keep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keep")
    }
}
