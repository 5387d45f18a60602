//! Names of actions and topics by which those who carry them tell what is the library's own, and how it is kept.

/// Actions and topics whose names begin so are the library's own: those of actors that are served, and of schedules.
pub(crate) const RESERVED: &str = "hatchery:";

/// Topics whose names begin so are let go by whoever has published them; when it has ended, with their last reader.
pub(crate) const FOLLOWED: &str = "hatchery:followed/";

/// Topics whose names begin so are the states of schedules: as many as there are of those, and each of a bounded size.
pub(crate) const SCHEDULES: &str = "hatchery:schedule/";

/// Topics whose names begin so tell how a shared connection is: one for each client.
pub(crate) const SHARED: &str = "hatchery:shared/";
