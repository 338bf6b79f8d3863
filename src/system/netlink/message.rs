//! Netlink's bytes: headers and attributes, written and read. Pure. Headers and plain numbers are in host
//! order; nfnetlink wants its numbers big endian, hence two spellings of each.

const HEADER: usize = 16;
const ALIGN: usize = 4;
const NESTED: u16 = 0x8000;
/// The two top bits of an attribute's kind say "nested" and "big endian".
const KIND_MASK: u16 = 0x3fff;

/// The body of one message, being written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Payload {
    bytes: Vec<u8>,
    /// An attribute longer than its 16-bit length field was asked for: the message must not be sent.
    overflow: bool,
}

impl Payload {
    /// Starts with the fixed struct that the message kind wants.
    pub fn new(fixed: &[u8]) -> Payload {
        let mut payload = Payload { bytes: fixed.to_vec(), overflow: false };
        payload.pad();
        payload
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub fn has_overflow(&self) -> bool {
        self.overflow
    }

    pub fn put(&mut self, kind: u16, value: &[u8]) {
        let start = self.open(kind);
        self.bytes.extend_from_slice(value);
        self.close(start);
    }

    pub fn put_u8(&mut self, kind: u16, value: u8) {
        self.put(kind, &[value]);
    }

    pub fn put_u16(&mut self, kind: u16, value: u16) {
        self.put(kind, &value.to_ne_bytes());
    }

    pub fn put_u32(&mut self, kind: u16, value: u32) {
        self.put(kind, &value.to_ne_bytes());
    }

    pub fn put_be32(&mut self, kind: u16, value: u32) {
        self.put(kind, &value.to_be_bytes());
    }

    pub fn put_be64(&mut self, kind: u16, value: u64) {
        self.put(kind, &value.to_be_bytes());
    }

    /// With the terminating zero the kernel expects.
    pub fn put_text(&mut self, kind: u16, text: &str) {
        let start = self.open(kind);
        self.bytes.extend_from_slice(text.as_bytes());
        self.bytes.push(0);
        self.close(start);
    }

    pub fn nest(&mut self, kind: u16, write: impl FnOnce(&mut Payload)) {
        let start = self.open(kind | NESTED);
        write(self);
        self.close(start);
    }

    /// Bytes that are not an attribute: structs inside a nest, or attributes made elsewhere.
    pub fn put_raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        self.pad();
    }

    fn open(&mut self, kind: u16) -> usize {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0, 0]);
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        start
    }

    fn close(&mut self, start: usize) {
        match u16::try_from(self.bytes.len() - start) {
            Ok(length) => self.bytes[start..start + 2].copy_from_slice(&length.to_ne_bytes()),
            Err(_) => self.overflow = true,
        }
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(ALIGN), 0);
    }
}

/// Appends a whole message to a datagram.
pub fn append(datagram: &mut Vec<u8>, kind: u16, flags: u16, sequence: u32, payload: &[u8]) {
    let length = u32::try_from(HEADER + payload.len()).unwrap_or(u32::MAX);
    datagram.extend_from_slice(&length.to_ne_bytes());
    datagram.extend_from_slice(&kind.to_ne_bytes());
    datagram.extend_from_slice(&flags.to_ne_bytes());
    datagram.extend_from_slice(&sequence.to_ne_bytes());
    datagram.extend_from_slice(&[0; 4]);
    datagram.extend_from_slice(payload);
    datagram.resize(datagram.len().next_multiple_of(ALIGN), 0);
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    pub kind: u16,
    pub flags: u16,
    pub sequence: u32,
    pub payload: &'a [u8],
}

/// The messages of a datagram; ends at the first that is malformed.
#[derive(Clone, Debug)]
pub struct Messages<'a> {
    rest: &'a [u8],
}

impl<'a> Messages<'a> {
    pub fn new(datagram: &'a [u8]) -> Messages<'a> {
        Messages { rest: datagram }
    }
}

impl<'a> Iterator for Messages<'a> {
    type Item = Message<'a>;

    fn next(&mut self) -> Option<Message<'a>> {
        let header = self.rest.first_chunk::<HEADER>()?;
        let [l0, l1, l2, l3, k0, k1, f0, f1, s0, s1, s2, s3, ..] = *header;
        let length = usize::try_from(u32::from_ne_bytes([l0, l1, l2, l3])).ok()?;
        let payload = self.rest.get(HEADER..length)?;
        self.rest = after(self.rest, length);
        Some(Message {
            kind: u16::from_ne_bytes([k0, k1]),
            flags: u16::from_ne_bytes([f0, f1]),
            sequence: u32::from_ne_bytes([s0, s1, s2, s3]),
            payload,
        })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attribute<'a> {
    pub kind: u16,
    pub value: &'a [u8],
}

impl<'a> Attribute<'a> {
    pub fn u8(&self) -> Option<u8> {
        self.value.first().copied()
    }

    pub fn u16(&self) -> Option<u16> {
        self.value.first_chunk().map(|bytes| u16::from_ne_bytes(*bytes))
    }

    pub fn u32(&self) -> Option<u32> {
        self.value.first_chunk().map(|bytes| u32::from_ne_bytes(*bytes))
    }

    pub fn be16(&self) -> Option<u16> {
        self.value.first_chunk().map(|bytes| u16::from_be_bytes(*bytes))
    }

    pub fn be32(&self) -> Option<u32> {
        self.value.first_chunk().map(|bytes| u32::from_be_bytes(*bytes))
    }

    pub fn be64(&self) -> Option<u64> {
        self.value.first_chunk().map(|bytes| u64::from_be_bytes(*bytes))
    }

    /// Up to the first zero byte.
    pub fn text(&self) -> String {
        let end = self.value.iter().position(|byte| *byte == 0).unwrap_or(self.value.len());
        String::from_utf8_lossy(&self.value[..end]).into_owned()
    }

    pub fn nested(&self) -> Attributes<'a> {
        Attributes::new(self.value)
    }

    /// The first of that kind in a nest.
    pub fn inner(&self, kind: u16) -> Option<Attribute<'a>> {
        Attribute::within(self.value, 0, kind)
    }

    /// The first of that kind behind so many bytes.
    pub fn within(bytes: &'a [u8], skipped: usize, kind: u16) -> Option<Attribute<'a>> {
        Attributes::new(bytes.get(skipped..)?).find(|attribute| attribute.kind == kind)
    }
}

/// A run of attributes; ends at the first that is malformed.
#[derive(Clone, Debug)]
pub struct Attributes<'a> {
    rest: &'a [u8],
}

impl<'a> Attributes<'a> {
    pub fn new(bytes: &'a [u8]) -> Attributes<'a> {
        Attributes { rest: bytes }
    }
}

impl<'a> Iterator for Attributes<'a> {
    type Item = Attribute<'a>;

    fn next(&mut self) -> Option<Attribute<'a>> {
        let [l0, l1, k0, k1] = *self.rest.first_chunk::<4>()?;
        let length = usize::from(u16::from_ne_bytes([l0, l1]));
        let value = self.rest.get(4..length)?;
        self.rest = after(self.rest, length);
        Some(Attribute { kind: u16::from_ne_bytes([k0, k1]) & KIND_MASK, value })
    }
}

/// The last item of a run may lack its padding.
fn after(bytes: &[u8], length: usize) -> &[u8] {
    bytes.get(length.next_multiple_of(ALIGN)..).unwrap_or(&[])
}
