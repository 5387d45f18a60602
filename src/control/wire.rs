//! What goes over the socket: lines of JSON, each with a bound. Values; nothing here reads or writes.
//!
//! A connection begins with a greeting of the master's, so that whoever connects knows at once whether it is served. Then
//! requests and replies take turns.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::reply::ControlReply;
use super::request::ControlRequest;

/// The version of all this. One that differs is not spoken to.
pub(super) const PROTOCOL: u32 = 1;

/// The longest request, in bytes, with the end of its line. The longest that means something has a name of 255 bytes in it.
pub(super) const REQUEST: usize = 4 * 1024;

/// The longest reply, in bytes, with the end of its line: the status of 4,096 members, each with a long last exit.
pub(super) const REPLY: usize = 16 << 20;

/// How long a request may take unless whoever asks has said so.
pub(super) const DEADLINE: Duration = Duration::from_secs(30);

/// The longest that a request may take, whatever its asker says: until then it has one of the places of those who are served.
pub(super) const LONGEST: Duration = Duration::from_secs(3600);

/// The first line, from the master.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Greeting {
    /// Whoever has connected is served.
    Welcome { protocol: u32, master_pid: u32 },
    /// As many as are served at once are being served.
    Busy,
    /// It may not connect.
    Denied { why: String },
}

/// A request as it is written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Envelope {
    #[serde(flatten)]
    pub(super) request: ControlRequest,
    #[serde(default, rename = "deadline_ms", with = "maybe_millis", skip_serializing_if = "Option::is_none")]
    pub(super) deadline: Option<Duration>,
}

impl Envelope {
    /// How long it may take.
    pub(super) fn deadline(&self) -> Duration {
        self.deadline.unwrap_or(DEADLINE).min(LONGEST)
    }
}

/// A line of it. What we write can be written.
pub(super) fn line(value: &impl Serialize) -> Result<Vec<u8>, String> {
    let mut line = serde_json::to_vec(value).map_err(|error| error.to_string())?;
    line.push(b'\n');
    Ok(line)
}

/// A reply that is never too long to be read.
pub(super) fn reply_line(reply: &ControlReply) -> Vec<u8> {
    let too_much = |why: String| line(&ControlReply::Failed { why }).unwrap_or_default();
    match line(reply) {
        Ok(line) if line.len() <= REPLY => line,
        Ok(line) => too_much(format!("the answer would be {} bytes long, and {REPLY} are the most", line.len())),
        Err(error) => too_much(format!("the answer cannot be written: {error}")),
    }
}

/// What a line asks.
pub(super) fn read_request(line: &[u8]) -> Result<Envelope, String> {
    serde_json::from_slice(line).map_err(|error| format!("it is not a request: {error}"))
}

/// A span in whole milliseconds.
pub(super) mod millis {
    use super::*;
    use serde::{Deserializer, Serializer};

    pub(in super::super) fn serialize<S: Serializer>(span: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(u64::try_from(span.as_millis()).unwrap_or(u64::MAX))
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        u64::deserialize(from).map(Duration::from_millis)
    }
}

/// One that may be none.
pub(super) mod maybe_millis {
    use super::*;
    use serde::{Deserializer, Serializer};

    pub(in super::super) fn serialize<S: Serializer>(span: &Option<Duration>, to: S) -> Result<S::Ok, S::Error> {
        match span {
            Some(span) => millis::serialize(span, to),
            None => to.serialize_none(),
        }
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
        Ok(Option::<u64>::deserialize(from)?.map(Duration::from_millis))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(line: &str) -> Result<Envelope, String> {
        read_request(line.as_bytes())
    }

    #[test]
    fn a_request_can_be_typed_by_hand() {
        let second = Duration::from_secs(1);
        for (text, request, deadline) in [
            (r#"{"verb":"status"}"#, ControlRequest::Status, DEADLINE),
            (r#"{"verb":"why","slot":"worker/2"}"#, ControlRequest::Why { slot: "worker/2".into() }, DEADLINE),
            (r#"{"verb":"stop","deadline_ms":1000}"#, ControlRequest::Stop { timeout: None }, second),
            (
                r#" {"deadline_ms":18446744073709551615, "timeout_ms":1000,"verb":"stop"} "#,
                ControlRequest::Stop { timeout: Some(second) },
                LONGEST,
            ),
            (
                r#"{"verb":"scale","role":"worker","count":3}"#,
                ControlRequest::Scale { role: "worker".into(), count: 3 },
                DEADLINE,
            ),
        ] {
            let envelope = asked(text).expect("it is one");
            assert_eq!((&envelope.request, envelope.deadline()), (&request, deadline), "{text}");
            let again = line(&envelope).expect("it can be written");
            assert_eq!(read_request(&again), Ok(envelope));
        }
    }

    #[test]
    fn what_is_no_request_is_said_to_be_none() {
        for text in [
            "",
            "status",
            "{}",
            "[1,2]",
            r#"{"verb":"reboot"}"#,
            r#"{"verb":"why"}"#,
            r#"{"verb":"scale","role":"worker","count":65536}"#,
            r#"{"verb":"scale","role":"worker","count":-1}"#,
            r#"{"verb":"stop","timeout_ms":-1}"#,
            r#"{"verb":"status"} and more"#,
            "\u{0}\u{1}\u{2}",
        ] {
            assert!(asked(text).is_err_and(|why| why.starts_with("it is not a request: ")), "{text:?}");
        }
        assert!(read_request(&[0xff, 0xfe, b'{']).is_err());
        assert!(read_request("[".repeat(REQUEST).as_bytes()).is_err(), "and no depth of it is anybody's stack");
    }

    #[test]
    fn a_reply_that_is_too_long_is_one_that_says_so() {
        let reply = reply_line(&ControlReply::Why { text: "x".repeat(REPLY) });
        assert!(reply.len() < 200);
        let said: ControlReply = serde_json::from_slice(&reply).expect("a reply");
        assert!(matches!(said, ControlReply::Failed { why } if why.ends_with("are the most")));
    }

    #[test]
    fn no_text_ends_a_line_before_its_end() {
        let written = reply_line(&ControlReply::Why { text: "one\ntwo\r\n\u{2028}three".into() });
        assert_eq!(written.iter().filter(|&&byte| byte == b'\n').count(), 1);
    }
}
