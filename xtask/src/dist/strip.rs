//! Cuts off of a static program what its kernel never loads: symbols, notes for debuggers, and the list of
//! sections. Linkers leave some of it whatever they are told, on MIPS 150 KB.

/// Where the numbers stand in an ELF header, by the width of addresses.
struct Layout {
    width: usize,
    programs: usize,
    sections: usize,
    program_size: usize,
    /// Number and size of program headers, number and names of sections, each of two bytes.
    counts: usize,
    /// In a program header: where its content is in the file, and how much.
    offset: usize,
    size: usize,
}

const LAYOUT_32: Layout =
    Layout { width: 4, programs: 28, sections: 32, program_size: 42, counts: 44, offset: 4, size: 16 };
const LAYOUT_64: Layout =
    Layout { width: 8, programs: 32, sections: 40, program_size: 54, counts: 56, offset: 8, size: 32 };

pub fn strip(program: &[u8]) -> Option<Vec<u8>> {
    let layout = match program.get(..5)? {
        [0x7f, b'E', b'L', b'F', 1] => LAYOUT_32,
        [0x7f, b'E', b'L', b'F', 2] => LAYOUT_64,
        _ => return None,
    };
    let is_big_endian = *program.get(5)? == 2;
    let number = |place: usize, width: usize| number(program.get(place..place + width)?, is_big_endian);
    let first = number(layout.programs, layout.width)?;
    let step = number(layout.program_size, 2)?;
    let count = number(layout.counts, 2)?;
    let mut end = first + count * step;
    for header in (0..count).map(|index| first + index * step) {
        let offset = number(header + layout.offset, layout.width)?;
        end = end.max(offset + number(header + layout.size, layout.width)?);
    }
    let mut stripped = program.get(..end)?.to_vec();
    stripped.get_mut(layout.sections..layout.sections + layout.width)?.fill(0);
    // How many sections there are, and which one has their names.
    stripped.get_mut(layout.counts + 4..layout.counts + 8)?.fill(0);
    Some(stripped)
}

fn number(bytes: &[u8], is_big_endian: bool) -> Option<usize> {
    let append = |number: u64, byte: &u8| number << 8 | u64::from(*byte);
    let number = match is_big_endian {
        true => bytes.iter().fold(0, append),
        false => bytes.iter().rev().fold(0, append),
    };
    usize::try_from(number).ok()
}
