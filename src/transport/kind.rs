//! What a frame is, what is wanted by it, and in which order it is acknowledged.

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    // From a member to its master.
    Hello = 1,
    Ready = 2,
    Exception = 3,
    Ack = 4,
    Watch = 5,
    Pong = 6,
    // From the master to a member.
    ClusterReady = 17,
    Stay = 18,
    Drain = 19,
    Stop = 20,
    Credit = 21,
    Roster = 22,
    Growth = 23,
    Ping = 24,
    // Between members.
    Message = 33,
    Call = 34,
    Reply = 35,
    Undelivered = 36,
    // From a member to what the master keeps, and back.
    Shelf = 49,
    Kept = 50,
}

/// The order in which frames of one link are acknowledged. Answers have their own, so that a handler that waits for one
/// is not behind the messages that wait for the handler.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Lane {
    Messages,
    Answers,
}

impl Kind {
    pub(super) fn from_byte(byte: u8) -> Option<Kind> {
        Some(match byte {
            1 => Kind::Hello,
            2 => Kind::Ready,
            3 => Kind::Exception,
            4 => Kind::Ack,
            5 => Kind::Watch,
            6 => Kind::Pong,
            17 => Kind::ClusterReady,
            18 => Kind::Stay,
            19 => Kind::Drain,
            20 => Kind::Stop,
            21 => Kind::Credit,
            22 => Kind::Roster,
            23 => Kind::Growth,
            24 => Kind::Ping,
            33 => Kind::Message,
            34 => Kind::Call,
            35 => Kind::Reply,
            36 => Kind::Undelivered,
            49 => Kind::Shelf,
            50 => Kind::Kept,
            _ => return None,
        })
    }

    /// The lane in which it is acknowledged. `None`: it goes ahead of both and is not.
    pub(crate) fn lane(self) -> Option<Lane> {
        match self {
            Kind::Message | Kind::Call | Kind::Shelf => Some(Lane::Messages),
            // What is known of a death travels behind the last message of the dead. A kept value is for members that are not
            // ready yet, too.
            Kind::Reply | Kind::Undelivered | Kind::Roster | Kind::Kept => Some(Lane::Answers),
            Kind::Hello
            | Kind::Ready
            | Kind::Exception
            | Kind::Ack
            | Kind::Watch
            | Kind::Pong
            | Kind::ClusterReady
            | Kind::Stay
            | Kind::Drain
            | Kind::Stop
            | Kind::Credit
            | Kind::Growth
            | Kind::Ping => None,
        }
    }
}

/// What a member wants of what the master keeps: the `detail` of a frame to the shelf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Want {
    /// The topic has this value from now on.
    Publish = 1,
    /// The topic has none.
    Retract = 2,
    /// To hear of the topic.
    Subscribe = 3,
    /// To hear no more of it. Has no answer.
    Unsubscribe = 4,
}

impl Want {
    #[cfg(test)]
    pub(crate) const ALL: [Want; 4] = [Want::Publish, Want::Retract, Want::Subscribe, Want::Unsubscribe];

    pub(crate) fn from_detail(detail: u32) -> Option<Want> {
        Some(match detail {
            1 => Want::Publish,
            2 => Want::Retract,
            3 => Want::Subscribe,
            4 => Want::Unsubscribe,
            _ => return None,
        })
    }

    pub(crate) fn to_detail(self) -> u32 {
        self as u32
    }
}
