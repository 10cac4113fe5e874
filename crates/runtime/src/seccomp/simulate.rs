//! A kernel for tests: runs filters as the real one would.

use super::assembler::{Action, MACHINE};
use crate::sys::rights::Instruction;

/// The machine language of this machine.
pub(super) const NATIVE: u32 = MACHINE;

/// Runs a filter as the kernel would.
pub(super) fn run(program: &[Instruction], machine: u32, number: u32, arguments: [u64; 6]) -> Action {
    let mut data = [0u8; 64];
    data[0..4].copy_from_slice(&number.to_le_bytes());
    data[4..8].copy_from_slice(&machine.to_le_bytes());
    for (index, argument) in arguments.iter().enumerate() {
        data[16 + 8 * index..24 + 8 * index].copy_from_slice(&argument.to_le_bytes());
    }
    let (mut at, mut accumulator) = (0usize, 0u32);
    loop {
        let instruction = program[at];
        at += 1;
        let mut jump = |holds: bool| {
            at += usize::from(if holds { instruction.jump_true } else { instruction.jump_false });
        };
        match instruction.code {
            0x20 => {
                let offset = instruction.k as usize;
                accumulator =
                    u32::from_le_bytes(data[offset..offset + 4].try_into().expect("four bytes are four"));
            }
            0x54 => accumulator &= instruction.k,
            0x05 => at += instruction.k as usize,
            0x06 => return Action(instruction.k),
            0x15 => jump(accumulator == instruction.k),
            0x25 => jump(accumulator > instruction.k),
            0x35 => jump(accumulator >= instruction.k),
            code => panic!("unknown instruction {code:#x}"),
        }
    }
}
