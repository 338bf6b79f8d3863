//! The kernel's numbers for nf_tables (linux/netfilter/nf_tables.h), only those we use. Every number is big
//! endian on the wire; what stands in a register is not.

/// The subsystem of nfnetlink, high byte of every message kind.
pub const SUBSYSTEM: u16 = 10;
pub const BATCH_BEGIN: u16 = 16;
pub const BATCH_END: u16 = 17;
/// The family of a table that sees IPv4 and IPv6.
pub const INET: u8 = 1;

pub mod message {
    use super::SUBSYSTEM;

    pub const NEW_TABLE: u16 = SUBSYSTEM << 8;
    pub const GET_TABLE: u16 = SUBSYSTEM << 8 | 1;
    pub const DELETE_TABLE: u16 = SUBSYSTEM << 8 | 2;
    pub const NEW_CHAIN: u16 = SUBSYSTEM << 8 | 3;
    pub const GET_CHAIN: u16 = SUBSYSTEM << 8 | 4;
    pub const DELETE_CHAIN: u16 = SUBSYSTEM << 8 | 5;
    pub const NEW_RULE: u16 = SUBSYSTEM << 8 | 6;
    pub const GET_RULE: u16 = SUBSYSTEM << 8 | 7;
    pub const DELETE_RULE: u16 = SUBSYSTEM << 8 | 8;
    pub const NEW_SET: u16 = SUBSYSTEM << 8 | 9;
    pub const GET_SET: u16 = SUBSYSTEM << 8 | 10;
    pub const DELETE_SET: u16 = SUBSYSTEM << 8 | 11;
    pub const NEW_ELEMENTS: u16 = SUBSYSTEM << 8 | 12;
    pub const GET_ELEMENTS: u16 = SUBSYSTEM << 8 | 13;
    pub const DELETE_ELEMENTS: u16 = SUBSYSTEM << 8 | 14;
}

/// The member kind of every list (expressions, elements, concatenated fields).
pub const LIST_ITEM: u16 = 1;

pub mod table {
    pub const NAME: u16 = 1;
    pub const FLAGS: u16 = 2;
    pub const DORMANT: u32 = 1;
}

pub mod chain {
    pub const TABLE: u16 = 1;
    pub const NAME: u16 = 3;
    pub const HOOK: u16 = 4;
    pub const POLICY: u16 = 5;
    pub const KIND: u16 = 7;
    pub const FLAGS: u16 = 10;

    pub const HOOK_NUMBER: u16 = 1;
    pub const HOOK_PRIORITY: u16 = 2;

    pub const PREROUTING: u32 = 0;
    pub const OUTPUT: u32 = 3;
    pub const POSTROUTING: u32 = 4;

    pub const POLICY_ACCEPT: u32 = 1;
    /// Flag of a chain without a name of its own, which lives and dies with a rule.
    pub const BINDING: u32 = 4;
}

pub mod rule {
    pub const TABLE: u16 = 1;
    pub const CHAIN: u16 = 2;
    pub const HANDLE: u16 = 3;
    pub const EXPRESSIONS: u16 = 4;
    pub const USER_DATA: u16 = 7;
}

pub mod set {
    pub const TABLE: u16 = 1;
    pub const NAME: u16 = 2;
    pub const FLAGS: u16 = 3;
    pub const KEY_TYPE: u16 = 4;
    pub const KEY_LENGTH: u16 = 5;
    pub const DATA_TYPE: u16 = 6;
    pub const DESCRIPTION: u16 = 9;
    pub const ID: u16 = 10;
    pub const USER_DATA: u16 = 13;

    pub const DESCRIPTION_SIZE: u16 = 1;
    pub const DESCRIPTION_CONCATENATION: u16 = 2;
    pub const FIELD_LENGTH: u16 = 1;

    pub const ANONYMOUS: u32 = 0x1;
    pub const CONSTANT: u32 = 0x2;
    pub const INTERVAL: u32 = 0x4;
    pub const MAP: u32 = 0x8;
    pub const TIMEOUT: u32 = 0x10;
    pub const DYNAMIC: u32 = 0x20;
    pub const CONCATENATION: u32 = 0x80;

    pub const VERDICT_DATA: u32 = 0xffff_ff00;
}

pub mod elements {
    pub const TABLE: u16 = 1;
    pub const SET: u16 = 2;
    pub const LIST: u16 = 3;
    pub const SET_ID: u16 = 4;

    pub const KEY: u16 = 1;
    pub const DATA: u16 = 2;
    pub const FLAGS: u16 = 3;
    pub const KEY_END: u16 = 10;

    pub const INTERVAL_END: u32 = 1;
}

pub mod data {
    pub const VALUE: u16 = 1;
    pub const VERDICT: u16 = 2;

    pub const VERDICT_CODE: u16 = 1;
    pub const VERDICT_CHAIN: u16 = 2;

    pub const ACCEPT: i32 = 1;
    pub const JUMP: i32 = -3;
    pub const GOTO: i32 = -4;
    pub const RETURN: i32 = -5;
}

