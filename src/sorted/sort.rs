//! A sort that is compiled once for all types, on their places: those of the standard library cost 600 bytes for
//! every type.

use std::cmp::Ordering;

/// Equal items keep their order.
pub fn sort_by<T>(items: &mut [T], compare: &dyn Fn(&T, &T) -> Ordering) {
    let count = items.len();
    sort(&mut Items { items, compare }, count);
}

/// What the one sort knows of a list.
trait Rows {
    fn compare(&self, one: usize, other: usize) -> Ordering;
    fn swap(&mut self, one: usize, other: usize);
}

struct Items<'a, T> {
    items: &'a mut [T],
    compare: &'a dyn Fn(&T, &T) -> Ordering,
}

impl<T> Rows for Items<'_, T> {
    fn compare(&self, one: usize, other: usize) -> Ordering {
        (self.compare)(&self.items[one], &self.items[other])
    }

    fn swap(&mut self, one: usize, other: usize) {
        self.items.swap(one, other);
    }
}

fn sort(rows: &mut dyn Rows, count: usize) {
    let mut origins: Vec<usize> = (0..count).collect();
    origins.sort_unstable_by(|one, other| rows.compare(*one, *other).then(one.cmp(other)));
    // Each item goes where it belongs, and what was there goes on, until a circle is closed.
    for start in 0..count {
        let mut place = start;
        loop {
            let origin = std::mem::replace(&mut origins[place], place);
            if origin == start {
                break;
            }
            rows.swap(place, origin);
            place = origin;
        }
    }
}
