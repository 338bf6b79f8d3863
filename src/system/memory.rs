//! The program's memory. A large plan is thousands of small blocks, and a C library puts a header before each and rounds
//! it up to a power of two. Here they lie side by side; larger ones do so in longer steps, and what is larger than
//! those the kernel maps by itself.

use std::alloc::{GlobalAlloc, Layout};
use std::cell::UnsafeCell;
use std::hint::spin_loop;
use std::ptr::{NonNull, null_mut};
use std::sync::atomic::{AtomicBool, Ordering};

/// Sizes go up in these steps, which is also how blocks are aligned.
const STEPS: [usize; 2] = [2 * size_of::<usize>(), 512];
/// Of blocks, for each step.
const SIZES: usize = 64;
/// What is not touched costs nothing.
const CHUNK: usize = 1 << 18;
/// As it is where it is smallest.
const PAGE: usize = 4096;

/// Blocks that are given back wait for the next of their size, or of a smaller one.
pub struct SmallBlocks {
    is_taken: AtomicBool,
    stocks: UnsafeCell<[Stock; STEPS.len()]>,
}

// SAFETY: the stocks are only reached through `with_stock`, by one thread at a time.
unsafe impl Sync for SmallBlocks {}

struct Stock {
    step: usize,
    /// By size, each pointing to the next one.
    free: [Option<NonNull<FreeBlock>>; SIZES],
    chunk: *mut u8,
    chunk_left: usize,
}

struct FreeBlock {
    next: Option<NonNull<FreeBlock>>,
}

/// The stock of a block, and its size there.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Place {
    stock: usize,
    index: usize,
}

impl SmallBlocks {
    #[allow(clippy::new_without_default)]
    pub const fn new() -> SmallBlocks {
        let [words, longer] = STEPS;
        let stocks = [Stock::new(words), Stock::new(longer)];
        SmallBlocks { is_taken: AtomicBool::new(false), stocks: UnsafeCell::new(stocks) }
    }

    /// The program has one thread, so nobody ever waits here.
    fn with_stock(&self, place: Place, act: impl FnOnce(&mut Stock) -> *mut u8) -> *mut u8 {
        while self.is_taken.swap(true, Ordering::Acquire) {
            spin_loop();
        }
        // SAFETY: nobody else has set the flag and not cleared it yet; `act` allocates nothing.
        let stocks = unsafe { &mut *self.stocks.get() };
        let block = stocks.get_mut(place.stock).map_or(null_mut(), act);
        self.is_taken.store(false, Ordering::Release);
        block
    }
}

/// `None` for what the kernel maps.
fn place(layout: Layout) -> Option<Place> {
    for (stock, step) in STEPS.iter().enumerate() {
        let steps = layout.size().div_ceil(*step).max(1);
        if layout.align() <= *step && steps <= SIZES {
            return Some(Place { stock, index: steps - 1 });
        }
    }
    None
}

impl Stock {
    const fn new(step: usize) -> Stock {
        Stock { step, free: [None; SIZES], chunk: null_mut(), chunk_left: 0 }
    }

    fn take(&mut self, index: usize) -> *mut u8 {
        let size = (index + 1) * self.step;
        // What reading the configuration leaves behind is of other sizes than what planning needs.
        for larger in index..SIZES {
            let Some(block) = self.take_free(larger) else { continue };
            if let Some(rest) = (larger - index).checked_sub(1) {
                self.put_back(rest, block.wrapping_add(size));
            }
            return block;
        }
        self.cut(size)
    }

    fn take_free(&mut self, index: usize) -> Option<*mut u8> {
        let free = self.free.get_mut(index)?;
        let block = (*free)?;
        // SAFETY: only `put_back` adds to the list, blocks that are nobody's and hold a FreeBlock.
        *free = unsafe { block.as_ref() }.next;
        Some(block.as_ptr().cast())
    }

    fn put_back(&mut self, index: usize, block: *mut u8) {
        let (Some(free), Some(block)) = (self.free.get_mut(index), NonNull::new(block.cast::<FreeBlock>()))
        else {
            return;
        };
        // SAFETY: the block has room for a pointer, is aligned for one, and its owner gave it up.
        unsafe { block.write(FreeBlock { next: *free }) };
        *free = Some(block);
    }

    /// From the chunk, or a new one: what is left of the old one is lost, less than a block.
    fn cut(&mut self, size: usize) -> *mut u8 {
        if self.chunk_left < size {
            let chunk = map(CHUNK);
            if chunk.is_null() {
                return null_mut();
            }
            (self.chunk, self.chunk_left) = (chunk, CHUNK);
        }
        let block = self.chunk;
        self.chunk = block.wrapping_add(size);
        self.chunk_left -= size;
        block
    }
}

/// Null where there is no memory left.
fn map(size: usize) -> *mut u8 {
    let access = libc::PROT_READ | libc::PROT_WRITE;
    let kind = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: asks for new memory wherever the kernel likes; nothing that exists is touched.
    let mapped = unsafe { libc::mmap(null_mut(), size, access, kind, -1, 0) };
    if mapped == libc::MAP_FAILED { null_mut() } else { mapped.cast() }
}

// SAFETY: a block is as large and aligned as asked for: a multiple of its stock's step from the start of a page, or the
// start of one; it comes from and goes back to the same place, which its layout tells; and nobody else has it in between.
unsafe impl GlobalAlloc for SmallBlocks {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        match place(layout) {
            Some(place) => self.with_stock(place, |stock| stock.take(place.index)),
            None if layout.align() <= PAGE => map(layout.size()),
            None => null_mut(),
        }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        match place(layout) {
            Some(place) => {
                self.with_stock(place, |stock| {
                    stock.put_back(place.index, block);
                    null_mut()
                });
            }
            // SAFETY: the layout is that of `alloc`, so this was mapped there and is of this size.
            None => unsafe {
                libc::munmap(block.cast(), layout.size());
            },
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: the caller promises that the new size is a possible one for this alignment.
        let new_layout = unsafe { Layout::from_size_align_unchecked(new_size, layout.align()) };
        match (place(layout), place(new_layout)) {
            (None, None) => {
                // SAFETY: the block was mapped, see `dealloc`; who asks for it to grow or shrink gives up the old one.
                let moved =
                    unsafe { libc::mremap(block.cast(), layout.size(), new_size, libc::MREMAP_MAYMOVE) };
                return if moved == libc::MAP_FAILED { null_mut() } else { moved.cast() };
            }
            (old, new) if old == new => return block,
            _ => {}
        }
        // SAFETY: the new block is of its own, both hold the bytes that are copied, and the old one was ours to
        // give back.
        unsafe {
            let moved = self.alloc(new_layout);
            if !moved.is_null() {
                moved.copy_from_nonoverlapping(block, layout.size().min(new_size));
                self.dealloc(block, layout);
            }
            moved
        }
    }
}
