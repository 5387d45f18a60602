//! What a message says, on its way into a frame and out of it.

use std::any::{Any, TypeId};

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::transport::{self, CodecError};

/// What can be sent: a reference to anything that serde can write, or [`Bytes`], which travel as they are.
pub trait Body: sealed::Sealed {
    #[doc(hidden)]
    fn encode(&self) -> Result<(bool, Bytes), CodecError>;
}

mod sealed {
    pub trait Sealed {}
    impl<T: serde::Serialize + ?Sized> Sealed for &T {}
    impl Sealed for bytes::Bytes {}
}

impl<T: Serialize + ?Sized> Body for &T {
    fn encode(&self) -> Result<(bool, Bytes), CodecError> {
        Ok((false, transport::encode(*self)?.into()))
    }
}

impl Body for Bytes {
    fn encode(&self) -> Result<(bool, Bytes), CodecError> {
        Ok((true, self.clone()))
    }
}

/// The same for a value whose type was left to a handler: bytes are known by it.
pub(crate) fn encode_owned<T: Serialize + 'static>(value: &T) -> Result<(bool, Bytes), CodecError> {
    match (value as &dyn Any).downcast_ref::<Bytes>() {
        Some(bytes) => bytes.clone().encode(),
        None => Body::encode(&value),
    }
}

/// The value of a payload. Bytes that were sent as they are come out as they are, and as nothing else.
pub(crate) fn decode<T: DeserializeOwned + 'static>(raw: bool, payload: &Bytes) -> Option<T> {
    if !raw {
        return transport::decode(payload).ok();
    }
    if TypeId::of::<T>() != TypeId::of::<Bytes>() {
        return None;
    }
    let bytes: Box<dyn Any> = Box::new(payload.clone());
    bytes.downcast::<T>().ok().map(|bytes| *bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the verbs take it: by value.
    fn encode(body: impl Body) -> (bool, Bytes) {
        body.encode().expect("plain data")
    }

    #[test]
    fn bytes_travel_as_they_are_and_values_as_values() {
        let bytes = Bytes::from_static(b"as it is");
        let (raw, payload) = encode(bytes.clone());
        assert!(raw && payload.as_ptr() == bytes.as_ptr());
        assert_eq!(decode::<Bytes>(raw, &payload), Some(bytes.clone()));
        assert_eq!(decode::<String>(raw, &payload), None);
        let (raw, payload) = encode(&("text", 7u32));
        assert!(!raw);
        assert_eq!(decode::<(String, u32)>(raw, &payload), Some(("text".into(), 7)));
        let (raw, payload) = encode_owned(&bytes).expect("there is nothing to encode");
        assert!(raw && payload.as_ptr() == bytes.as_ptr());
        assert_eq!(encode_owned(&7u32).expect("plain data"), encode(&7u32));
        // A reference to bytes is a value like any other.
        let (raw, payload) = encode(&bytes);
        assert!(!raw);
        assert_eq!(decode::<Bytes>(raw, &payload), Some(bytes));
    }
}
