//! Which devices a container may use: lines for cgroup v1, a small BPF program for v2.

use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;

use crate::sys::{check, check_fd};

/// One allowed set of devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceRule {
    /// Block device; else character device.
    pub block: bool,
    /// `None`: any.
    pub major: Option<u32>,
    /// `None`: any.
    pub minor: Option<u32>,
    /// May be read.
    pub read: bool,
    /// May be written.
    pub write: bool,
    /// May be made by mknod.
    pub make: bool,
}

impl DeviceRule {
    const fn character(major: u32, minor: Option<u32>) -> Self {
        let major = Some(major);
        Self { block: false, major, minor, read: true, write: true, make: true }
    }

    /// What every container may do: make any node, use the harmless ones and terminals.
    pub fn defaults() -> Vec<Self> {
        let make =
            |block| Self { block, major: None, minor: None, read: false, write: false, make: true };
        let memory = [3, 5, 7, 8, 9].map(|minor| Self::character(1, Some(minor)));
        let terminals = [0, 1, 2].map(|minor| Self::character(5, Some(minor)));
        let mut rules = vec![make(false), make(true)];
        rules.extend(memory);
        rules.extend(terminals);
        rules.push(Self::character(136, None));
        rules
    }

    /// As devices.allow takes it.
    pub fn v1(&self) -> String {
        let number = |number: Option<u32>| number.map_or("*".into(), |n| n.to_string());
        let kind = if self.block { 'b' } else { 'c' };
        let table = [(self.read, 'r'), (self.write, 'w'), (self.make, 'm')];
        let access: String = table.iter().filter(|(on, _)| *on).map(|(_, c)| *c).collect();
        format!("{kind} {}:{} {access}", number(self.major), number(self.minor))
    }

    /// The kernel's bits: mknod 1, read 2, write 4.
    fn access(&self) -> i32 {
        self.make as i32 | (self.read as i32) << 1 | (self.write as i32) << 2
    }
}

/// One BPF instruction.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Instruction {
    code: u8,
    registers: u8,
    offset: i16,
    immediate: i32,
}

const LOAD_WORD: u8 = 0x61;
const AND_IMMEDIATE: u8 = 0x54;
const SHIFT_RIGHT: u8 = 0x74;
const MOVE_REGISTER: u8 = 0xbc;
const MOVE_IMMEDIATE: u8 = 0xb4;
const JUMP_UNEQUAL: u8 = 0x55;
const JUMP_UNEQUAL_REGISTER: u8 = 0x5d;
const EXIT: u8 = 0x95;

const fn instruction(code: u8, to: u8, from: u8, offset: i16, immediate: i32) -> Instruction {
    Instruction { code, registers: from << 4 | to, offset, immediate }
}

/// The program: r2 type, r3 access, r4 major, r5 minor; each rule that matches allows.
fn program(rules: &[DeviceRule]) -> Vec<Instruction> {
    let mut code = vec![
        instruction(LOAD_WORD, 2, 1, 0, 0),
        instruction(MOVE_REGISTER, 3, 2, 0, 0),
        instruction(AND_IMMEDIATE, 2, 0, 0, 0xffff),
        instruction(SHIFT_RIGHT, 3, 0, 0, 16),
        instruction(LOAD_WORD, 4, 1, 4, 0),
        instruction(LOAD_WORD, 5, 1, 8, 0),
    ];
    for rule in rules {
        let mut tests = vec![(2, if rule.block { 1 } else { 2 })];
        tests.extend(rule.major.map(|major| (4, major as i32)));
        tests.extend(rule.minor.map(|minor| (5, minor as i32)));
        // After the tests: three for the access, two to allow.
        let mut left = tests.len() as i16 + 4;
        for (register, value) in tests {
            code.push(instruction(JUMP_UNEQUAL, register, 0, left, value));
            left -= 1;
        }
        code.push(instruction(MOVE_REGISTER, 1, 3, 0, 0));
        code.push(instruction(AND_IMMEDIATE, 1, 0, 0, rule.access()));
        code.push(instruction(JUMP_UNEQUAL_REGISTER, 1, 3, 2, 0));
        code.push(instruction(MOVE_IMMEDIATE, 0, 0, 0, 1));
        code.push(instruction(EXIT, 0, 0, 0, 0));
    }
    code.push(instruction(MOVE_IMMEDIATE, 0, 0, 0, 0));
    code.push(instruction(EXIT, 0, 0, 0, 0));
    code
}

