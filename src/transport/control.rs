//! The bodies of frames between a member and its master. Fixed layouts by hand: the master reads them from processes
//! that it does not trust.

use std::time::Duration;

use bytes::{Buf, BufMut, BytesMut};

use super::account::Account;
use super::directory::Growth;
use super::frame;
use super::header::{Header, WireError};
use super::kind::Kind;
use crate::identity::MemberId;
use crate::text::cut;

/// What this version speaks. Both ends are the same build, unless somebody runs another program in our name.
pub(crate) const PROTOCOL: u16 = 1;

/// A longer text of an exception is cut.
const TEXT_LIMIT: usize = 3 * 1024;

/// A longer backtrace is cut: what is nearest to the exception comes first. Only plans with logs have any, and their payload limit
/// has room for it.
const BACKTRACE_LIMIT: usize = 12 * 1024;

/// The first frame of a member: who it thinks it is, and in which language.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hello {
    pub(crate) protocol: u16,
    pub(crate) codec: u8,
    pub(crate) rank: u8,
    pub(crate) index: u16,
    pub(crate) incarnation: u32,
}

impl Hello {
    pub(crate) fn of(id: MemberId) -> Hello {
        Hello {
            protocol: PROTOCOL,
            codec: super::codec::ID,
            rank: id.role().rank(),
            index: id.slot().index(),
            incarnation: id.incarnation().get(),
        }
    }

    pub(crate) fn put(self, into: &mut BytesMut) {
        let mut body = BytesMut::with_capacity(10);
        body.put_u16_le(self.protocol);
        body.put_u8(self.codec);
        body.put_u8(self.rank);
        body.put_u16_le(self.index);
        body.put_u32_le(self.incarnation);
        frame::put(into, Header::bare(Kind::Hello), "", &body);
    }

    pub(crate) fn read(mut body: &[u8]) -> Result<Hello, WireError> {
        if body.len() != 10 {
            return Err(WireError::Malformed(Kind::Hello));
        }
        Ok(Hello {
            protocol: body.get_u16_le(),
            codec: body.get_u8(),
            rank: body.get_u8(),
            index: body.get_u16_le(),
            incarnation: body.get_u32_le(),
        })
    }
}

/// What a member says of an exception.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Report {
    pub(crate) what: What,
    /// It ends itself: this is why, not a question.
    pub(crate) leaving: bool,
    pub(crate) text: String,
    /// Where it came from. Empty: that was not asked for, or is not known.
    pub(crate) backtrace: String,
}

/// How an exception came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum What {
    Panic = 1,
    Reported = 2,
    Returned = 3,
}

impl Report {
    pub(crate) fn put(&self, into: &mut BytesMut) {
        let (text, backtrace) = (cut(&self.text, TEXT_LIMIT), cut(&self.backtrace, BACKTRACE_LIMIT));
        let mut body = BytesMut::with_capacity(4 + text.len() + backtrace.len());
        body.put_u8(self.what as u8);
        body.put_u8(u8::from(self.leaving));
        body.put_u16_le(text.len() as u16);
        body.put_slice(text.as_bytes());
        body.put_slice(backtrace.as_bytes());
        frame::put(into, Header::bare(Kind::Exception), "", &body);
    }

    pub(crate) fn read(body: &[u8]) -> Result<Report, WireError> {
        let malformed = WireError::Malformed(Kind::Exception);
        let [what, leaving, short, long, texts @ ..] = body else { return Err(malformed) };
        let length = u16::from_le_bytes([*short, *long]).into();
        let Some((text, backtrace)) = texts.split_at_checked(length) else { return Err(malformed) };
        let what = match what {
            1 => What::Panic,
            2 => What::Reported,
            3 => What::Returned,
            _ => return Err(malformed),
        };
        if *leaving > 1 || text.len() > TEXT_LIMIT || backtrace.len() > BACKTRACE_LIMIT {
            return Err(malformed);
        }
        let owned = |text| String::from_utf8_lossy(text).into_owned();
        Ok(Report { what, leaving: *leaving == 1, text: owned(text), backtrace: owned(backtrace) })
    }
}

/// What the member's dispatcher has handed on since the last time: which messages, since those of one action overtake
/// those of another, and how many answers, which keep their order.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(crate) struct Ack {
    pub(crate) messages: Vec<Span>,
    pub(crate) answers: u32,
}

/// Messages that follow each other on a link, which counts them from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) first: u64,
    pub(crate) count: u32,
}

