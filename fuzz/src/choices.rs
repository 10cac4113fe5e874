//! Choices drawn from an input: the bytes decide, and where they end the least is chosen, so that every input is a whole
//! document and small edits make small differences.

/// Bytes that decide.
pub struct Choices<'a> {
    rest: &'a [u8],
}

impl<'a> Choices<'a> {
    /// From an input.
    pub fn new(input: &'a [u8]) -> Choices<'a> {
        Choices { rest: input }
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        let Some((first, rest)) = self.rest.split_first() else { return 0 };
        self.rest = rest;
        let mut number = usize::from(*first);
        if bound > 256
            && let Some((second, rest)) = self.rest.split_first()
        {
            self.rest = rest;
            number |= usize::from(*second) << 8;
        }
        number % bound.max(1)
    }

    /// One of these.
    pub fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())].clone()
    }

    /// Whether something is to be: once in `of` times, and never once the bytes have ended.
    pub fn once_in(&mut self, of: usize) -> bool {
        !self.rest.is_empty() && self.below(of) == 0
    }
}
