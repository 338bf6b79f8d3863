//! A map and a set that are sorted vectors: for the small tables this program is made of. The standard
//! B-trees cost up to 10 KB of flash for every pair of types, these a few hundred bytes. Keys that come in
//! order are appended; others move what is behind them, so what may be long is sorted before it is put in.

mod sort;

use std::cmp::Ordering;
use std::fmt::{Debug, Formatter};

pub use sort::sort_by;

/// What is looked up: text by `&str`, however it is kept, so that one search serves all who ask.
pub trait Key {
    type Sought: Ord + ?Sized;
    fn sought(&self) -> &Self::Sought;
}

impl Key for String {
    type Sought = str;

    fn sought(&self) -> &str {
        self
    }
}

impl<T: Ord + ?Sized> Key for &T {
    type Sought = T;

    fn sought(&self) -> &T {
        self
    }
}

/// Looked up by themselves.
macro_rules! plain_keys {
    ($($key:ty $(, $part:ident)*;)*) => {$(
        impl<$($part: Ord),*> $crate::sorted::Key for $key {
            type Sought = Self;

            fn sought(&self) -> &Self {
                self
            }
        }
    )*};
}

plain_keys! { u16; u32; u64; usize; i32; std::net::IpAddr; (A, B), A, B; (A, B, C), A, B, C; }

pub(crate) use plain_keys;

/// Keys and values stand apart: what finds and puts in a key is then the same code whatever its value is.
#[derive(Clone, PartialEq, Eq)]
pub struct SortedMap<K, V> {
    keys: SortedSet<K>,
    values: Vec<V>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SortedSet<T> {
    items: Vec<T>,
}

impl<K, V> SortedMap<K, V> {
    pub const fn new() -> Self {
        SortedMap { keys: SortedSet::new(), values: Vec::new() }
    }

    pub fn len(&self) -> usize {
        self.values.len()
    }

    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    pub fn clear(&mut self) {
        self.keys.items.clear();
        self.values.clear();
    }

    pub fn iter(&self) -> Iter<'_, K, V> {
        self.keys.iter().zip(&self.values)
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = (&K, &mut V)> {
        self.keys.iter().zip(&mut self.values)
    }

    pub fn keys(&self) -> std::slice::Iter<'_, K> {
        self.keys.iter()
    }

    pub fn values(&self) -> std::slice::Iter<'_, V> {
        self.values.iter()
    }

    pub fn values_mut(&mut self) -> std::slice::IterMut<'_, V> {
        self.values.iter_mut()
    }

    pub fn into_values(self) -> std::vec::IntoIter<V> {
        self.values.into_iter()
    }

    pub fn retain(&mut self, mut keeps: impl FnMut(&K, &mut V) -> bool) {
        let mut place = 0;
        while let (Some(key), Some(value)) = (self.keys.items.get(place), self.values.get_mut(place)) {
            if keeps(key, value) {
                place += 1;
            } else {
                self.keys.items.remove(place);
                self.values.remove(place);
            }
        }
    }
}

impl<K: Key, V> SortedMap<K, V> {
    pub fn get(&self, key: &K::Sought) -> Option<&V> {
        self.values.get(self.keys.place(key).ok()?)
    }

    pub fn get_mut(&mut self, key: &K::Sought) -> Option<&mut V> {
        self.values.get_mut(self.keys.place(key).ok()?)
    }

    pub fn contains_key(&self, key: &K::Sought) -> bool {
        self.keys.contains(key)
    }

    pub fn insert(&mut self, key: K, value: V) {
        match self.keys.put(key) {
            Ok(place) => self.values[place] = value,
            Err(place) => self.values.insert(place, value),
        }
    }

    /// The value that was there before.
    pub fn replace(&mut self, key: K, value: V) -> Option<V> {
        match self.keys.put(key) {
            Ok(place) => Some(std::mem::replace(&mut self.values[place], value)),
            Err(place) => {
                self.values.insert(place, value);
                None
            }
        }
    }

    /// The value of this key; this one from now on, if it had none.
    pub fn or_insert(&mut self, key: K, value: V) -> &mut V {
        let place = self.keys.put(key).unwrap_or_else(|place| {
            self.values.insert(place, value);
            place
        });
        &mut self.values[place]
    }

    pub fn or_default(&mut self, key: K) -> &mut V
    where
        V: Default,
    {
        self.or_insert(key, V::default())
    }

