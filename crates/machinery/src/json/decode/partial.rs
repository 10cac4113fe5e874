//! Reading no more than what is wanted.

use super::super::parts::Parts;
use super::super::scan::check_depth;
use super::super::{Error, Report};
use super::{Decoder, Order};
use crate::Value;

impl Decoder<'_, '_, '_> {
    /// The wanted parts of a whole body.
    pub(in super::super) fn of_parts(bytes: &[u8], parts: &Parts) -> Result<Value, Error> {
        let mut report = Report::ignoring();
        let mut decoder = Decoder::new(bytes, &mut report);
        let value = decoder.parts(parts, 0)?;
        decoder.scanner.end()?;
        Ok(value)
    }

    fn parts(&mut self, parts: &Parts, depth: usize) -> Result<Value, Error> {
        if matches!(parts, Parts::All) {
            return self.free(Order::AsWritten, depth);
        }
        match self.scanner.begin_value()? {
            b'{' => {
                check_depth(depth)?;
                self.scanner.bump();
                self.members(parts, depth)
            }
            b'[' => {
                check_depth(depth)?;
                self.scanner.bump();
                let base = self.items.len();
                let mut more = self.scanner.first_item();
                while more {
                    let item = self.parts(parts, depth + 1)?;
                    self.items.push(item);
                    more = self.scanner.next_item()?;
                }
                Ok(Value::Array(self.items.drain(base..).collect()))
            }
            _ => self.free(Order::AsWritten, depth),
        }
    }

    fn members(&mut self, parts: &Parts, depth: usize) -> Result<Value, Error> {
        let base = self.members.len();
        let mut more = self.scanner.first_member()?;
        while more {
            let name = self.scanner.raw_key()?;
            match parts.of(name) {
                Some((name, wanted)) => {
                    let value = self.parts(wanted, depth + 1)?;
                    let name = self.names.get((*name).into());
                    self.members.push((name, value));
                }
                None => self.scanner.skip_value(depth + 1)?,
            }
            more = self.scanner.next_member()?;
        }
        Ok(Value::Object(self.settle(base, Order::AsWritten)))
    }
}
