//! Lists in a message: bytes of a received one, or values of one to be sent, behind one type.

use core::fmt;

use super::error::DecodeError;
use super::param::Params;
use super::reader::{Checked, Reader, Walk};
use super::writer::Writer;

/// What a list can hold.
pub trait ListItem<'a>: Copy + PartialEq + fmt::Debug {
    /// The next item among `params`; `None` at their end.
    fn next<W: Walk>(params: &mut Params<'a>, walk: &mut W) -> Result<Option<Self>, DecodeError>;

    /// Writes it with its padding.
    fn write(&self, writer: &mut Writer<'_>);
}

/// A list of a message.
#[derive(Clone, Copy)]
pub enum List<'a, T> {
    /// Checked bytes of a received message.
    Wire(WireList<'a>),
    /// Values of a message to be sent.
    Slice(&'a [T]),
}

/// Bytes that hold a list, checked by the decoder.
#[derive(Clone, Copy)]
pub struct WireList<'a>(pub(super) &'a [u8]);

impl<'a, T: ListItem<'a>> List<'a, T> {
    /// An empty list.
    pub const EMPTY: Self = Self::Slice(&[]);

    /// Checks all items in `reader`, so that they can be read without an error later.
    #[inline]
    pub(crate) fn decode<W: Walk>(reader: Reader<'a>, walk: &mut W) -> Result<Self, DecodeError> {
        if !W::CHECKED {
            let mut params = Params::of(reader);
            while T::next(&mut params, walk)?.is_some() {}
        }
        Ok(Self::checked(reader.rest()))
    }

    /// As [`List::decode`]; `None` where there is no item.
    #[inline]
    pub(crate) fn decode_some<W: Walk>(
        reader: Reader<'a>,
        walk: &mut W,
    ) -> Result<Option<Self>, DecodeError> {
        let mut found = W::CHECKED;
        if !W::CHECKED {
            let mut params = Params::of(reader);
            while T::next(&mut params, walk)?.is_some() {
                found = true;
            }
        }
        Ok(found.then(|| Self::checked(reader.rest())))
    }

    #[inline]
    pub(crate) const fn checked(bytes: &'a [u8]) -> Self {
        Self::Wire(WireList(bytes))
    }

    /// The number of items. A received list is walked for it.
    pub fn len(&self) -> usize {
        match self {
            Self::Wire(_) => self.iter().count(),
            Self::Slice(items) => items.len(),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }

    /// The items in their order.
    #[inline]
    pub const fn iter(&self) -> ListIter<'a, T> {
        match self {
            Self::Wire(wire) => ListIter::Wire(Params::new(wire.0)),
            Self::Slice(items) => ListIter::Slice(items),
        }
    }

    #[inline]
    pub(crate) fn write(&self, writer: &mut Writer<'_>) {
        match self {
            Self::Wire(_) => self.write_again(writer),
            Self::Slice(items) => items.iter().for_each(|item| item.write(writer)),
        }
    }

    #[inline(never)]
    fn write_again(&self, writer: &mut Writer<'_>) {
        self.iter().for_each(|item| item.write(writer));
    }
}

impl<'a, T: ListItem<'a>> IntoIterator for List<'a, T> {
    type Item = T;
    type IntoIter = ListIter<'a, T>;

    #[inline]
    fn into_iter(self) -> ListIter<'a, T> {
        self.iter()
    }
}

/// Equal where the items are, however they are held.
impl<'a, T: ListItem<'a>> PartialEq for List<'a, T> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl<'a, T: ListItem<'a>> fmt::Debug for List<'a, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// The items of a [`List`].
#[derive(Clone, Debug)]
pub enum ListIter<'a, T> {
    /// Over checked bytes.
    Wire(Params<'a>),
    /// Over values.
    Slice(&'a [T]),
}

impl<'a, T: ListItem<'a>> Iterator for ListIter<'a, T> {
    type Item = T;

    #[inline]
    fn next(&mut self) -> Option<T> {
        match self {
            // The decoder has seen every item, and would have refused the message.
            Self::Wire(params) => T::next(params, &mut Checked).ok().flatten(),
            Self::Slice(items) => {
                let (first, rest) = items.split_first()?;
                *items = rest;
                Some(*first)
            }
        }
    }
}