    pub fn remove(&mut self, key: &K::Sought) -> Option<V> {
        let place = self.keys.place(key).ok()?;
        self.keys.items.remove(place);
        Some(self.values.remove(place))
    }
}

impl<T> SortedSet<T> {
    pub const fn new() -> Self {
        SortedSet { items: Vec::new() }
    }

    pub fn len(&self) -> usize {
        self.items.len()
    }

    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    pub fn first(&self) -> Option<&T> {
        self.items.first()
    }

    pub fn iter(&self) -> std::slice::Iter<'_, T> {
        self.items.iter()
    }
}

impl<T: Key> SortedSet<T> {
    pub fn contains(&self, item: &T::Sought) -> bool {
        self.place(item).is_ok()
    }

    /// False if it was there already.
    pub fn insert(&mut self, item: T) -> bool {
        self.put(item).is_err()
    }

    pub fn remove(&mut self, item: &T::Sought) -> bool {
        let place = self.place(item);
        if let Ok(place) = place {
            self.items.remove(place);
        }
        place.is_ok()
    }

    /// Where it was already, or where it is now.
    fn put(&mut self, item: T) -> Result<usize, usize> {
        let place = self.place(item.sought());
        if let Err(place) = place {
            self.items.insert(place, item);
        }
        place
    }

    /// Where it is, or where it would belong. The search of the standard library compares in two places.
    fn place(&self, item: &T::Sought) -> Result<usize, usize> {
        let (mut from, mut to) = (0, self.items.len());
        while from < to {
            let middle = from + (to - from) / 2;
            match self.items[middle].sought().cmp(item) {
                Ordering::Less => from = middle + 1,
                Ordering::Equal => return Ok(middle),
                Ordering::Greater => to = middle,
            }
        }
        Err(from)
    }
}

impl<K, V> Default for SortedMap<K, V> {
    fn default() -> Self {
        SortedMap::new()
    }
}

impl<T> Default for SortedSet<T> {
    fn default() -> Self {
        SortedSet::new()
    }
}

/// For tests: panics where the key is not there, as the standard maps do.
impl<K: Key, V> std::ops::Index<&K::Sought> for SortedMap<K, V> {
    type Output = V;

    fn index(&self, key: &K::Sought) -> &V {
        match self.get(key) {
            Some(value) => value,
            None => panic!("no such key"),
        }
    }
}

impl<K: Key, V> FromIterator<(K, V)> for SortedMap<K, V> {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        let mut map = SortedMap::new();
        map.extend(entries);
        map
    }
}

impl<K: Key, V> Extend<(K, V)> for SortedMap<K, V> {
    fn extend<I: IntoIterator<Item = (K, V)>>(&mut self, entries: I) {
        for (key, value) in entries {
            self.insert(key, value);
        }
    }
}

impl<K: Key, V, const N: usize> From<[(K, V); N]> for SortedMap<K, V> {
    fn from(entries: [(K, V); N]) -> Self {
        entries.into_iter().collect()
    }
}

impl<T: Key> FromIterator<T> for SortedSet<T> {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        let mut set = SortedSet::new();
        for item in items {
            set.insert(item);
        }
        set
    }
}

type Iter<'a, K, V> = std::iter::Zip<std::slice::Iter<'a, K>, std::slice::Iter<'a, V>>;

impl<'a, K, V> IntoIterator for &'a SortedMap<K, V> {
    type Item = (&'a K, &'a V);
    type IntoIter = Iter<'a, K, V>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<K, V> IntoIterator for SortedMap<K, V> {
    type Item = (K, V);
    type IntoIter = std::iter::Zip<std::vec::IntoIter<K>, std::vec::IntoIter<V>>;

    fn into_iter(self) -> Self::IntoIter {
        self.keys.into_iter().zip(self.values)
    }
}

impl<'a, T> IntoIterator for &'a SortedSet<T> {
    type Item = &'a T;
    type IntoIter = std::slice::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.items.iter()
    }
}

impl<T> IntoIterator for SortedSet<T> {
    type Item = T;
    type IntoIter = std::vec::IntoIter<T>;

    fn into_iter(self) -> Self::IntoIter {
        self.items.into_iter()
    }
}

/// As of lists of pairs.
impl<K: Ord, V: Ord> Ord for SortedMap<K, V> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.iter().cmp(other.iter())
    }
}

impl<K: Ord, V: Ord> PartialOrd for SortedMap<K, V> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<K: Debug, V: Debug> Debug for SortedMap<K, V> {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.debug_map().entries(self).finish()
    }
}
