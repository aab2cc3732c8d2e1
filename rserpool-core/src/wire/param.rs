//! Parameters: type, length, value, padding (RFC 5354 §3).

use super::error::{DecodeError, DecodeErrorKind};
use super::reader::{Reader, Span, Walk, place};

/// The parameter types.
pub mod kind {
    /// IPv4 Address (RFC 5354 §3.1).
    pub const IPV4_ADDRESS: u16 = 0x0001;
    /// IPv6 Address (RFC 5354 §3.2).
    pub const IPV6_ADDRESS: u16 = 0x0002;
    /// DCCP Transport (RFC 5354 §3.3).
    pub const DCCP_TRANSPORT: u16 = 0x0003;
    /// SCTP Transport (RFC 5354 §3.4).
    pub const SCTP_TRANSPORT: u16 = 0x0004;
    /// TCP Transport (RFC 5354 §3.5).
    pub const TCP_TRANSPORT: u16 = 0x0005;
    /// UDP Transport (RFC 5354 §3.6).
    pub const UDP_TRANSPORT: u16 = 0x0006;
    /// UDP-Lite Transport (RFC 5354 §3.7).
    pub const UDP_LITE_TRANSPORT: u16 = 0x0007;
    /// Pool Member Selection Policy (RFC 5354 §3.8).
    pub const POLICY: u16 = 0x0008;
    /// Pool Handle (RFC 5354 §3.9).
    pub const POOL_HANDLE: u16 = 0x0009;
    /// Pool Element (RFC 5354 §3.10).
    pub const POOL_ELEMENT: u16 = 0x000a;
    /// Server Information (RFC 5354 §3.11).
    pub const SERVER_INFORMATION: u16 = 0x000b;
    /// Operation Error (RFC 5354 §3.12).
    pub const OPERATION_ERROR: u16 = 0x000c;
    /// Cookie (RFC 5354 §3.13).
    pub const COOKIE: u16 = 0x000d;
    /// PE Identifier (RFC 5354 §3.14).
    pub const PE_IDENTIFIER: u16 = 0x000e;
    /// PE Checksum (RFC 5354 §3.15).
    pub const PE_CHECKSUM: u16 = 0x000f;
    /// Opaque Transport (RFC 5354 §3.16).
    pub const OPAQUE_TRANSPORT: u16 = 0x0010;
    /// Handle resolution option: how many elements the user wants. An extension of the reference implementation; its upper
    /// bits say "skip", so that it harms nobody who does not know it.
    pub const ITEM_COUNT: u16 = 0x803f;
}

/// One parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Param<'a> {
    /// Its type, all 16 bits.
    pub kind: u16,
    /// Its value without padding.
    pub value: &'a [u8],
}

impl<'a> Param<'a> {
    /// Where it stands, header included, padding left out.
    fn span(self) -> Span {
        Span {
            offset: place(self.value) - 4,
            length: self.value.len() + 4,
        }
    }

    #[inline]
    pub(crate) fn reader(&self) -> Reader<'a> {
        Reader::new(self.value)
    }

    #[cold]
    pub(crate) fn error(self, kind: DecodeErrorKind) -> DecodeError {
        DecodeError::span(kind, self.span())
    }

    #[cold]
    pub(crate) fn invalid(self) -> DecodeError {
        self.error(DecodeErrorKind::InvalidValue(self.kind))
    }

    #[cold]
    pub(crate) fn duplicate(self) -> DecodeError {
        self.error(DecodeErrorKind::DuplicateParameter(self.kind))
    }

    #[cold]
    pub(crate) fn lacks(self, kind: u16) -> DecodeError {
        self.error(DecodeErrorKind::MissingParameter(kind))
    }

    /// The first `N` bytes of the value, and what follows them.
    #[inline]
    pub(crate) fn fixed<const N: usize>(&self) -> Result<(&'a [u8; N], Reader<'a>), DecodeError> {
        match self.value.split_first_chunk() {
            Some((head, tail)) => Ok((head, Reader::new(tail))),
            None => Err(self.invalid()),
        }
    }

    /// A value of exactly `N` bytes.
    #[inline]
    pub(crate) fn array<const N: usize>(&self) -> Result<[u8; N], DecodeError> {
        self.value.try_into().map_err(|_| self.invalid())
    }

    /// A value of exactly four bytes.
    #[inline]
    pub(crate) fn u32(&self) -> Result<u32, DecodeError> {
        self.array().map(u32::from_be_bytes)
    }

    /// What to do with a parameter that is of no use where it stands: a known one does not belong there, and for others
    /// the upper bits of the type say it (RFC 5354 §3). `Ok` means that it is skipped.
    #[cold]
    pub(crate) fn pass_over<W: Walk>(self, walk: &mut W) -> Result<(), DecodeError> {
        if (kind::IPV4_ADDRESS..=kind::OPAQUE_TRANSPORT).contains(&self.kind) {
            return Err(self.error(DecodeErrorKind::UnexpectedParameter(self.kind)));
        }
        match self.kind >> 14 {
            0b10 => Ok(()),
            0b11 => {
                walk.note(self.span());
                Ok(())
            }
            bits => Err(self.error(DecodeErrorKind::UnknownParameter {
                kind: self.kind,
                report: bits == 0b01,
            })),
        }
    }
}

