//! Lists in a message: bytes of a received one, or values of one to be sent, behind one type.

use core::fmt;

use super::error::DecodeError;
use super::param::Params;
use super::reader::{Reader, Unrecognized};
use super::writer::Writer;

/// What a list can hold.
pub trait ListItem<'a>: Copy + PartialEq + fmt::Debug {
    /// The next item among `params`; `None` at their end.
    fn next(
        params: &mut Params<'a>,
        unrecognized: &mut Unrecognized,
    ) -> Result<Option<Self>, DecodeError>;

    /// Bytes it takes with its padding.
    fn encoded_len(&self) -> usize;

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
pub struct WireList<'a> {
    bytes: &'a [u8],
    count: usize,
}

impl<'a, T: ListItem<'a>> List<'a, T> {
    /// An empty list.
    pub const EMPTY: Self = Self::Slice(&[]);

    /// Checks all items in `reader`, so that they can be read without an error later.
    pub(crate) fn decode(
        reader: Reader<'a>,
        unrecognized: &mut Unrecognized,
    ) -> Result<Self, DecodeError> {
        let mut params = Params::of(reader);
        let mut count = 0;
        while T::next(&mut params, unrecognized)?.is_some() {
            count += 1;
        }
        Ok(Self::checked(reader.rest(), count))
    }

    pub(crate) const fn checked(bytes: &'a [u8], count: usize) -> Self {
        Self::Wire(WireList { bytes, count })
    }

    /// The number of items.
    pub const fn len(&self) -> usize {
        match self {
            Self::Wire(wire) => wire.count,
            Self::Slice(items) => items.len(),
        }
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The items in their order.
    pub const fn iter(&self) -> ListIter<'a, T> {
        match self {
            Self::Wire(wire) => ListIter::Wire(Params::new(wire.bytes, 0)),
            Self::Slice(items) => ListIter::Slice(items),
        }
    }

    pub(crate) fn encoded_len(&self) -> usize {
        self.iter().map(|item| item.encoded_len()).sum()
    }

    pub(crate) fn write(&self, writer: &mut Writer<'_>) {
        self.iter().for_each(|item| item.write(writer));
    }
}

impl<'a, T: ListItem<'a>> IntoIterator for List<'a, T> {
    type Item = T;
    type IntoIter = ListIter<'a, T>;

    fn into_iter(self) -> ListIter<'a, T> {
        self.iter()
    }
}

/// Equal where the items are, however they are held.
impl<'a, T: ListItem<'a>> PartialEq for List<'a, T> {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.iter().eq(other.iter())
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
            Self::Wire(params) => T::next(params, &mut Unrecognized::default()).ok().flatten(),
            Self::Slice(items) => {
                let (first, rest) = items.split_first()?;
                *items = rest;
                Some(*first)
            }
        }
    }
}