/// Attribute kinds and values of the expressions a rule is made of.
pub mod expression {
    pub const NAME: u16 = 1;
    pub const DATA: u16 = 2;

    pub mod meta {
        pub const DESTINATION: u16 = 1;
        pub const KEY: u16 = 2;
        pub const SOURCE: u16 = 3;

        pub const MARK: u32 = 3;
        pub const INPUT_NAME: u32 = 6;
        pub const OUTPUT_NAME: u32 = 7;
        pub const NETWORK_PROTOCOL: u32 = 15;
        pub const TRANSPORT_PROTOCOL: u32 = 16;
    }

    pub mod ct {
        pub const DESTINATION: u16 = 1;
        pub const KEY: u16 = 2;
        pub const SOURCE: u16 = 4;

        pub const MARK: u32 = 3;
        pub const LABEL: u32 = 13;
    }

    pub mod payload {
        pub const DESTINATION: u16 = 1;
        pub const BASE: u16 = 2;
        pub const OFFSET: u16 = 3;
        pub const LENGTH: u16 = 4;

        pub const NETWORK_HEADER: u32 = 1;
        pub const TRANSPORT_HEADER: u32 = 2;
    }

    pub mod numgen {
        pub const DESTINATION: u16 = 1;
        pub const MODULUS: u16 = 2;
        pub const KIND: u16 = 3;
        pub const OFFSET: u16 = 4;

        pub const RANDOM: u32 = 1;
    }

    pub mod bitwise {
        pub const SOURCE: u16 = 1;
        pub const DESTINATION: u16 = 2;
        pub const LENGTH: u16 = 3;
        pub const MASK: u16 = 4;
        pub const XOR: u16 = 5;
        pub const OPERATION: u16 = 6;

        pub const MASK_AND_XOR: u32 = 0;
    }

    pub mod byteorder {
        pub const SOURCE: u16 = 1;
        pub const DESTINATION: u16 = 2;
        pub const OPERATION: u16 = 3;
        pub const LENGTH: u16 = 4;
        pub const SIZE: u16 = 5;

        pub const HOST_TO_NETWORK: u32 = 1;
    }

    pub mod cmp {
        pub const SOURCE: u16 = 1;
        pub const OPERATION: u16 = 2;
        pub const DATA: u16 = 3;

        pub const EQUAL: u32 = 0;
        pub const NOT_EQUAL: u32 = 1;
        pub const AT_MOST: u32 = 3;
        pub const AT_LEAST: u32 = 5;
    }

    pub mod range {
        pub const SOURCE: u16 = 1;
        pub const OPERATION: u16 = 2;
        pub const FROM: u16 = 3;
        pub const TO: u16 = 4;

        pub const NOT_EQUAL: u32 = 1;
    }

    pub mod lookup {
        pub const SET: u16 = 1;
        pub const SOURCE: u16 = 2;
        pub const DESTINATION: u16 = 3;
        pub const SET_ID: u16 = 4;
        pub const FLAGS: u16 = 5;

        pub const INVERTED: u32 = 1;
    }

    pub mod dynset {
        pub const SET: u16 = 1;
        pub const OPERATION: u16 = 3;
        pub const KEY: u16 = 4;
        pub const TIMEOUT_MS: u16 = 6;

        pub const UPDATE: u32 = 1;
    }

    pub mod immediate {
        pub const DESTINATION: u16 = 1;
        pub const DATA: u16 = 2;
    }

    pub mod nat {
        pub const KIND: u16 = 1;
        pub const FAMILY: u16 = 2;
        pub const ADDRESS_REGISTER: u16 = 3;

        pub const SOURCE: u32 = 0;
    }

    pub mod counter {
        pub const BYTES: u16 = 1;
        pub const PACKETS: u16 = 2;
    }

    pub mod log {
        pub const PREFIX: u16 = 2;
        pub const LEVEL: u16 = 5;
    }
}

/// Registers: 0 takes verdicts, 1 to 4 are 16 bytes each, 8 and up are the same space by four bytes.
pub mod register {
    pub const VERDICT: u32 = 0;
    pub const FIRST: u32 = 1;
    pub const FIRST_OF_FOUR_BYTES: u32 = 8;
    /// What all registers hold together: the widest concatenation.
    pub const SPACE: usize = 64;
}

/// User data: kind, length, value, which the kernel only keeps. nft skips the kinds it does not know.
pub mod user_data {
    pub const RULE_COMMENT: u8 = 0;
    /// nft's note about numbers in a set's key: without it they may be listed in the wrong byte order.
    pub const SET_KEY_BYTE_ORDER: u8 = 0;
    pub const HOST_ORDER: u32 = 1;
    pub const BIG_ENDIAN: u32 = 2;
    /// Ours, on a rule: its fingerprint, eight bytes big endian. An `m`, far above what nft counts up to.
    pub const FINGERPRINT: u8 = 0x6d;
    /// Ours, on a set: we keep its elements exact.
    pub const COMPUTED: u8 = 0x6d;
}
