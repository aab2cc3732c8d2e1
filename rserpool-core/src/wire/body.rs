//! The parameters of a message, gathered: which ones a message has is a table, how they are read stands here once.

use super::element::{PoolElement, ServerInformation};
use super::error::{Cause, DecodeError, DecodeErrorKind};
use super::list::{List, ListItem};
use super::param::{Param, Params, kind};
use super::policy::Policy;
use super::reader::{Reader, Unrecognized};
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
            set |= Self::bit(kinds[index]);
            index += 1;
        }
        Self(set)
    }

    const fn bit(kind: u16) -> u32 {
        match kind {
            kind::ITEM_COUNT => 1 << 31,
            0..=0x1e => 1 << kind,
            _ => 0,
        }
    }

    const fn has(self, kind: u16) -> bool {
        self.0 & Self::bit(kind) != 0
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
    list: Option<(&'a [u8], usize)>,
    seen: u32,
    end: usize,
}

impl<'a> Body<'a> {
    /// Reads all parameters: those in `once` at most one time, those in `many` as often as they stand there.
    pub(crate) fn decode(
        reader: Reader<'a>,
        once: Kinds,
        many: Kinds,
        unrecognized: &mut Unrecognized,
    ) -> Result<Self, DecodeError> {
        let mut body = Self {
            end: reader.offset() + reader.rest().len(),
            ..Self::default()
        };
        let mut params = Params::of(reader);
        loop {
            let rest = params.rest();
            let Some(param) = params.next().transpose()? else {
                return Ok(body);
            };
            let bit = Kinds::bit(param.kind);
            if many.has(param.kind) {
                let (_, count) = body.list.get_or_insert((rest, 0));
                *count += 1;
            } else if !once.has(param.kind) {
                param.pass_over(unrecognized)?;
                continue;
            } else if body.seen & bit != 0 {
                return Err(param.duplicate());
            }
            body.seen |= bit;
            body.take(&param, unrecognized)?;
        }
    }

    #[inline]
    fn take(
        &mut self,
        param: &Param<'a>,
        unrecognized: &mut Unrecognized,
    ) -> Result<(), DecodeError> {
        match param.kind {
            kind::POOL_HANDLE => self.pool_handle = Some(pool_handle(param)?),
            kind::POOL_ELEMENT => {
                self.pool_element = Some(PoolElement::decode(param, unrecognized)?);
            }
            kind::PE_IDENTIFIER => self.pe_id = Some(PeId(param.u32()?)),
            kind::COOKIE => self.cookie = Some(param.value),
            kind::POLICY => self.policy = Some(Policy::decode(param)?),
            kind::OPERATION_ERROR => {
                self.error = Some(List::decode(param.reader(), unrecognized)?);
            }
            kind::PE_CHECKSUM => {
                let value = param.value.try_into().map_err(|_| param.invalid())?;
                self.checksum = Some(u16::from_be_bytes(value));
            }
            kind::SERVER_INFORMATION => {
                self.server = Some(ServerInformation::decode(param, unrecognized)?);
            }
            kind::ITEM_COUNT => self.items = Some(param.u32()?),
            _ => {
                Transport::decode(param, unrecognized)?;
            }
        }
        Ok(())
    }

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
        self.list
            .map_or(List::EMPTY, |(bytes, count)| List::checked(bytes, count))
    }

    /// The list of a message that must not have an empty one.
    pub(crate) fn list_of<T: ListItem<'a>>(&self, kind: u16) -> Result<List<'a, T>, DecodeError> {
        let list = self.list();
        if list.is_empty() {
            return Err(self.missing(kind));
        }
        Ok(list)
    }
}

/// The value of a pool handle parameter; an empty handle names nothing.
pub(crate) fn pool_handle<'a>(param: &Param<'a>) -> Result<&'a [u8], DecodeError> {
    if param.value.is_empty() {
        return Err(param.invalid());
    }
    Ok(param.value)
}
