//! Changes to one table, taken by the kernel all together.

use super::expression::Expression;
use super::set::{Element, Set};
use crate::names;
use crate::netlink::Result;
use crate::netlink::message::{Message, flags};

const SUBSYSTEM: u16 = 10 << 8;
pub(super) const NEW_TABLE: u16 = SUBSYSTEM;
pub(super) const GET_TABLE: u16 = SUBSYSTEM | 1;
const DELETE_TABLE: u16 = SUBSYSTEM | 2;
pub(super) const NEW_CHAIN: u16 = SUBSYSTEM | 3;
pub(super) const GET_CHAIN: u16 = SUBSYSTEM | 4;
pub(super) const DELETE_CHAIN: u16 = SUBSYSTEM | 5;
pub(super) const NEW_RULE: u16 = SUBSYSTEM | 6;
const DELETE_RULE: u16 = SUBSYSTEM | 8;
pub(super) const NEW_SET: u16 = SUBSYSTEM | 9;
const DELETE_SET: u16 = SUBSYSTEM | 11;
pub(super) const NEW_ELEMENTS: u16 = SUBSYSTEM | 12;
pub(super) const GET_ELEMENTS: u16 = SUBSYSTEM | 13;
pub(super) const DELETE_ELEMENTS: u16 = SUBSYSTEM | 14;
const BEGIN: u16 = 16;
const END: u16 = 17;

/// The family of tables that see IPv4 and IPv6.
const INET: u8 = 1;
/// How many bytes of elements go into one message: an attribute holds less than 64 KiB.
const ELEMENTS_PER_MESSAGE: usize = 48 << 10;

/// What a base chain may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChainKind {
    /// Let through or not.
    Filter,
    /// Translate addresses; sees only the first packet of a flow.
    Nat,
}

/// Where in a packet's way a base chain stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    /// As it came in.
    Prerouting,
    /// For this machine.
    Input,
    /// From one link to another.
    Forward,
    /// From this machine.
    Output,
    /// As it goes out.
    Postrouting,
}

/// A chain the kernel calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BaseChain<'a> {
    /// Its name.
    pub name: &'a str,
    /// What it may do.
    pub kind: ChainKind,
    /// Where it stands.
    pub hook: Hook,
    /// Before and after which others.
    pub priority: i32,
}

/// Changes to one table.
#[derive(Debug)]
pub struct Batch {
    table: String,
    changes: Vec<Change>,
    next_set: u32,
}

/// One of them.
#[derive(Clone, Debug)]
pub(super) struct Change {
    /// What kind of thing it is about.
    what: &'static str,
    /// The name of the chain or set it is about.
    name: String,
    message: Message,
}

impl Change {
    /// The name of the chain or set it is about.
    pub(super) fn name(&self) -> &str {
        &self.name
    }
}

