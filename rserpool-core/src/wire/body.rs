//! The parameters of a message, gathered: which ones a message has is a table, how they are read stands here once.

use super::element::{PoolElement, ServerInformation};
use super::error::{Cause, DecodeError, DecodeErrorKind};
use super::list::{List, ListItem};
use super::param::{Param, Params, kind};
use super::policy::Policy;
use super::reader::{Reader, Walk, place};
use super::transport::Transport;
use crate::ids::PeId;

/// A set of parameter types that a message may have.
#[derive(Clone, Copy)]
pub(crate) struct Kinds(u32);

impl Kinds {
    pub(crate) const NONE: Self = Self(0);

    pub(crate) const fn of(kinds: &[u16]) -> Self {
        let (mut set, mut index) = (0, 0);
        while index < kinds.len() {
            set |= Self::one(kinds[index]).0;
            index += 1;
        }
        Self(set)
    }

    /// The set of one type; of none where no message has it.
    #[inline]
    const fn one(kind: u16) -> Self {
        Self(match kind {
            0..=0x1e => 1 << kind,
            kind::ITEM_COUNT => 1 << 31,
            _ => 0,
        })
    }

    #[inline]
    const fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    #[inline]
    const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

/// What a message's parameters say. A list starts at its first item.
#[derive(Default)]
pub(crate) struct Body<'a> {
    pool_handle: Option<&'a [u8]>,
    pool_element: Option<PoolElement<'a>>,
    pe_id: Option<PeId>,
    cookie: Option<&'a [u8]>,
    pub(crate) policy: Option<Policy<'a>>,
    pub(crate) error: Option<List<'a, Cause<'a>>>,
    pub(crate) checksum: Option<u16>,
    pub(crate) server: Option<ServerInformation<'a>>,
    pub(crate) items: Option<u32>,
    list: Option<&'a [u8]>,
    end: usize,
}

impl<'a> Body<'a> {
    /// Reads all parameters: those in `once` at most one time, those in `many` as often as they stand there.
    #[inline]
    pub(crate) fn read<W: Walk>(
        &mut self,
        reader: Reader<'a>,
        once: Kinds,
        many: Kinds,
        walk: &mut W,
    ) -> Result<(), DecodeError> {
        self.end = place(reader.rest()) + reader.rest().len();
        let mut left = once;
        let mut params = Params::of(reader);
        loop {
            let rest = params.rest();
            let Some(param) = params.step()? else {
                return Ok(());
            };
            let kind = Kinds::one(param.kind);
            if many.has(kind) {
                self.list.get_or_insert(rest);
                check_item(&param, walk)?;
            } else if left.has(kind) {
                left = left.without(kind);
                self.take(&param, walk)?;
            } else if once.has(kind) {
                return Err(param.duplicate());
            } else {
                param.pass_over(walk)?;
            }
        }
    }

    #[inline]
    fn take<W: Walk>(&mut self, param: &Param<'a>, walk: &mut W) -> Result<(), DecodeError> {
        match param.kind {
            kind::POOL_HANDLE => self.pool_handle = Some(pool_handle(param)?),
            kind::POOL_ELEMENT => self.pool_element = Some(PoolElement::decode(param, walk)?),
            kind::PE_IDENTIFIER => self.pe_id = Some(PeId(param.u32()?)),
            kind::COOKIE => self.cookie = Some(param.value),
            kind::POLICY => self.policy = Some(Policy::decode(param)?),
            kind::OPERATION_ERROR => self.error = Some(List::decode(param.reader(), walk)?),
            kind::PE_CHECKSUM => self.checksum = Some(u16::from_be_bytes(param.array()?)),
            kind::SERVER_INFORMATION => {
                self.server = Some(ServerInformation::decode(param, walk)?);
            }
            kind::ITEM_COUNT => self.items = Some(param.u32()?),
            _ => debug_assert!(false, "a table has a parameter that nobody reads"),
        }
        Ok(())
    }

    #[cold]
    fn missing(&self, kind: u16) -> DecodeError {
        DecodeError::at(DecodeErrorKind::MissingParameter(kind), self.end)
    }

    pub(crate) fn pool_handle(&self) -> Result<&'a [u8], DecodeError> {
        self.pool_handle
            .ok_or_else(|| self.missing(kind::POOL_HANDLE))
    }

    pub(crate) fn pool_element(&self) -> Result<PoolElement<'a>, DecodeError> {
        self.pool_element
            .ok_or_else(|| self.missing(kind::POOL_ELEMENT))
    }

    pub(crate) fn optional_pe_id(&self) -> Option<PeId> {
        self.pe_id
    }

    pub(crate) fn pe_id(&self) -> Result<PeId, DecodeError> {
        self.pe_id.ok_or_else(|| self.missing(kind::PE_IDENTIFIER))
    }

    pub(crate) fn cookie(&self) -> Result<&'a [u8], DecodeError> {
        self.cookie.ok_or_else(|| self.missing(kind::COOKIE))
    }

    pub(crate) fn causes(&self) -> Result<List<'a, Cause<'a>>, DecodeError> {
        self.error
            .ok_or_else(|| self.missing(kind::OPERATION_ERROR))
    }

    /// The list of the message; empty where no item stands there.
    pub(crate) fn list<T: ListItem<'a>>(&self) -> List<'a, T> {
        self.list.map_or(List::EMPTY, List::checked)
    }

    /// The list of a message that must not have an empty one.
    pub(crate) fn list_of<T: ListItem<'a>>(&self, kind: u16) -> Result<List<'a, T>, DecodeError> {
        self.list
            .map(List::checked)
            .ok_or_else(|| self.missing(kind))
    }
}

/// Checks an item of a message's list.
#[inline]
fn check_item<W: Walk>(param: &Param<'_>, walk: &mut W) -> Result<(), DecodeError> {
    match param.kind {
        kind::POOL_ELEMENT => PoolElement::decode(param, walk).map(drop),
        kind::SERVER_INFORMATION => ServerInformation::decode(param, walk).map(drop),
        _ => Transport::decode(param, walk).map(drop),
    }
}

/// The value of a pool handle parameter; an empty handle names nothing.
pub(crate) fn pool_handle<'a>(param: &Param<'a>) -> Result<&'a [u8], DecodeError> {
    if param.value.is_empty() {
        return Err(param.invalid());
    }
    Ok(param.value)
}