impl Ack {
    /// More spans go in a frame of their own, so that none is longer than what a member may say.
    const SPANS: usize = 256;

    /// The message with this number has been handed on.
    pub(crate) fn add_message(&mut self, number: u64) {
        match self.messages.last_mut() {
            Some(last) if last.first + u64::from(last.count) == number => last.count += 1,
            _ => self.messages.push(Span { first: number, count: 1 }),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.messages.is_empty() && self.answers == 0
    }

    pub(crate) fn put(&self, into: &mut BytesMut) {
        let answers = Header { detail: self.answers, ..Header::bare(Kind::Ack) };
        if self.messages.is_empty() {
            return frame::put(into, answers, "", b"");
        }
        for (nth, spans) in self.messages.chunks(Ack::SPANS).enumerate() {
            let mut body = BytesMut::with_capacity(spans.len() * 12);
            for span in spans {
                body.put_u64_le(span.first);
                body.put_u32_le(span.count);
            }
            frame::put(into, if nth == 0 { answers } else { Header::bare(Kind::Ack) }, "", &body);
        }
    }

    pub(crate) fn read(header: &Header, mut body: &[u8]) -> Result<Ack, WireError> {
        let mut ack = Ack { messages: Vec::with_capacity(body.len() / 12), answers: header.detail };
        while body.len() >= 12 {
            ack.messages.push(Span { first: body.get_u64_le(), count: body.get_u32_le() });
        }
        match ack.is_empty() || !body.is_empty() {
            true => Err(WireError::Malformed(Kind::Ack)),
            false => Ok(ack),
        }
    }
}

/// What the master wants of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// Not an order: every member has been ready at once.
    ClusterReady,
    /// Its exception has no consequence: accept again.
    Stay,
    /// Finish what has been accepted and leave within this time.
    Drain(Duration),
    /// Stop within this time.
    Stop(Duration),
}

impl Order {
    pub(crate) fn put(self, into: &mut BytesMut) {
        let millis = |within: Duration| u32::try_from(within.as_millis()).unwrap_or(u32::MAX);
        let (kind, detail) = match self {
            Order::ClusterReady => (Kind::ClusterReady, 0),
            Order::Stay => (Kind::Stay, 0),
            Order::Drain(within) => (Kind::Drain, millis(within)),
            Order::Stop(within) => (Kind::Stop, millis(within)),
        };
        frame::put(into, Header { detail, ..Header::bare(kind) }, "", b"");
    }

    /// `None`: it is another kind of frame.
    pub(crate) fn read(header: &Header) -> Option<Order> {
        let within = Duration::from_millis(header.detail.into());
        Some(match header.kind {
            Kind::ClusterReady => Order::ClusterReady,
            Kind::Stay => Order::Stay,
            Kind::Drain => Order::Drain(within),
            Kind::Stop => Order::Stop(within),
            Kind::Hello
            | Kind::Ready
            | Kind::Exception
            | Kind::Ack
            | Kind::Watch
            | Kind::Pong
            | Kind::Credit
            | Kind::Roster
            | Kind::Growth
            | Kind::Ping
            | Kind::Message
            | Kind::Call
            | Kind::Reply
            | Kind::Undelivered
            | Kind::Shelf
            | Kind::Kept => return None,
        })
    }
}

impl Growth {
    pub(crate) fn put(self, into: &mut BytesMut) {
        let (correlation, detail) = (self.rank.into(), self.count.into());
        frame::put(into, Header { correlation, detail, ..Header::bare(Kind::Growth) }, "", b"");
    }

    pub(crate) fn read(header: &Header) -> Result<Growth, WireError> {
        match (u8::try_from(header.correlation), u16::try_from(header.detail)) {
            (Ok(rank), Ok(count)) => Ok(Growth { rank, count }),
            (Err(_), _) | (_, Err(_)) => Err(WireError::Malformed(Kind::Growth)),
        }
    }
}

/// Credit that comes back: so much of each account.
pub(crate) fn put_credits(credits: impl Iterator<Item = (Account, u32)>, into: &mut BytesMut) {
    let mut body = BytesMut::new();
    for (account, charge) in credits {
        body.put_u32_le(account.to_word());
        body.put_u32_le(charge);
    }
    frame::put(into, Header::bare(Kind::Credit), "", &body);
}