impl Batch {
    /// No changes yet.
    pub fn new(table: &str) -> Batch {
        Batch { table: table.to_owned(), changes: Vec::new(), next_set: 1 }
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// The table's name.
    pub fn table(&self) -> &str {
        &self.table
    }

    /// Makes the table, or leaves it as it is.
    pub fn add_table(&mut self) {
        let mut message = start(NEW_TABLE, flags::CREATE);
        message.text(1, &self.table);
        self.push("table", "", message);
    }

    /// Removes the table with all that is in it.
    pub fn remove_table(&mut self) {
        let mut message = start(DELETE_TABLE, 0);
        message.text(1, &self.table);
        self.push("removal of table", "", message);
    }

    /// Makes the table anew: whatever it held is gone.
    pub fn replace_table(&mut self) {
        self.add_table();
        self.remove_table();
        self.add_table();
    }

    /// Makes a chain the kernel calls. What its rules do not decide passes.
    pub fn add_base_chain(&mut self, chain: BaseChain<'_>) {
        let mut message = start(NEW_CHAIN, flags::CREATE);
        message.text(1, &self.table).text(3, chain.name);
        let hook = match chain.hook {
            Hook::Prerouting => 0,
            Hook::Input => 1,
            Hook::Forward => 2,
            Hook::Output => 3,
            Hook::Postrouting => 4,
        };
        message.nest(4, |nested| {
            nested.big(1, hook).attribute(2, &chain.priority.to_be_bytes());
        });
        message.big(5, 1).text(7, if chain.kind == ChainKind::Nat { "nat" } else { "filter" });
        self.push("chain", chain.name, message);
    }

    /// Makes a chain that rules and maps lead to, or leaves it as it is.
    pub fn add_chain(&mut self, name: &str) {
        let mut message = start(NEW_CHAIN, flags::CREATE);
        message.text(1, &self.table).text(3, name);
        self.push("chain", name, message);
    }

    /// Removes a chain nobody leads to any more, with its rules.
    pub fn remove_chain(&mut self, name: &str) {
        self.clear_chain(name);
        let mut message = start(DELETE_CHAIN, 0);
        message.text(1, &self.table).text(3, name);
        self.push("removal of chain", name, message);
    }

    /// Removes the rules of a chain.
    pub fn clear_chain(&mut self, name: &str) {
        let mut message = start(DELETE_RULE, 0);
        message.text(1, &self.table).text(2, name);
        self.push("clearing of chain", name, message);
    }

    /// Appends a rule to a chain. The comment is for those who list the rules.
    pub fn add_rule(&mut self, chain: &str, comment: &str, expressions: &[Expression]) {
        let mut message = start(NEW_RULE, flags::CREATE | flags::APPEND);
        message.text(1, &self.table).text(2, chain);
        message.nest(4, |list| expressions.iter().for_each(|expression| expression.write(list)));
        if !comment.is_empty() {
            let text = &comment.as_bytes()[..comment.len().min(120)];
            let mut note = vec![0, text.len() as u8 + 1];
            note.extend_from_slice(text);
            note.push(0);
            message.attribute(7, &note);
        }
        self.push("rule in chain", chain, message);
    }

    /// Makes a set or map.
    pub fn add_set(&mut self, set: Set<'_>) {
        let mut message = start(NEW_SET, flags::CREATE);
        message.text(1, &self.table);
        set.describe(&mut message);
        message.big(10, self.next_set);
        self.next_set += 1;
        self.push("set", set.name, message);
    }

    /// Removes a set nobody uses any more.
    pub fn remove_set(&mut self, name: &str) {
        let mut message = start(DELETE_SET, 0);
        message.text(1, &self.table).text(2, name);
        self.push("removal of set", name, message);
    }

    /// Adds elements. One that is there with the same value stays; with another value the batch fails.
    pub fn add_elements(&mut self, set: &str, elements: impl IntoIterator<Item = Element>) {
        self.elements(NEW_ELEMENTS, flags::CREATE, set, elements);
    }

    /// Removes elements, which must be there.
    pub fn remove_elements(&mut self, set: &str, elements: impl IntoIterator<Item = Element>) {
        self.elements(DELETE_ELEMENTS, 0, set, elements);
    }

    /// Removes all elements of a set.
    pub fn clear_set(&mut self, set: &str) {
        let mut message = start(DELETE_ELEMENTS, 0);
        message.text(1, &self.table).text(2, set);
        self.push("clearing of set", set, message);
    }

    fn elements(&mut self, kind: u16, more: u16, set: &str, elements: impl IntoIterator<Item = Element>) {
        let mut elements = elements.into_iter().peekable();
        while elements.peek().is_some() {
            let mut message = start(kind, more);
            message.text(1, &self.table).text(2, set).nest(3, |list| {
                let begin = list.len();
                while list.len() - begin < ELEMENTS_PER_MESSAGE
                    && let Some(element) = elements.next()
                {
                    element.write(list);
                }
            });
            self.push("elements of", set, message);
        }
    }

    fn push(&mut self, what: &'static str, name: &str, message: Message) {
        self.changes.push(Change { what, name: name.to_owned(), message });
    }

    /// Adds a change of another batch for the same table.
    pub(super) fn add(&mut self, change: Change) {
        self.changes.push(change);
    }

    /// Adds the changes of another batch for the same table. Only one of them may make sets.
    pub(super) fn append(&mut self, other: Batch) {
        self.changes.extend(other.changes);
    }

    /// The changes that are messages of one kind.
    pub(super) fn only(&self, kind: u16) -> impl Iterator<Item = &Change> {
        self.changes.iter().filter(move |change| change.message.kind() == kind)
    }

    /// A number that differs if the changes do.
    pub(super) fn fingerprint(&self) -> u64 {
        let bytes: Vec<u8> = self.changes.iter().flat_map(|change| change.message.bytes()).copied().collect();
        names::hash(&bytes)
    }

    /// The packet for the kernel, numbered from `first`, and what each number is about.
    pub(super) fn finish(self, first: u32) -> Result<(Vec<u8>, Vec<String>)> {
        let mut packet = bracket(BEGIN).finish(first)?;
        let mut subjects = vec!["the beginning of a batch".to_owned()];
        for Change { what, name, message } in self.changes {
            packet.extend_from_slice(&message.finish(first.wrapping_add(subjects.len() as u32))?);
            let space = if name.is_empty() { "" } else { " " };
            subjects.push(format!("table {}: {what}{space}{name}", self.table));
        }
        packet.extend_from_slice(&bracket(END).finish(first.wrapping_add(subjects.len() as u32))?);
        subjects.push("the end of a batch".to_owned());
        Ok((packet, subjects))
    }

    /// How many numbers it needs.
    pub(super) fn count(&self) -> u32 {
        self.changes.len() as u32 + 2
    }
}

/// A message about tables of our family.
pub(super) fn start(kind: u16, more: u16) -> Message {
    let mut message = Message::new(kind, flags::REQUEST | more);
    message.put(&[INET, 0, 0, 0]);
    message
}

fn bracket(kind: u16) -> Message {
    let mut message = Message::new(kind, flags::REQUEST);
    message.put(&[0, 0, 0, (SUBSYSTEM >> 8) as u8]);
    message
}
