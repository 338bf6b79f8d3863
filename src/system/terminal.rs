//! The terminal: its size, single keys instead of lines, a screen of its own that is given back in any case.

use std::fmt;
use std::io;

/// To the second screen and back; the cursor hidden and shown.
const ENTER: &str = "\u{1b}[?1049h\u{1b}[?25l";
const LEAVE: &str = "\u{1b}[?25h\u{1b}[?1049l";
const STDIN: libc::c_int = 0;
const STDOUT: libc::c_int = 1;
const STDERR: libc::c_int = 2;

pub fn is_terminal() -> bool {
    // SAFETY: isatty takes no pointers.
    [STDIN, STDOUT].into_iter().all(|fd| unsafe { libc::isatty(fd) } == 1)
}

/// To stdout, at once.
pub fn print(text: &str) -> io::Result<()> {
    write(STDOUT, text.as_bytes())
}

/// A line on stderr. Where it cannot be written nobody can be told.
pub fn complain(line: fmt::Arguments<'_>) {
    let _ = write(STDERR, format!("{line}\n").as_bytes());
}

fn write(fd: libc::c_int, mut text: &[u8]) -> io::Result<()> {
    while !text.is_empty() {
        // SAFETY: the pointer and length are those of a live slice.
        let written = unsafe { libc::write(fd, text.as_ptr().cast(), text.len()) };
        match usize::try_from(written) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => text = text.get(written..).unwrap_or_default(),
            Err(_) => match io::Error::last_os_error() {
                error if error.kind() == io::ErrorKind::Interrupted => {}
                // Whoever starts us without it wants to see nothing.
                error if error.raw_os_error() == Some(libc::EBADF) => return Ok(()),
                error => return Err(error),
            },
        }
    }
    Ok(())
}

/// Columns and rows, where somebody knows them.
pub fn size() -> Option<(usize, usize)> {
    // SAFETY: an all-zero winsize is a valid value of that plain C struct.
    let mut size: libc::winsize = unsafe { std::mem::zeroed() };
    // SAFETY: the pointer is to a live, writable winsize, which is what the request fills.
    let failed = unsafe { libc::ioctl(1, libc::TIOCGWINSZ, &raw mut size) } != 0;
    let (columns, rows) = (usize::from(size.ws_col), usize::from(size.ws_row));
    (!failed && columns > 0 && rows > 0).then_some((columns, rows))
}

/// Until it is dropped the terminal shows what we draw, and keys arrive one by one, Ctrl-C among them.
pub struct Screen {
    before: libc::termios,
}

impl Screen {
    pub fn take() -> io::Result<Screen> {
        // SAFETY: an all-zero termios is a valid value of that plain C struct.
        let mut before: libc::termios = unsafe { std::mem::zeroed() };
        // SAFETY: the pointer is to a live, writable termios.
        if unsafe { libc::tcgetattr(STDIN, &raw mut before) } != 0 {
            return Err(io::Error::last_os_error());
        }
        let mut single_keys = before;
        single_keys.c_lflag &= !(libc::ICANON | libc::ECHO | libc::ISIG);
        set(&single_keys)?;
        let screen = Screen { before };
        print(ENTER)?;
        Ok(screen)
    }

    /// Line by line over what is there: nothing flickers.
    pub fn draw(&self, lines: &[String]) -> io::Result<()> {
        let mut text = "\u{1b}[H".to_owned();
        for (position, line) in lines.iter().enumerate() {
            let next = if position > 0 { "\r\n" } else { "" };
            text.push_str(&format!("{next}{line}\u{1b}[K"));
        }
        text.push_str("\u{1b}[J");
        print(&text)
    }

    /// What was typed; `None` once nobody can type any more. Call it when stdin is readable.
    pub fn keys(&self) -> Option<Vec<u8>> {
        let mut keys = [0; 16];
        // SAFETY: the pointer and length are those of a live, writable array.
        let length = unsafe { libc::read(STDIN, keys.as_mut_ptr().cast(), keys.len()) };
        let length = usize::try_from(length).ok().filter(|length| *length > 0)?;
        keys.get(..length).map(<[u8]>::to_vec)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _ = print(LEAVE);
        let _ = set(&self.before);
    }
}

fn set(termios: &libc::termios) -> io::Result<()> {
    // SAFETY: the pointer is to a live termios that tcgetattr has filled.
    let failed = unsafe { libc::tcsetattr(STDIN, libc::TCSANOW, std::ptr::from_ref(termios)) } != 0;
    if failed { Err(io::Error::last_os_error()) } else { Ok(()) }
}
