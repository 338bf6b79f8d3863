//! The few BPF instructions we need, as values, and their encoding for this machine. Jumps go forward to
//! labels; the distance is worked out when the program is complete.

use crate::sorted::{SortedMap, plain_keys};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Register {
    /// The verdict, at exit.
    R0,
    /// The context, at entry; the argument of a call.
    R1,
    R2,
    R3,
    R4,
}

plain_keys! { Label; }

/// A place in a program that jumps go to; each program gives the names their meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Label {
    Allow,
    Refuse,
    MappedIpv4,
}

/// `struct bpf_insn`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instruction {
    opcode: u8,
    destination: u8,
    source: u8,
    offset: i16,
    immediate: i32,
}

#[derive(Clone, Debug, Default)]
pub struct Assembly {
    instructions: Vec<Instruction>,
    jumps: Vec<(usize, Label)>,
    labels: SortedMap<Label, usize>,
}

impl Instruction {
    pub const BYTES: usize = 8;

    pub fn to_ne_bytes(self) -> [u8; Instruction::BYTES] {
        // The registers are two C bit fields of four bits, destination first: the C ABI fills a byte from
        // its low end on little-endian machines, and from its high end on big-endian ones.
        let registers = if cfg!(target_endian = "little") {
            self.source << 4 | self.destination
        } else {
            self.destination << 4 | self.source
        };
        let [offset_0, offset_1] = self.offset.to_ne_bytes();
        let [immediate_0, immediate_1, immediate_2, immediate_3] = self.immediate.to_ne_bytes();
        [self.opcode, registers, offset_0, offset_1, immediate_0, immediate_1, immediate_2, immediate_3]
    }
}

impl Assembly {
    /// `into` = the 32-bit context field at `offset`; the context is in R1.
    pub fn load_field(&mut self, into: Register, offset: i16) {
        self.push(0x61, into, Register::R1, offset, 0);
    }

    pub fn store_field(&mut self, offset: i16, from: Register) {
        self.push(0x63, Register::R1, from, offset, 0);
    }

    /// Sets the low 32 bits and clears the others.
    pub fn set(&mut self, register: Register, value: u32) {
        self.push(0xb4, register, Register::R0, 0, value as i32);
    }

    /// For the arguments of calls, where the sign counts.
    pub fn set_signed(&mut self, register: Register, value: i32) {
        self.push(0xb7, register, Register::R0, 0, value);
    }

    pub fn or(&mut self, register: Register, other: Register) {
        self.push(0x4f, register, other, 0, 0);
    }

    pub fn shift_right(&mut self, register: Register, bits: i32) {
        self.push(0x77, register, Register::R0, 0, bits);
    }

    /// Turns a 32-bit field in network order into its number.
    pub fn from_network_order(&mut self, register: Register) {
        self.push(0xdc, register, Register::R0, 0, 32);
    }

    pub fn call(&mut self, function: i32) {
        self.push(0x85, Register::R0, Register::R0, 0, function);
    }

    pub fn exit_with(&mut self, verdict: u32) {
        self.set(Register::R0, verdict);
        self.push(0x95, Register::R0, Register::R0, 0, 0);
    }

    /// `value` below 2^31: the kernel extends its sign.
    pub fn jump_if_equal(&mut self, register: Register, value: u32, to: Label) {
        self.jump_by(0x15, register, value, to);
    }

    pub fn jump_unless_equal(&mut self, register: Register, value: u32, to: Label) {
        self.jump_by(0x55, register, value, to);
    }

    pub fn jump(&mut self, to: Label) {
        self.jump_by(0x05, Register::R0, 0, to);
    }

    pub fn label(&mut self, label: Label) {
        self.labels.insert(label, self.instructions.len());
    }

    /// The verifier refuses code that nothing reaches, so the ends of a program are only added where needed.
    pub fn is_target(&self, label: Label) -> bool {
        self.jumps.iter().any(|(_, to)| *to == label)
    }

    /// `None` where a jump is too far or goes nowhere: a mistake in the program.
    pub fn finish(self) -> Option<Vec<Instruction>> {
        let mut instructions = self.instructions;
        for (position, label) in self.jumps {
            let distance = self.labels.get(&label)?.checked_sub(position + 1)?;
            instructions.get_mut(position)?.offset = i16::try_from(distance).ok()?;
        }
        Some(instructions)
    }

    fn jump_by(&mut self, opcode: u8, register: Register, value: u32, to: Label) {
        self.jumps.push((self.instructions.len(), to));
        self.push(opcode, register, Register::R0, 0, value as i32);
    }

    fn push(&mut self, opcode: u8, destination: Register, source: Register, offset: i16, immediate: i32) {
        let (destination, source) = (destination as u8, source as u8);
        self.instructions.push(Instruction { opcode, destination, source, offset, immediate });
    }
}
