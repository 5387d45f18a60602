//! Descriptors in messages between processes. Close-on-exec from their first moment, counted, and never silently lost:
//! a control buffer that is too short drops descriptors with a flag as the only sign.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};

/// The most that travel in one message: the boot block carries three, everything else one.
pub(crate) const AT_ONCE: usize = 3;

/// Finds out whether this process may open so many more descriptors.
pub(crate) fn have_descriptors(count: usize) -> io::Result<()> {
    let root = std::fs::File::open("/")?;
    let held: io::Result<Vec<_>> = (0..count).map(|_| root.try_clone()).collect();
    held.map(drop)
}

/// Sends `bytes` with `descriptors` attached to their first byte. Does not wait for room.
pub(crate) fn send(socket: impl AsFd, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(AT_ONCE))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(io::Error::other("too many descriptors for one message"));
    }
    let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    let sent = sendmsg(socket, &[IoSlice::new(bytes)], &mut control, flags)?;
    match sent == bytes.len() {
        true => Ok(()),
        false => Err(io::Error::other(format!("only {sent} of {} bytes fit into the socket", bytes.len()))),
    }
}

/// Receives at most `into.len()` bytes, and the descriptors that came with them.
pub(crate) fn receive(socket: impl AsFd, into: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(AT_ONCE))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let message = recvmsg(socket, &mut [IoSliceMut::new(into)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
    let mut descriptors = Vec::new();
    for part in control.drain() {
        if let RecvAncillaryMessage::ScmRights(received) = part {
            descriptors.extend(received);
        }
    }
    if message.flags.contains(ReturnFlags::CTRUNC) {
        return Err(io::Error::other("descriptors were lost on the way: the limit of open files is reached"));
    }
    Ok((message.bytes, descriptors))
}
