//! The program's allocator: blocks are as asked for, are nobody else's, and are used again.

use std::alloc::{GlobalAlloc, Layout};
use std::collections::HashSet;

use mwan3::system::memory::SmallBlocks;
use proptest::prelude::*;

struct Held {
    block: *mut u8,
    layout: Layout,
    mark: u8,
}

impl Held {
    fn new(memory: &SmallBlocks, layout: Layout, mark: u8) -> Held {
        // SAFETY: no layout in here is of size zero.
        let block = unsafe { memory.alloc(layout) };
        assert!(!block.is_null() && (block as usize).is_multiple_of(layout.align()), "{layout:?}");
        // SAFETY: the block is ours and has that size.
        unsafe { block.write_bytes(mark, layout.size()) };
        Held { block, layout, mark }
    }

    fn resize(&mut self, memory: &SmallBlocks, size: usize) {
        let kept = size.min(self.layout.size());
        // SAFETY: the block is from there, with this layout.
        self.block = unsafe { memory.realloc(self.block, self.layout, size) };
        self.layout = Layout::from_size_align(size, self.layout.align()).expect("a size");
        self.check(kept);
        // SAFETY: the block is ours and has that size.
        unsafe { self.block.write_bytes(self.mark, size) };
    }

    fn check(&self, length: usize) {
        // SAFETY: the block has at least that size, all of it written.
        let bytes = unsafe { std::slice::from_raw_parts(self.block, length) };
        assert!(bytes.iter().all(|byte| *byte == self.mark), "somebody else wrote into {:?}", self.layout);
    }

    fn give_back(self, memory: &SmallBlocks) {
        self.check(self.layout.size());
        // SAFETY: the block is from there, with this layout.
        unsafe { memory.dealloc(self.block, self.layout) };
    }
}

proptest! {
    #[test]
    fn nobody_writes_into_the_block_of_another(
        steps in prop::collection::vec((0..3u8, 1..3000usize, 0..8u32, any::<usize>()), 1..300)
    ) {
        let memory = SmallBlocks::new();
        let mut held: Vec<Held> = Vec::new();
        for (number, (step, size, align, which)) in steps.into_iter().enumerate() {
            let layout = Layout::from_size_align(size, 1 << align).unwrap();
            let which = which.checked_rem(held.len());
            match (step, which) {
                (1, Some(which)) => held[which].resize(&memory, size),
                (2, Some(which)) => held.swap_remove(which).give_back(&memory),
                _ => held.push(Held::new(&memory, layout, number as u8)),
            }
        }
        held.into_iter().for_each(|one| one.give_back(&memory));
    }
}

#[test]
fn what_large_blocks_leave_serves_small_ones() {
    let memory = SmallBlocks::new();
    let (large, small) = (Layout::new::<[u64; 64]>(), Layout::new::<[u64; 4]>());
    let given = Held::new(&memory, large, 1);
    let room = given.block as usize..given.block as usize + large.size();
    given.give_back(&memory);
    let pieces: Vec<Held> = (0..16).map(|mark| Held::new(&memory, small, mark)).collect();
    assert!(pieces.iter().all(|piece| room.contains(&(piece.block as usize))));
    assert_eq!(pieces.iter().map(|piece| piece.block).collect::<HashSet<_>>().len(), 16);
    pieces.into_iter().for_each(|piece| piece.give_back(&memory));
}

#[test]
fn threads_share_it_without_harm() {
    let memory = SmallBlocks::new();
    std::thread::scope(|scope| {
        for mark in 1..=4 {
            let memory = &memory;
            scope.spawn(move || {
                for turn in 0..2000usize {
                    let layout = Layout::from_size_align(turn % 600 + 1, 1).unwrap();
                    let held: Vec<Held> = (0..4).map(|_| Held::new(memory, layout, mark)).collect();
                    held.into_iter().for_each(|one| one.give_back(memory));
                }
            });
        }
    });
}
