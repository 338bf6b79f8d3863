//! The sorted map and set against the standard ones, whatever order things come and go in.

use std::collections::{BTreeMap, BTreeSet};

use mwan3::sorted::{SortedMap, SortedSet, sort_by};
use proptest::prelude::*;

proptest! {
    #[test]
    fn a_sorted_map_does_what_the_standard_map_does(steps in prop::collection::vec((0..6u8, 0..12u8, 0..99u8), 0..60)) {
        let (mut map, mut standard) = (SortedMap::new(), BTreeMap::new());
        for (step, key, value) in steps {
            let key = key.to_string();
            match step {
                0 => {
                    map.insert(key.clone(), value);
                    standard.insert(key, value);
                }
                1 => prop_assert_eq!(map.replace(key.clone(), value), standard.insert(key, value)),
                2 => prop_assert_eq!(*map.or_insert(key.clone(), value), *standard.entry(key).or_insert(value)),
                3 => prop_assert_eq!(map.remove(&key), standard.remove(&key)),
                4 => {
                    map.retain(|name, known| *name != key && *known != value);
                    standard.retain(|name, known| *name != key && *known != value);
                }
                _ => prop_assert_eq!(map.get_mut(&key).map(|known| std::mem::replace(known, value)),
                    standard.get_mut(&key).map(|known| std::mem::replace(known, value))),
            }
            prop_assert_eq!(map.len(), standard.len());
            prop_assert!(map.iter().eq(standard.iter()), "{:?} for {:?}", map, standard);
        }
        prop_assert!(map.into_iter().eq(standard));
    }

    #[test]
    fn a_sorted_set_does_what_the_standard_set_does(steps in prop::collection::vec((any::<bool>(), 0..30u32), 0..90)) {
        let (mut set, mut standard) = (SortedSet::new(), BTreeSet::new());
        for (comes, item) in steps {
            match comes {
                true => prop_assert_eq!(set.insert(item), standard.insert(item)),
                false => prop_assert_eq!(set.remove(&item), standard.remove(&item)),
            }
            prop_assert_eq!(set.contains(&item), comes);
            prop_assert_eq!(set.first(), standard.first());
            prop_assert!(set.iter().eq(standard.iter()), "{:?} for {:?}", set, standard);
        }
    }

    #[test]
    fn a_sort_does_what_the_stable_standard_one_does(mut items in prop::collection::vec((0..9u8, any::<u16>()), 0..90)) {
        let mut standard = items.clone();
        standard.sort_by_key(|(key, _)| *key);
        sort_by(&mut items, &|one, other| one.0.cmp(&other.0));
        prop_assert_eq!(items, standard);
    }
}

#[test]
fn maps_are_ordered_as_lists_of_their_pairs() {
    let of = |pairs: &[(u16, u8)]| pairs.iter().copied().collect::<SortedMap<u16, u8>>();
    let ascending = [of(&[]), of(&[(1, 1)]), of(&[(1, 1), (2, 0)]), of(&[(1, 2)]), of(&[(2, 0)])];
    assert!(ascending.is_sorted());
}
