//! A batch of changes to one table: the kernel applies it whole or not at all.

use std::io;

use super::element::{Element, encode};
use super::expression::Expression;
use super::message::{Attributes, message};
use super::socket::{ACKNOWLEDGE, APPEND, CREATE, NetfilterSocket, REQUEST};
use super::table::{ChainHook, SetSpec, TableName};

const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;
pub(super) const SUBSYSTEM: u16 = 10;
const NEW_TABLE: u16 = 0;
const DELETE_TABLE: u16 = 2;
const NEW_CHAIN: u16 = 3;
const DELETE_CHAIN: u16 = 5;
const NEW_RULE: u16 = 6;
const DELETE_RULE: u16 = 8;
const NEW_SET: u16 = 9;
const DELETE_SET: u16 = 11;
const NEW_ELEMENTS: u16 = 12;
const DELETE_ELEMENTS: u16 = 14;
/// Elements per message: the list is one attribute of at most 64 KiB.
const ELEMENTS_MAX: usize = 400;

/// Changes to one table, applied together.
pub(super) struct Batch {
    table: TableName,
    messages: Vec<Vec<u8>>,
}

impl Batch {
    /// A batch that changes a table.
    pub(super) fn change(table: TableName) -> Batch {
        Batch { table, messages: Vec::new() }
    }

    /// A batch that replaces the whole table: what was in it before is gone once this is applied.
    pub(super) fn replace(table: TableName) -> Batch {
        let mut batch = Batch::change(table);
        let name = || Attributes::default().string(1, table.name);
        // Creating it first lets the delete succeed when it was not there.
        batch.push(NEW_TABLE, CREATE, name());
        batch.push(DELETE_TABLE, 0, name());
        batch.push(NEW_TABLE, CREATE, name());
        batch
    }

    pub(super) fn add_chain(&mut self, name: &str, hook: Option<ChainHook>) {
        let mut chain = self.named(3, name);
        if let Some(hook) = hook {
            let place = Attributes::default().u32(1, hook.hook).u32(2, hook.priority as u32);
            chain = chain.nested(4, place).string(7, hook.kind);
        }
        self.push(NEW_CHAIN, CREATE, chain);
    }

    pub(super) fn delete_chain(&mut self, name: &str) {
        self.push(DELETE_CHAIN, 0, self.named(3, name));
    }

    /// Takes all rules out of a chain.
    pub(super) fn flush_chain(&mut self, name: &str) {
        self.push(DELETE_RULE, 0, self.named(2, name));
    }

    pub(super) fn add_rule(&mut self, chain: &str, expressions: &[Expression]) {
        let list = expressions.iter().fold(Attributes::default(), |list, expression| {
            list.nested(1, expression.attributes())
        });
        self.push(NEW_RULE, CREATE | APPEND, self.named(2, chain).nested(4, list));
    }

    pub(super) fn add_set(&mut self, name: &str, spec: SetSpec) {
        let id = self.messages.len() as u32;
        self.push(NEW_SET, CREATE, spec.attributes(self.named(2, name)).u32(10, id));
    }

    pub(super) fn delete_set(&mut self, name: &str) {
        self.push(DELETE_SET, 0, self.named(2, name));
    }

    pub(super) fn add_elements(&mut self, set: &str, elements: &[Element]) {
        self.push_elements(NEW_ELEMENTS, CREATE, set, elements);
    }

    pub(super) fn delete_elements(&mut self, set: &str, elements: &[Element]) {
        self.push_elements(DELETE_ELEMENTS, 0, set, elements);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Sends the batch and waits for the kernel's answers.
    pub(super) fn apply(self, socket: &NetfilterSocket) -> io::Result<()> {
        let mut bytes = message(BATCH_BEGIN, REQUEST, 0, 0, SUBSYSTEM, Attributes::default());
        let count = self.messages.len();
        bytes.extend(self.messages.into_iter().flatten());
        let end = count as u32 + 1;
        bytes.extend(message(BATCH_END, REQUEST, end, 0, SUBSYSTEM, Attributes::default()));
        socket.exchange(&bytes, count)
    }

    fn push_elements(&mut self, kind: u16, flags: u16, set: &str, elements: &[Element]) {
        for chunk in elements.chunks(ELEMENTS_MAX) {
            let list = chunk
                .iter()
                .fold(Attributes::default(), |list, element| list.nested(1, encode(element)));
            debug_assert!(list.len() < usize::from(u16::MAX));
            self.push(kind, flags, self.named(2, set).nested(3, list));
        }
    }

    /// The table and something in it.
    fn named(&self, kind: u16, name: &str) -> Attributes {
        Attributes::default().string(1, self.table.name).string(kind, name)
    }

    fn push(&mut self, kind: u16, flags: u16, attributes: Attributes) {
        let sequence = self.messages.len() as u32 + 1;
        let kind = SUBSYSTEM << 8 | kind;
        let flags = REQUEST | ACKNOWLEDGE | flags;
        self.messages.push(message(
            kind,
            flags,
            sequence,
            self.table.family.number(),
            0,
            attributes,
        ));
    }
}
