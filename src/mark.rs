//! Mark arithmetic: an id is spread over the set bits of `mmx_mask`. The values are a contract
//! (docs/marks-and-tables.md): other programs and people's scripts compute them too.

use std::fmt;

/// The position of a `config interface` section, counted from 1; also its routing table.
pub type InterfaceId = u16;

/// The rule priorities 1000+id, 2000+id and 3000+id must not meet, and tables above 252 are reserved.
const LARGEST_ID: u32 = 252;

pub const DEFAULT_MASK: u32 = 0x3f00;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MarkMask {
    mask: u32,
}

impl Default for MarkMask {
    fn default() -> Self {
        MarkMask { mask: DEFAULT_MASK }
    }
}

impl MarkMask {
    /// Three bits are the least that leave room for one interface beside the three special marks.
    pub fn new(mask: u32) -> Option<MarkMask> {
        (mask.count_ones() >= 3).then_some(MarkMask { mask })
    }

    pub fn bits(self) -> u32 {
        self.mask
    }

    /// The index whose mark is the whole mask.
    fn all_ones(self) -> u32 {
        u32::MAX >> (32 - self.mask.count_ones())
    }

    pub fn max_interfaces(self) -> InterfaceId {
        (self.all_ones() - 3).min(LARGEST_ID) as InterfaceId
    }

    /// Bit k of the index goes to the k-th set bit of the mask.
    pub fn spread(self, index: u32) -> u32 {
        let mut mark = 0;
        let mut bit = 0;
        for position in 0..32 {
            if self.mask & (1 << position) != 0 {
                mark |= ((index >> bit) & 1) << position;
                bit += 1;
            }
        }
        mark
    }

    /// The inverse of `spread`.
    pub fn gather(self, mark: u32) -> u32 {
        let mut index = 0;
        let mut bit = 0;
        for position in 0..32 {
            if self.mask & (1 << position) != 0 {
                index |= ((mark >> position) & 1) << bit;
                bit += 1;
            }
        }
        index
    }

    pub fn interface(self, id: InterfaceId) -> u32 {
        self.spread(u32::from(id))
    }

    pub fn default_mark(self) -> u32 {
        self.mask
    }

    pub fn unreachable_index(self) -> u32 {
        self.all_ones() - 1
    }

    pub fn blackhole_index(self) -> u32 {
        self.all_ones() - 2
    }

    pub fn unreachable(self) -> u32 {
        self.spread(self.unreachable_index())
    }

    pub fn blackhole(self) -> u32 {
        self.spread(self.blackhole_index())
    }
}

impl fmt::Display for MarkMask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.mask)
    }
}