/// The parameters in a part of a message. It ends at the end of the bytes or after the first error.
#[derive(Clone, Copy, Debug)]
pub struct Params<'a>(&'a [u8]);

impl<'a> Params<'a> {
    /// The parameters in `bytes`.
    #[inline]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    #[inline]
    pub(crate) const fn of(reader: Reader<'a>) -> Self {
        Self(reader.rest())
    }

    #[inline]
    pub(crate) const fn rest(&self) -> &'a [u8] {
        self.0
    }

    /// The next parameter; `None` at the end.
    #[inline]
    pub(crate) fn step(&mut self) -> Result<Option<Param<'a>>, DecodeError> {
        let Some((&[kind_high, kind_low, high, low], tail)) = self.0.split_first_chunk() else {
            return if self.0.is_empty() {
                Ok(None)
            } else {
                Err(self.fail())
            };
        };
        let length = usize::from(u16::from_be_bytes([high, low])).wrapping_sub(4);
        let Some((value, tail)) = tail.split_at_checked(length) else {
            return Err(self.fail());
        };
        // The padding of the last parameter may be missing: RFC 5354 §2 leaves it out of the length of what it is nested in.
        self.0 = &tail[padding(length).min(tail.len())..];
        Ok(Some(Param {
            kind: u16::from_be_bytes([kind_high, kind_low]),
            value,
        }))
    }

    #[cold]
    fn fail(&mut self) -> DecodeError {
        let span = Span {
            offset: place(self.0),
            length: self.0.len(),
        };
        self.0 = &[];
        DecodeError::span(DecodeErrorKind::ParameterLength, span)
    }
}

impl<'a> Iterator for Params<'a> {
    type Item = Result<Param<'a>, DecodeError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.step().transpose()
    }
}

/// How many bytes of padding follow a value of `length` bytes.
#[inline]
pub(crate) const fn padding(length: usize) -> usize {
    length.wrapping_neg() & 3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_belongs_to_no_parameter_and_the_last_may_lack_it() {
        let bytes = [0, 9, 0, 5, b'a', 0, 0, 0, 0, 13, 0, 6, 1, 2];
        let params: Result<alloc::vec::Vec<_>, _> = Params::new(&bytes).collect();
        let params = params.expect("both are whole");
        assert_eq!((params[0].kind, params[0].value), (9, &b"a"[..]));
        assert_eq!((params[1].kind, params[1].value), (13, &[1, 2][..]));
    }

    #[test]
    fn a_lying_length_ends_the_walk_with_its_place() {
        for bytes in [
            &[0, 9, 0, 3][..],
            &[0, 9, 0, 9, 1, 2, 3, 4],
            &[0, 9, 0],
            &[0, 9, 0xff, 0xff, 0],
        ] {
            let mut params = Params::new(bytes);
            let error = params.next().expect("an item").expect_err("a lie");
            assert_eq!(error.within(bytes).offset(), 0);
            assert!(params.next().is_none());
        }
    }
}
