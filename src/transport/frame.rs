//! Whole frames in a buffer: found, checked against the limits, never copied.

use bytes::{BufMut, BytesMut};

use super::header::{ACTION_LIMIT, HEADER, Header, WireError};
use super::kind::Kind;

/// How large a frame may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// The longest payload, in bytes.
    pub(crate) payload: usize,
}

impl Limits {
    /// Before the handshake nobody has more to say.
    pub(crate) const HANDSHAKE: Limits = Limits { payload: 4 * 1024 };
}

/// The header of the frame that `buffer` begins with. `None`: it is not whole yet; `needs` bytes would tell.
///
/// Checked before anything else is believed: nothing is reserved for a length that is over the limit.
pub(crate) fn peek(buffer: &[u8], limits: Limits) -> Result<Peek, WireError> {
    let Some(head) = buffer.first_chunk::<HEADER>() else { return Ok(Peek::Needs(HEADER)) };
    let header = Header::decode(head)?;
    if usize::from(header.action_len) > ACTION_LIMIT {
        return Err(WireError::ActionTooLong(header.action_len.into()));
    }
    // What a member says to its master is short, and not what the limit is about.
    let limit = match header.kind.lane() {
        Some(_) => limits.payload,
        None => limits.payload.max(Limits::HANDSHAKE.payload),
    };
    if header.payload_len as usize > limit {
        return Err(WireError::TooLong { len: header.payload_len as usize, limit });
    }
    match buffer.len() < header.frame_len() {
        true => Ok(Peek::Needs(header.frame_len())),
        false => Ok(Peek::Whole(header)),
    }
}

/// What a buffer begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peek {
    /// The beginning of a frame. So many bytes, counted from its beginning, say more.
    Needs(usize),
    /// A whole frame.
    Whole(Header),
}

/// The frames of a run that is known to hold whole ones only.
pub(crate) struct Frames<'a>(pub(crate) &'a [u8]);

impl<'a> Iterator for Frames<'a> {
    type Item = (Header, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let header = Header::decode(self.0.first_chunk::<HEADER>()?).ok()?;
        let (frame, rest) = self.0.split_at_checked(header.frame_len())?;
        self.0 = rest;
        Some((header, frame))
    }
}

/// The action of a frame.
pub(crate) fn action<'a>(header: &Header, frame: &'a [u8]) -> Result<&'a str, WireError> {
    let bytes = frame.get(HEADER..HEADER + usize::from(header.action_len)).ok_or(WireError::ActionNotText)?;
    std::str::from_utf8(bytes).map_err(|_| WireError::ActionNotText)
}

/// Where the payload of a frame begins.
pub(crate) fn payload_start(header: &Header) -> usize {
    HEADER + usize::from(header.action_len)
}

/// Appends a frame.
pub(crate) fn put(into: &mut BytesMut, header: Header, action: &str, payload: &[u8]) {
    into.reserve(HEADER + action.len() + payload.len());
    put_head(into, header, action, payload.len());
    into.put_slice(payload);
}

/// Appends a frame that says nothing but its kind.
pub(crate) fn put_bare(kind: Kind, into: &mut BytesMut) {
    put(into, Header::bare(kind), "", b"");
}

/// Appends a frame but for its payload, which must follow.
pub(crate) fn put_head(into: &mut BytesMut, mut header: Header, action: &str, payload_len: usize) {
    header.action_len = action.len() as u16;
    header.payload_len = payload_len as u32;
    into.put_slice(&header.encode());
    into.put_slice(action.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { payload: 1000 };

    fn frame(action: &str, payload: &[u8]) -> BytesMut {
        let mut buffer = BytesMut::new();
        put(&mut buffer, Header::bare(Kind::Message), action, payload);
        buffer
    }

    #[test]
    fn a_frame_is_found_when_its_last_byte_is_there_and_not_before() {
        let whole = frame("hello", &[7; 100]);
        for cut in 0..whole.len() {
            let needs = if cut < HEADER { HEADER } else { whole.len() };
            assert_eq!(peek(&whole[..cut], LIMITS), Ok(Peek::Needs(needs)), "{cut}");
        }
        let Ok(Peek::Whole(header)) = peek(&whole, LIMITS) else { panic!("it is whole") };
        assert_eq!(action(&header, &whole), Ok("hello"));
        assert_eq!(&whole[payload_start(&header)..], [7; 100]);
    }

    #[test]
    fn a_length_over_the_limit_is_refused_from_the_header_alone() {
        assert!(matches!(peek(&frame("", &[0; 1000]), LIMITS), Ok(Peek::Whole(_))));
        let mut head = frame("", &[0; 1001]);
        head.truncate(HEADER);
        assert_eq!(peek(&head, LIMITS), Err(WireError::TooLong { len: 1001, limit: 1000 }));
        let mut report = BytesMut::new();
        put(&mut report, Header::bare(Kind::Exception), "", &[0; 4096]);
        assert!(matches!(peek(&report, LIMITS), Ok(Peek::Whole(_))), "no message");
        head[4..8].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(peek(&head, LIMITS), Err(WireError::TooLong { len: u32::MAX as usize, limit: 1000 }));
        head[2..8].copy_from_slice(&[0, 1, 0, 0, 0, 0]);
        assert_eq!(peek(&head, LIMITS), Err(WireError::ActionTooLong(256)));
    }

    #[test]
    fn an_action_that_is_not_text_is_refused() {
        let mut whole = frame("ab", b"");
        whole[HEADER] = 0xff;
        let Ok(Peek::Whole(header)) = peek(&whole, LIMITS) else { panic!("it is whole") };
        assert_eq!(action(&header, &whole), Err(WireError::ActionNotText));
    }

    #[test]
    fn a_run_is_walked_frame_by_frame() {
        let mut run = frame("a", &[1; 3]);
        run.extend(frame("bb", &[]));
        run.extend(frame("", &[2; 999]));
        let lengths: Vec<_> = Frames(&run).map(|(_, frame)| frame.len()).collect();
        assert_eq!(lengths, [36, 34, 1031]);
    }
}
