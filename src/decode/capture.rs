//! Frames out of a capture file: pcap and pcapng, in either byte order, read as a stream.

use core::fmt;
use core::ops::ControlFlow;
use std::io::{self, Read};

use pcap_parser::traits::{PcapNGPacketBlock, PcapReaderIterator};
use pcap_parser::{Block, InterfaceDescriptionBlock, PcapBlockOwned, PcapError, PcapHeader};

/// A frame, borrowed from the reader's buffer.
pub(super) struct Frame<'a> {
    /// Its number in the file, from 1.
    pub(super) number: u64,
    /// When it was captured, in nanoseconds since the epoch of the capture's clock.
    pub(super) time: u128,
    /// The link type of the interface.
    pub(super) link: i32,
    /// What was captured of it.
    pub(super) data: &'a [u8],
}

/// Why the frames of a file end before the file does.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum CaptureError {
    /// The file does not begin like a capture.
    NotACapture,
    /// The file has no byte at all.
    Empty,
    /// Reading failed.
    Unreadable {
        /// Bytes read before.
        offset: usize,
    },
    /// The file ends within a block.
    Truncated {
        /// Where the block begins.
        offset: usize,
    },
    /// A block contradicts itself.
    Damaged {
        /// Where the block begins.
        offset: usize,
    },
    /// A packet of an interface that the file has not described.
    UnknownInterface {
        /// Where the packet's block begins.
        offset: usize,
    },
}

impl fmt::Display for CaptureError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotACapture => f.write_str("not a pcap or pcapng capture (at byte 0)"),
            Self::Empty => f.write_str("empty, not a pcap or pcapng capture (at byte 0)"),
            Self::Unreadable { offset } => write!(f, "cannot be read (at byte {offset})"),
            Self::Truncated { offset } => write!(
                f,
                "truncated: the file ends within the block at byte {offset}"
            ),
            Self::Damaged { offset } => write!(f, "damaged: invalid block at byte {offset}"),
            Self::UnknownInterface { offset } => write!(
                f,
                "damaged: the block at byte {offset} is of an interface that was not described"
            ),
        }
    }
}

/// What the packets of an interface have in common.
#[derive(Clone, Copy)]
struct Interface {
    link: i32,
    snap_length: usize,
    /// Ticks of its clock per second.
    resolution: u64,
    /// What is added to its clock, in seconds.
    offset: i64,
}

impl Interface {
    fn of_block(block: &InterfaceDescriptionBlock<'_>) -> Self {
        Self {
            link: block.linktype.0,
            snap_length: size(block.snaplen),
            resolution: block.ts_resolution().unwrap_or(1_000_000).max(1),
            offset: block.ts_offset(),
        }
    }

    fn of_header(header: &PcapHeader) -> Self {
        let nano = header.is_nanosecond_precision();
        Self {
            // The upper bits say whether frames end with a checksum (FCS).
            link: header.network.0 & 0xffff,
            snap_length: size(header.snaplen),
            resolution: if nano { 1_000_000_000 } else { 1_000_000 },
            offset: 0,
        }
    }

    fn time(&self, ticks: u64) -> u128 {
        let nanos = u128::from(ticks) * 1_000_000_000 / u128::from(self.resolution);
        let offset = i128::from(self.offset) * 1_000_000_000;
        nanos.checked_add_signed(offset).unwrap_or(nanos)
    }
}

