//! The program's memory. A large plan is thousands of small blocks, and the C library of our releases puts a header of
//! 16 bytes before each and rounds up to powers of two. Here they lie side by side; larger ones are the C library's.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::UnsafeCell;
use std::hint::spin_loop;
use std::ptr::{NonNull, null_mut};
use std::sync::atomic::{AtomicBool, Ordering};

/// Sizes go up in steps of two words, which is also how blocks are aligned.
const STEP: usize = 2 * size_of::<usize>();
const SIZES: usize = 64;
/// What is not touched costs nothing.
const CHUNK: usize = 1 << 18;

/// Blocks that are given back wait for the next of their size, or of a smaller one.
pub struct SmallBlocks {
    is_taken: AtomicBool,
    stock: UnsafeCell<Stock>,
}

// SAFETY: the stock is only reached through `with_stock`, by one thread at a time.
unsafe impl Sync for SmallBlocks {}

struct Stock {
    /// By size, each pointing to the next one.
    free: [Option<NonNull<FreeBlock>>; SIZES],
    chunk: *mut u8,
    chunk_left: usize,
}

struct FreeBlock {
    next: Option<NonNull<FreeBlock>>,
}

impl SmallBlocks {
    #[allow(clippy::new_without_default)]
    pub const fn new() -> SmallBlocks {
        let stock = Stock { free: [None; SIZES], chunk: null_mut(), chunk_left: 0 };
        SmallBlocks { is_taken: AtomicBool::new(false), stock: UnsafeCell::new(stock) }
    }

    /// The program has one thread, so nobody ever waits here.
    fn with_stock<T>(&self, act: impl FnOnce(&mut Stock) -> T) -> T {
        while self.is_taken.swap(true, Ordering::Acquire) {
            spin_loop();
        }
        // SAFETY: nobody else has set the flag and not cleared it yet; `act` allocates nothing.
        let result = act(unsafe { &mut *self.stock.get() });
        self.is_taken.store(false, Ordering::Release);
        result
    }
}

/// The place of this size among the stock; `None` for what the C library gives.
fn size_index(layout: Layout) -> Option<usize> {
    let steps = layout.size().div_ceil(STEP).max(1);
    (layout.align() <= STEP && steps <= SIZES).then(|| steps - 1)
}

impl Stock {
    fn take(&mut self, index: usize) -> *mut u8 {
        let size = (index + 1) * STEP;
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
            let chunk = map_chunk();
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
fn map_chunk() -> *mut u8 {
    let access = libc::PROT_READ | libc::PROT_WRITE;
    let kind = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: asks for new memory wherever the kernel likes; nothing that exists is touched.
    let chunk = unsafe { libc::mmap(null_mut(), CHUNK, access, kind, -1, 0) };
    if chunk == libc::MAP_FAILED { null_mut() } else { chunk.cast() }
}

// SAFETY: a block is as large and aligned as asked for: a multiple of STEP from the start of a page; it comes from and goes
// back to the same list, since its layout says which; and nobody else has it in between.
unsafe impl GlobalAlloc for SmallBlocks {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        match size_index(layout) {
            Some(index) => self.with_stock(|stock| stock.take(index)),
            // SAFETY: the caller's promise is the one asked for here.
            None => unsafe { System.alloc(layout) },
        }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        match size_index(layout) {
            Some(index) => self.with_stock(|stock| stock.put_back(index, block)),
            // SAFETY: the layout is that of `alloc`, so the block is from there.
            None => unsafe { System.dealloc(block, layout) },
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: the caller promises that the new size is a possible one for this alignment.
        let new_layout = unsafe { Layout::from_size_align_unchecked(new_size, layout.align()) };
        match (size_index(layout), size_index(new_layout)) {
            // SAFETY: the block is from there, see `dealloc`.
            (None, None) => return unsafe { System.realloc(block, layout, new_size) },
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
