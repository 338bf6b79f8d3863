//! How far local time is from UTC, by a time zone as TZ names its rules (`CET-1CEST,M3.5.0,M10.5.0/3`) or by a file of
//! the time zone database. Nothing in either can make it panic.

const DAY_S: i64 = 86_400;
const HOUR_S: i64 = 3600;
/// POSIX leaves it to us when summer is where a zone has one and does not say.
const USUAL_SUMMER: &[u8] = b",M3.2.0,M11.1.0";
const MONTHS: [i64; 12] = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

/// In seconds, east of Greenwich; `None` where these are no rules.
pub fn offset_by_rules(rules: &[u8], unix_s: i64) -> Option<i64> {
    let mut text = Text(rules);
    text.name()?;
    let usual = -text.time()?;
    if text.0.is_empty() {
        return Some(usual);
    }
    text.name()?;
    let summer = if matches!(text.0, [] | [b',', ..]) { usual + HOUR_S } else { -text.time()? };
    if text.0.is_empty() {
        text = Text(USUAL_SUMMER);
    }
    let year = Year::of(unix_s + usual);
    let start = text.change(&year)? - usual;
    let end = text.change(&year)? - summer;
    let is_summer =
        if start < end { (start..end).contains(&unix_s) } else { !(end..start).contains(&unix_s) };
    Some(if is_summer { summer } else { usual })
}

/// As the file says, or the rules at its end for times behind the last change it lists.
pub fn offset_in_file(file: &[u8], unix_s: i64) -> Option<i64> {
    let old = Block::read(file, 4)?;
    // What follows in all but the oldest files says the same with 64 bits.
    let Some(block) = Block::read(old.rest, 8) else { return old.offset(unix_s) };
    let rules = block.rest.strip_prefix(b"\n").and_then(|rest| rest.split(|byte| *byte == b'\n').next());
    if block.last().is_none_or(|last| last <= unix_s)
        && let Some(offset) = rules.and_then(|rules| offset_by_rules(rules, unix_s))
    {
        return Some(offset);
    }
    block.offset(unix_s)
}

struct Text<'a>(&'a [u8]);

impl Text<'_> {
    fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn has(&mut self, byte: u8) -> bool {
        let is_there = self.0.first() == Some(&byte);
        if is_there {
            self.next();
        }
        is_there
    }

    /// `CET` or `<+03>`.
    fn name(&mut self) -> Option<()> {
        if self.has(b'<') {
            while self.next()? != b'>' {}
            return Some(());
        }
        let before = self.0.len();
        while self.0.first().is_some_and(u8::is_ascii_alphabetic) {
            self.next();
        }
        (self.0.len() < before).then_some(())
    }

    fn number(&mut self) -> Option<i64> {
        let mut number = None;
        while let Some(digit) = self.0.first().filter(|byte| byte.is_ascii_digit()) {
            number = Some(number.unwrap_or(0).min(9999) * 10 + i64::from(digit - b'0'));
            self.next();
        }
        number
    }

    /// `2`, `-1`, `+5:30`, `24:00:00`.
    fn time(&mut self) -> Option<i64> {
        let is_negative = self.has(b'-');
        if !is_negative {
            self.has(b'+');
        }
        let mut seconds = self.number()? * HOUR_S;
        for unit in [60, 1] {
            if self.has(b':') {
                seconds += self.number()? * unit;
            }
        }
        Some(if is_negative { -seconds } else { seconds })
    }

    /// `,M10.5.0/3`, `,J60` or `,59/2`, as the seconds since 1970 of its local time.
    fn change(&mut self, year: &Year) -> Option<i64> {
        self.has(b',').then_some(())?;
        let day = if self.has(b'M') {
            let month = self.number()?;
            let week = self.after_dot()?;
            let weekday = self.after_dot()?;
            year.weekday(month, week, weekday)
        } else if self.has(b'J') {
            // 1 to 365: the 29th of February is not counted.
            let number = self.number()?;
            number - i64::from(!(year.is_leap && number >= 60))
        } else {
            self.number()?
        };
        let time = if self.has(b'/') { self.time()? } else { 2 * HOUR_S };
        Some((year.first_day + day) * DAY_S + time)
    }

    fn after_dot(&mut self) -> Option<i64> {
        if self.has(b'.') { self.number() } else { None }
    }
}

struct Year {
    /// In days since 1970.
    first_day: i64,
    is_leap: bool,
}

impl Year {
    fn of(local_s: i64) -> Year {
        let today = local_s.div_euclid(DAY_S);
        let mut year = 1970 + today / 366;
        while first_day(year + 1) <= today {
            year += 1;
        }
        Year { first_day: first_day(year), is_leap: first_day(year + 1) - first_day(year) == 366 }
    }

    /// The place in the year of the nth such weekday of the month, or the last; Sunday is 0.
    fn weekday(&self, month: i64, week: i64, weekday: i64) -> i64 {
        let mut before = 0;
        let mut length = 0;
        for (number, days) in (1..=month).zip(MONTHS) {
            before += length;
            length = days + i64::from(number == 2 && self.is_leap);
        }
        // The first day of 1970 was a Thursday.
        let first = (weekday - (self.first_day + before + 4)).rem_euclid(7);
        let mut day = first + 7 * (week - 1);
        while day >= length && day >= 7 {
            day -= 7;
        }
        before + day
    }
}

/// Of the year, in days since 1970.
fn first_day(year: i64) -> i64 {
    let before = year - 1;
    365 * (year - 1970) + before / 4 - before / 100 + before / 400 - 477
}

/// One of the two parts of a file of the time zone database (RFC 8536).
struct Block<'a> {
    /// Of `width` bytes each.
    times: &'a [u8],
    width: usize,
    /// For each of the times, which of the kinds begins then.
    kinds_then: &'a [u8],
    kinds: &'a [u8],
    rest: &'a [u8],
}

const KIND_LENGTH: usize = 6;

impl<'a> Block<'a> {
    fn read(file: &'a [u8], width: usize) -> Option<Block<'a>> {
        let (header, mut rest) = file.strip_prefix(b"TZif")?.split_at_checked(40)?;
        let mut take = |count_at: usize, length: usize| {
            let count = u32::from_be_bytes(*header.get(count_at..)?.first_chunk()?);
            let length = usize::try_from(count).ok()?.checked_mul(length)?;
            let (taken, behind) = rest.split_at_checked(length)?;
            rest = behind;
            Some(taken)
        };
        let times = take(28, width)?;
        let kinds_then = take(28, 1)?;
        let kinds = take(32, KIND_LENGTH)?;
        take(36, 1)?;
        take(24, width + 4)?;
        take(20, 1)?;
        take(16, 1)?;
        Some(Block { times, width, kinds_then, kinds, rest })
    }

    fn last(&self) -> Option<i64> {
        self.times.chunks_exact(self.width).next_back().map(number)
    }

    fn offset(&self, unix_s: i64) -> Option<i64> {
        // Before all changes the first kind holds.
        let mut kind = 0;
        for (time, then) in self.times.chunks_exact(self.width).zip(self.kinds_then) {
            if number(time) <= unix_s {
                kind = usize::from(*then);
            }
        }
        let offset = self.kinds.get(kind * KIND_LENGTH..)?.first_chunk::<4>()?;
        Some(i64::from(i32::from_be_bytes(*offset)))
    }
}

/// Signed, of 4 or 8 bytes.
fn number(bytes: &[u8]) -> i64 {
    let start = if bytes.first().is_some_and(|byte| *byte >= 0x80) { -1 } else { 0 };
    bytes.iter().fold(start, |number: i64, byte| number << 8 | i64::from(*byte))
}
