//! Items in exactly as much memory as they need. A document is read once and kept; spare room in each of its many small
//! lists, and the place where that room is counted, would be a large part of what it takes.

use std::ops::{Deref, DerefMut};

/// Items in order, without room for more. Adding one finds room first: allocators have blocks of some sizes only, so
/// mostly the block at hand is large enough.
#[derive(Clone, Debug, PartialEq)]
pub struct Exact<T>(Box<[T]>);

impl<T> Exact<T> {
    /// No items.
    pub fn new() -> Exact<T> {
        Exact::default()
    }

    /// Adds an item at the end.
    pub fn push(&mut self, item: T) {
        self.insert(self.len(), item);
    }

    /// Adds an item at a position, which may be the end.
    pub fn insert(&mut self, position: usize, item: T) {
        self.edit(|items| {
            items.reserve_exact(1);
            items.insert(position, item);
        });
    }

    /// Takes the item at a position away.
    pub fn remove(&mut self, position: usize) -> T {
        self.edit(|items| items.remove(position))
    }

    /// Keeps the items that `keep` answers true for.
    pub fn retain(&mut self, mut keep: impl FnMut(&T) -> bool) {
        self.retain_mut(|item| keep(item));
    }

    /// Keeps the items that `keep` answers true for.
    pub fn retain_mut(&mut self, keep: impl FnMut(&mut T) -> bool) {
        self.edit(|items| items.retain_mut(keep));
    }

    /// Leaves no item.
    pub fn clear(&mut self) {
        *self = Exact::new();
    }

    /// Changes the items as a vector, whatever that needs.
    pub fn edit<R>(&mut self, change: impl FnOnce(&mut Vec<T>) -> R) -> R {
        let mut items = std::mem::take(self).into_vec();
        let answer = change(&mut items);
        *self = Exact::from(items);
        answer
    }

    /// The items, as what can grow.
    pub fn into_vec(self) -> Vec<T> {
        self.0.into_vec()
    }
}

impl<T> Default for Exact<T> {
    fn default() -> Exact<T> {
        Exact(Box::default())
    }
}

impl<T> Deref for Exact<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<T> DerefMut for Exact<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.0
    }
}

impl<T> From<Vec<T>> for Exact<T> {
    fn from(items: Vec<T>) -> Exact<T> {
        Exact(items.into_boxed_slice())
    }
}

impl<T> FromIterator<T> for Exact<T> {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Exact<T> {
        Exact(items.into_iter().collect())
    }
}

impl<T> Extend<T> for Exact<T> {
    fn extend<I: IntoIterator<Item = T>>(&mut self, items: I) {
        self.edit(|all| all.extend(items));
    }
}

impl<T> IntoIterator for Exact<T> {
    type Item = T;
    type IntoIter = std::vec::IntoIter<T>;

    fn into_iter(self) -> Self::IntoIter {
        self.into_vec().into_iter()
    }
}

impl<'a, T> IntoIterator for &'a Exact<T> {
    type Item = &'a T;
    type IntoIter = std::slice::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

impl<'a, T> IntoIterator for &'a mut Exact<T> {
    type Item = &'a mut T;
    type IntoIter = std::slice::IterMut<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter_mut()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_come_and_go_as_in_a_vector() {
        let mut items: Exact<u32> = Exact::new();
        assert!(items.is_empty());
        items.extend([1, 2, 4]);
        items.insert(2, 3);
        items.push(5);
        assert_eq!(items[..], [1, 2, 3, 4, 5]);
        assert_eq!(items.remove(0), 1);
        items.retain(|item| item % 2 == 1);
        assert_eq!(items.clone().into_vec(), [3, 5]);
        items.edit(|all| all.rotate_left(1));
        assert_eq!(items.into_iter().collect::<Vec<u32>>(), [5, 3]);
    }

    #[test]
    #[should_panic(expected = "insertion index")]
    fn an_item_is_not_added_behind_the_end() {
        Exact::from(vec![1]).insert(2, 2);
    }
}
