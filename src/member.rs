//! The room where it comes together, in a member: what the master sends becomes events, handlers and answers; what user
//! code does becomes frames; and the process keeps its own life in order.
//!
//! ```text
//!  link (reads) ──► dispatch ── one task per action ──► handlers
//!       │      └──► calls, credit, topics, undelivered   │
//!       └─ orders ─► Course ── Life (a table) ─► gate, exit code
//!  panic hook, signals, watch thread ─┘
//! ```

#[cfg(feature = "simulation")]
mod border;
mod busy;
mod calls;
mod credit;
mod dispatch;
mod enter;
mod gate;
mod keep;
mod life;
mod link;
mod live;
mod lookout;
mod resident;
mod shared;
mod spawner;
mod topics;
mod undelivered;

#[cfg(feature = "simulation")]
pub(crate) use border::{Border, Deed, Stage};
#[cfg(feature = "log")]
pub(crate) use busy::{Answering, Busy};
pub(crate) use busy::{Connection, Running};
pub(crate) use calls::{Answer, Pending};
pub(crate) use credit::NoCredit;
pub use dispatch::AlreadyAnswered;
pub(crate) use dispatch::{Consume, Consumed, Delivery, Reply, Task, Unacked};
#[cfg(feature = "simulation")]
pub(crate) use enter::RoleFn;
pub(crate) use enter::{Admission, Inside, RoleFuture, RoleInside, enter};
pub(crate) use gate::Position;
pub(crate) use life::{Habits, MASTER_LOST};
#[cfg(feature = "log")]
pub(crate) use live::EXCEPTION_TARGET;
pub(crate) use live::{Vessel, live};
pub(crate) use lookout::Lookout;
pub(crate) use shared::Member;
pub(crate) use spawner::{Calendar, Spawner};
pub(crate) use topics::{Listening, News, Value};
pub use undelivered::{Lost, Undelivered};