#[repr(C, align(8))]
#[derive(Default)]
struct LoadArguments {
    program_type: u32,
    count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
    kernel_version: u32,
    flags: u32,
}

#[repr(C, align(8))]
#[derive(Default)]
struct AttachArguments {
    target: u32,
    program: u32,
    attach_type: u32,
    flags: u32,
}

/// Loads the program of these rules and attaches it to a v2 group.
pub fn attach_program(directory: &Path, rules: &[DeviceRule]) -> io::Result<()> {
    const LOAD: libc::c_int = 5;
    const ATTACH: libc::c_int = 8;
    const TYPE_CGROUP_DEVICE: u32 = 15;
    const ATTACH_CGROUP_DEVICE: u32 = 6;
    const ALLOW_MULTI: u32 = 2;
    let code = program(rules);
    let load = LoadArguments {
        program_type: TYPE_CGROUP_DEVICE,
        count: code.len() as u32,
        instructions: code.as_ptr() as u64,
        license: c"Apache-2.0".as_ptr() as u64,
        ..LoadArguments::default()
    };
    // SAFETY: the instructions, the licence and the structure live through the call.
    let program = check_fd(unsafe {
        libc::syscall(libc::SYS_bpf, LOAD, &raw const load, size_of::<LoadArguments>())
    })?;
    let group = std::fs::File::open(directory)?;
    let attach = AttachArguments {
        target: group.as_raw_fd() as u32,
        program: program.as_raw_fd() as u32,
        attach_type: ATTACH_CGROUP_DEVICE,
        flags: ALLOW_MULTI,
    };
    // SAFETY: the structure lives through the call and both descriptors are open.
    check(unsafe {
        libc::syscall(libc::SYS_bpf, ATTACH, &raw const attach, size_of::<AttachArguments>())
    })
    .map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs a program as the kernel would, on (type, access, major, minor).
    fn run(code: &[Instruction], kind: u32, access: u32, major: u32, minor: u32) -> bool {
        let context = [access << 16 | kind, major, minor];
        let mut registers = [0_u32; 6];
        let mut at = 0_usize;
        loop {
            let step = code[at];
            at += 1;
            let (to, from) = ((step.registers & 15) as usize, (step.registers >> 4) as usize);
            let immediate = step.immediate as u32;
            match step.code {
                LOAD_WORD => registers[to] = context[step.offset as usize / 4],
                MOVE_REGISTER => registers[to] = registers[from],
                MOVE_IMMEDIATE => registers[to] = immediate,
                AND_IMMEDIATE => registers[to] &= immediate,
                SHIFT_RIGHT => registers[to] >>= immediate,
                JUMP_UNEQUAL if registers[to] != immediate => at += step.offset as usize,
                JUMP_UNEQUAL_REGISTER if registers[to] != registers[from] => {
                    at += step.offset as usize;
                }
                JUMP_UNEQUAL | JUMP_UNEQUAL_REGISTER => {}
                EXIT => return registers[0] == 1,
                other => panic!("unknown instruction {other:#x}"),
            }
        }
    }

    #[test]
    fn default_rules() {
        let code = program(&DeviceRule::defaults());
        let check = |kind: u32, access: u32, major: u32, minor: u32, expect: bool| {
            assert_eq!(run(&code, kind, access, major, minor), expect, "{kind} {major}:{minor}");
        };
        let (block, character) = (1, 2);
        check(character, 2 | 4, 1, 3, true); // null
        check(character, 2, 136, 7, true); // a terminal
        check(character, 1, 10, 229, true); // mknod of fuse
        check(character, 2, 10, 229, false); // reading fuse
        check(block, 2, 8, 0, false); // a disk
        check(block, 1, 8, 0, true);
        check(character, 2, 1, 1, false); // physical memory
    }

    #[test]
    fn lines() {
        let lines: Vec<String> = DeviceRule::defaults().iter().map(DeviceRule::v1).collect();
        assert_eq!(lines[0], "c *:* m");
        assert_eq!(lines[1], "b *:* m");
        assert_eq!(lines[2], "c 1:3 rwm");
        assert_eq!(lines.last().unwrap(), "c 136:* rwm");
    }
}