/// Calls `each` for every frame of the capture, until it breaks.
pub(super) fn each_frame<B>(
    source: impl Read + Send,
    mut each: impl FnMut(Frame<'_>) -> ControlFlow<B>,
) -> Result<ControlFlow<B>, CaptureError> {
    let mut reader =
        pcap_parser::create_reader(BUFFER, Whole(source)).map_err(|error| match error {
            PcapError::Eof => CaptureError::Empty,
            PcapError::ReadError => CaptureError::Unreadable { offset: 0 },
            _ => CaptureError::NotACapture,
        })?;
    let mut frames = Frames::default();
    let mut capacity = BUFFER;
    loop {
        let offset = reader.consumed();
        match reader.next() {
            Ok((length, block)) => {
                let frame = frames.block(&block, offset)?;
                if let Some(ControlFlow::Break(end)) = frame.map(&mut each) {
                    return Ok(ControlFlow::Break(end));
                }
                reader.consume(length);
            }
            Err(PcapError::Eof) => return Ok(ControlFlow::Continue(())),
            Err(PcapError::Incomplete(_)) => refill(&mut *reader, &mut capacity)?,
            Err(PcapError::BufferTooSmall) => {
                grow(&mut *reader, &mut capacity)?;
                refill(&mut *reader, &mut capacity)?;
            }
            Err(PcapError::UnexpectedEof) => {
                return match reader.data() {
                    [] => Ok(ControlFlow::Continue(())),
                    _ => Err(CaptureError::Truncated { offset }),
                };
            }
            Err(PcapError::ReadError) => return Err(CaptureError::Unreadable { offset }),
            Err(_) => return Err(CaptureError::Damaged { offset }),
        }
    }
}

fn refill(reader: &mut dyn PcapReaderIterator, capacity: &mut usize) -> Result<(), CaptureError> {
    let (offset, before) = (reader.consumed(), reader.data().len());
    if reader.refill().is_err() {
        return Err(CaptureError::Unreadable { offset });
    }
    if reader.data().len() == before && !reader.reader_exhausted() {
        grow(reader, capacity)?;
    }
    Ok(())
}

fn grow(reader: &mut dyn PcapReaderIterator, capacity: &mut usize) -> Result<(), CaptureError> {
    *capacity *= 2;
    if *capacity > MAX_BUFFER || !reader.grow(*capacity) {
        let offset = reader.consumed();
        return Err(CaptureError::Damaged { offset });
    }
    Ok(())
}

/// What is known of the file so far.
#[derive(Default)]
struct Frames {
    interfaces: Vec<Interface>,
    number: u64,
}

impl Frames {
    /// The frame in a block; `None` where it holds none.
    fn block<'a>(
        &mut self,
        block: &'a PcapBlockOwned<'_>,
        offset: usize,
    ) -> Result<Option<Frame<'a>>, CaptureError> {
        let (interface, ticks, data) = match block {
            PcapBlockOwned::LegacyHeader(header) => {
                self.interfaces = vec![Interface::of_header(header)];
                return Ok(None);
            }
            PcapBlockOwned::Legacy(packet) => {
                let interface = self.interface(0, offset)?;
                let ticks = u64::from(packet.ts_sec) * interface.resolution;
                (interface, ticks + u64::from(packet.ts_usec), packet.data)
            }
            PcapBlockOwned::NG(Block::SectionHeader(_)) => {
                self.interfaces.clear();
                return Ok(None);
            }
            PcapBlockOwned::NG(Block::InterfaceDescription(block)) => {
                if self.interfaces.len() < MAX_INTERFACES {
                    self.interfaces.push(Interface::of_block(block));
                }
                return Ok(None);
            }
            PcapBlockOwned::NG(Block::EnhancedPacket(packet)) => {
                let interface = self.interface(size(packet.if_id), offset)?;
                let ticks = u64::from(packet.ts_high) << 32 | u64::from(packet.ts_low);
                (interface, ticks, packet.packet_data())
            }
            PcapBlockOwned::NG(Block::SimplePacket(packet)) => {
                let interface = self.interface(0, offset)?;
                let data = packet.packet_data();
                let kept = match interface.snap_length {
                    0 => data.len(),
                    limit => limit.min(data.len()),
                };
                (interface, 0, &data[..kept])
            }
            PcapBlockOwned::NG(_) => return Ok(None),
        };
        self.number += 1;
        Ok(Some(Frame {
            number: self.number,
            time: interface.time(ticks),
            link: interface.link,
            data,
        }))
    }

    fn interface(&self, index: usize, offset: usize) -> Result<Interface, CaptureError> {
        self.interfaces
            .get(index)
            .copied()
            .ok_or(CaptureError::UnknownInterface { offset })
    }
}

/// A count of the file as one of ours. None of them can be larger where `usize` has 16 bits, and there no file fits.
fn size(count: u32) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

/// A reader that fills what it is given unless the source ends: a pipe gives less at a time than the first look needs.
struct Whole<R>(R);

impl<R: Read> Read for Whole<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.0.read(&mut buffer[filled..]) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }
}

/// Bytes of the file that are held at first: more than a frame has in nearly all captures.
const BUFFER: usize = 1 << 18;
/// The most bytes that are held; a larger block is taken for damaged.
const MAX_BUFFER: usize = 1 << 24;
/// Interfaces in a section that are remembered.
const MAX_INTERFACES: usize = 1 << 16;
