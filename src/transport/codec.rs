//! The only file that names the payload codec. Every decode has a limit, and consumes all it was given: a length that a
//! sender made up is an error, not an allocation.
//!
//! bincode 2.0.1 is not maintained any more. With the feature `postcard` this file uses that instead, and nothing else
//! changes: bounds on user types are serde's alone.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// A value could not be turned into bytes, or bytes not into a value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct CodecError(String);

#[cfg(not(feature = "postcard"))]
mod with {
    use super::{CodecError, DeserializeOwned, Serialize};

    /// What the handshake compares.
    pub(crate) const ID: u8 = 1;

    // The limit is a constant of the type: that of the largest payload there may be. The frame is what bounds it.
    /// bincode counts what a value takes in memory, not what it takes on the wire: a number of sixteen bytes may have been
    /// sent as one. How long the input is, is checked before.
    const CLAIM: usize = 16 * super::super::PAYLOAD_CEILING;

    const CONFIG: bincode::config::Configuration<
        bincode::config::LittleEndian,
        bincode::config::Varint,
        bincode::config::Limit<CLAIM>,
    > = bincode::config::standard().with_limit::<CLAIM>();

    pub(crate) fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, CodecError> {
        bincode::serde::encode_to_vec(value, CONFIG).map_err(|error| CodecError(error.to_string()))
    }

    pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
        let (value, used) = bincode::serde::decode_from_slice(bytes, CONFIG).map_err(|e| CodecError(e.to_string()))?;
        match used == bytes.len() {
            true => Ok(value),
            false => Err(CodecError(format!("{} bytes are left over", bytes.len() - used))),
        }
    }
}

#[cfg(feature = "postcard")]
mod with {
    use super::{CodecError, DeserializeOwned, Serialize};

    /// What the handshake compares.
    pub(crate) const ID: u8 = 2;

    pub(crate) fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, CodecError> {
        postcard::to_stdvec(value).map_err(|error| CodecError(error.to_string()))
    }

    pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
        let (value, rest) = postcard::take_from_bytes(bytes).map_err(|error| CodecError(error.to_string()))?;
        match rest.is_empty() {
            true => Ok(value),
            false => Err(CodecError(format!("{} bytes are left over", rest.len()))),
        }
    }
}

pub(crate) use with::{ID, decode, encode};

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn values_survive_the_way() {
        let value: (String, Option<u64>, BTreeMap<u8, Vec<i32>>) =
            ("text".into(), Some(7), BTreeMap::from([(1, vec![-1, 0, 1])]));
        assert_eq!(decode(&encode(&value).expect("plain data")), Ok(value));
        assert_eq!(decode::<()>(&encode(&()).expect("nothing")), Ok(()));
    }

    #[test]
    fn what_fits_a_payload_can_be_read_however_much_it_is_in_memory() {
        let value = vec![1u64; 3 << 20];
        let bytes = encode(&value).expect("plain data");
        assert!(bytes.len() < 4 << 20);
        assert_eq!(decode::<Vec<u64>>(&bytes).map(|value| value.len()), Ok(value.len()));
    }

    #[test]
    fn what_is_left_over_or_missing_is_an_error() {
        let mut bytes = encode(&7u32).expect("plain data");
        bytes.push(0);
        assert!(decode::<u32>(&bytes).is_err());
        assert!(decode::<(u32, u32, u32)>(&bytes).is_err());
    }

    #[test]
    fn a_length_that_the_sender_made_up_is_an_error_and_no_allocation() {
        let hostile = encode(&(1u64 << 40)).expect("plain data");
        assert!(decode::<String>(&hostile).is_err());
        assert!(decode::<Vec<u8>>(&hostile).is_err());
        assert!(decode::<Vec<u64>>(&hostile).is_err());
    }
}
