//! System calls that neither the standard library nor `socket2` has. Each one is safe to call with any values: pointers are made
//! here, from slices that outlive the call.

use alloc::boxed::Box;
use alloc::vec;
use core::mem::offset_of;
use core::ptr;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use libc::{c_int, iovec, mmsghdr, socklen_t};

use crate::Fragment;
use crate::address::MAX_NAME;
use crate::layout::{Connectx3, Record, i32_at};

/// Room for what one receive gives.
pub(crate) struct Slot {
    bytes: Box<[u8]>,
    control: [u8; Self::CONTROL],
    name: [u8; MAX_NAME],
    length: usize,
    control_length: usize,
    name_length: usize,
    flags: c_int,
}

impl Slot {
    /// Longer messages take several slots.
    const BYTES: usize = 16 << 10;
    const CONTROL: usize = 128;

    pub(crate) fn new() -> Self {
        Self {
            bytes: vec![0; Self::BYTES].into_boxed_slice(),
            control: [0; Self::CONTROL],
            name: [0; MAX_NAME],
            length: 0,
            control_length: 0,
            name_length: 0,
            flags: 0,
        }
    }

    /// What the last receive gave.
    pub(crate) fn fragment(&self) -> Fragment<'_> {
        const MSG_NOTIFICATION: c_int = 0x8000;
        Fragment {
            bytes: &self.bytes[..self.length.min(Self::BYTES)],
            control: &self.control[..self.control_length.min(Self::CONTROL)],
            name: &self.name[..self.name_length.min(MAX_NAME)],
            notification: self.flags & MSG_NOTIFICATION != 0,
            end: self.flags & libc::MSG_EOR != 0,
        }
    }
}

/// What one send takes.
pub(crate) struct Outgoing<'a> {
    pub(crate) control: [u8; crate::cmsg::SEND_INFO],
    pub(crate) bytes: &'a [u8],
}

/// Fills slots from the first one on, up to `N`; says how many.
pub(crate) fn receive<const N: usize>(fd: BorrowedFd<'_>, slots: &mut [Slot]) -> io::Result<usize> {
    let count = slots.len().min(N);
    let mut vectors = [iovec {
        iov_base: ptr::null_mut(),
        iov_len: 0,
    }; N];
    let mut headers = [empty_header(); N];
    for ((slot, vector), header) in slots.iter_mut().zip(&mut vectors).zip(&mut headers) {
        vector.iov_base = slot.bytes.as_mut_ptr().cast();
        vector.iov_len = slot.bytes.len();
        let header = &mut header.msg_hdr;
        header.msg_name = slot.name.as_mut_ptr().cast();
        header.msg_namelen = socklen(slot.name.len());
        header.msg_iov = vector;
        header.msg_iovlen = 1;
        header.msg_control = slot.control.as_mut_ptr().cast();
        header.msg_controllen = slot.control.len() as _;
    }
    // SAFETY: the first `count` headers point to buffers of the slots, with their lengths, and to `vectors`; all of them live
    // until the call has returned, and nothing else refers to them meanwhile.
    let taken = unsafe {
        libc::recvmmsg(
            fd.as_raw_fd(),
            headers.as_mut_ptr(),
            socklen(count),
            libc::MSG_DONTWAIT as _,
            ptr::null_mut(),
        )
    };
    let taken = checked(taken)?;
    for (slot, header) in slots.iter_mut().zip(&headers[..taken.min(count)]) {
        slot.length = header.msg_len as usize;
        slot.name_length = header.msg_hdr.msg_namelen as usize;
        slot.control_length = header.msg_hdr.msg_controllen as _;
        slot.flags = header.msg_hdr.msg_flags;
    }
    Ok(taken)
}

/// Sends messages from the first one on, up to `N`; says how many were taken. An error is the first one's.
pub(crate) fn send<'a, const N: usize>(
    fd: BorrowedFd<'_>,
    messages: impl Iterator<Item = Outgoing<'a>>,
) -> io::Result<usize> {
    let mut controls = [[0; crate::cmsg::SEND_INFO]; N];
    let mut vectors = [iovec {
        iov_base: ptr::null_mut(),
        iov_len: 0,
    }; N];
    let mut headers = [empty_header(); N];
    let mut count = 0;
    for (((message, control), vector), header) in messages
        .zip(&mut controls)
        .zip(&mut vectors)
        .zip(&mut headers)
    {
        *control = message.control;
        vector.iov_base = message.bytes.as_ptr().cast_mut().cast();
        vector.iov_len = message.bytes.len();
        let header = &mut header.msg_hdr;
        header.msg_iov = vector;
        header.msg_iovlen = 1;
        header.msg_control = control.as_mut_ptr().cast();
        header.msg_controllen = control.len() as _;
        count += 1;
    }
    // SAFETY: the first `count` headers point to `controls`, to `vectors`, and through these to the bytes of the messages, which
    // outlive 'a; the kernel only reads them.
    let taken = unsafe {
        libc::sendmmsg(
            fd.as_raw_fd(),
            headers.as_mut_ptr(),
            socklen(count),
            (libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL) as _,
        )
    };
    checked(taken)
}

/// Sets an option of SCTP.
pub(crate) fn set_option(fd: BorrowedFd<'_>, option: c_int, value: &[u8]) -> io::Result<()> {
    // SAFETY: the pointer and the length are those of `value`, which the kernel only reads.
    let result = unsafe {
        libc::setsockopt(
            fd.as_raw_fd(),
            libc::IPPROTO_SCTP,
            option,
            value.as_ptr().cast(),
            socklen(value.len()),
        )
    };
    checked(result).map(|_| ())
}

/// Reads an option of SCTP: `value` goes in, and what the kernel makes of it comes out. Says how many bytes are the answer.
pub(crate) fn option(fd: BorrowedFd<'_>, option: c_int, value: &mut [u8]) -> io::Result<usize> {
    let mut length = socklen(value.len());
    // SAFETY: the pointer and the length are those of `value`, which the kernel fills up to this length.
    let result = unsafe {
        libc::getsockopt(
            fd.as_raw_fd(),
            libc::IPPROTO_SCTP,
            option,
            value.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    checked(result)?;
    Ok(value.len().min(length as usize))
}

/// Begins an association to a peer with these addresses; returns its number (RFC 6458 §9.9). That it is still on its way is
/// no error.
pub(crate) fn connectx(fd: BorrowedFd<'_>, addresses: &[u8]) -> io::Result<i32> {
    let length = i32::try_from(addresses.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    let pointer = addresses.as_ptr().expose_provenance();
    let mut value = Record::<{ size_of::<Connectx3>() }>::new()
        .with(offset_of!(Connectx3, bytes), length.to_ne_bytes())
        .with(offset_of!(Connectx3, addresses), pointer.to_ne_bytes())
        .0;
    // The kernel follows the pointer in `value`, and only reads there; `addresses` outlives the call.
    match option(fd, crate::layout::SCTP_SOCKOPT_CONNECTX3, &mut value) {
        Ok(_) => {}
        Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => {}
        Err(error) => return Err(error),
    }
    i32_at(&value, offset_of!(Connectx3, assoc_id)).ok_or(io::ErrorKind::InvalidData.into())
}

fn empty_header() -> mmsghdr {
    // SAFETY: all-zero bytes are a valid value: integers and null pointers.
    unsafe { core::mem::zeroed() }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "lengths of buffers that are made here or bounded by the caller"
)]
fn socklen(length: usize) -> socklen_t {
    length as socklen_t
}

fn checked(result: c_int) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| io::Error::last_os_error())
}