/// Reads what [`put_credits`] wrote.
pub(crate) fn read_credits(mut body: &[u8]) -> Result<Vec<(Account, u32)>, WireError> {
    let malformed = || WireError::Malformed(Kind::Credit);
    let mut credits = Vec::with_capacity(body.len() / 8);
    while !body.is_empty() {
        if body.len() < 8 {
            return Err(malformed());
        }
        let account = Account::from_word(body.get_u32_le()).ok_or_else(malformed)?;
        credits.push((account, body.get_u32_le()));
    }
    Ok(credits)
}

#[cfg(test)]
mod tests {
    use super::super::frame::{Frames, payload_start};
    use super::*;
    use crate::identity::{Incarnation, Slot};

    fn body(buffer: &BytesMut) -> (Header, Vec<u8>) {
        let (header, frame) = Frames(buffer).next().expect("a frame");
        assert_eq!(frame.len(), buffer.len());
        (header, frame[payload_start(&header)..].to_vec())
    }

    #[test]
    fn an_acknowledgement_of_much_is_told_in_frames_that_a_member_may_send() {
        let mut ack = Ack { answers: 1, ..Ack::default() };
        (0..1_000).for_each(|number| ack.add_message(number * 2));
        let mut buffer = BytesMut::new();
        ack.put(&mut buffer);
        let mut read = Ack::default();
        for (header, frame) in Frames(&buffer) {
            assert!(header.payload_len <= 4_096);
            let part = Ack::read(&header, &frame[payload_start(&header)..]).expect("it was just written");
            read.messages.extend(part.messages);
            read.answers += part.answers;
        }
        assert_eq!(read, ack);
    }

    #[test]
    fn bodies_survive_the_way_and_others_are_refused() {
        let mut buffer = BytesMut::new();
        let hello = Hello::of(Slot::worker(3).member(Incarnation::new(9)));
        hello.put(&mut buffer);
        let (_, bytes) = body(&buffer);
        assert_eq!(Hello::read(&bytes), Ok(hello));
        assert!(Hello::read(&bytes[1..]).is_err());

        buffer.clear();
        let (text, backtrace) = ("ü".repeat(3000), "frame\n".repeat(3000));
        let report = Report { what: What::Panic, leaving: true, text, backtrace };
        report.put(&mut buffer);
        let (_, mut bytes) = body(&buffer);
        let read = Report::read(&bytes).expect("it was just written");
        assert_eq!((read.what, read.leaving, read.text.len()), (What::Panic, true, TEXT_LIMIT));
        assert!(read.backtrace.len() == BACKTRACE_LIMIT && report.backtrace.starts_with(&read.backtrace));
        assert!(Report::read(&bytes[..TEXT_LIMIT]).is_err(), "shorter than it says");
        bytes[0] = 9;
        assert!(Report::read(&bytes).is_err() && Report::read(&[]).is_err());

        buffer.clear();
        let mut ack = Ack { answers: 7, ..Ack::default() };
        [3, 4, 1, 2, 9].into_iter().for_each(|number| ack.add_message(number));
        ack.put(&mut buffer);
        let (header, bytes) = body(&buffer);
        assert_eq!(bytes.len(), 3 * 12, "3 and 4, 1 and 2, 9");
        assert_eq!(Ack::read(&header, &bytes), Ok(ack));
        assert!(Ack::read(&header, &bytes[1..]).is_err());
        assert!(Ack::read(&Header::bare(Kind::Ack), b"").is_err(), "an acknowledgement of nothing");

        for order in [
            Order::ClusterReady,
            Order::Stay,
            Order::Drain(Duration::from_millis(30_000)),
            Order::Stop(Duration::from_millis(1)),
        ] {
            buffer.clear();
            order.put(&mut buffer);
            assert_eq!(Order::read(&body(&buffer).0), Some(order));
        }
        assert_eq!(Order::read(&Header::bare(Kind::Message)), None);

        buffer.clear();
        let growth = Growth { rank: 128, count: u16::MAX };
        growth.put(&mut buffer);
        let (header, _) = body(&buffer);
        assert_eq!(Growth::read(&header), Ok(growth));
        assert!(Growth::read(&Header { correlation: 256, ..header }).is_err());

        buffer.clear();
        let credits = [(Account::Slot { rank: 128, index: 2 }, 77), (Account::Group, 1 << 20)];
        put_credits(credits.into_iter(), &mut buffer);
        let (_, bytes) = body(&buffer);
        assert_eq!(read_credits(&bytes), Ok(credits.to_vec()));
        assert!(read_credits(&bytes[..9]).is_err());
    }
}
