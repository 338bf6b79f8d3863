//! Mail, by the installed sendmail or by SMTP to a server nearby: no encryption, no login.

use std::io::{self, Read, Write};
use std::net::TcpStream;

use crate::alert::{Message, mail_date};
use crate::system::resolve::socket_addresses;

use super::{PATIENCE, host_name, installed, run_with_input, unix_time_s, words};

/// A reply is a line or some; nobody needs more.
const LONGEST_REPLY: usize = 16 * 1024;

pub(super) fn send(
    to: &[String],
    from: Option<&str>,
    server: Option<&str>,
    message: &Message,
) -> Result<(), String> {
    let host = host_name();
    let from = from.map_or_else(|| format!("mwan3@{host}"), ToOwned::to_owned);
    let letter = letter(&from, to, message);
    match server {
        Some(server) => by_smtp(server, &host, &from, to, &letter)
            .map_err(|error| format!("mail server {server}: {error}")),
        None => match installed(&["sendmail"]) {
            // Addresses are read from the letter: none can be taken for an option.
            Some((_, program)) => run_with_input(&program, &["-t", "-i"], &letter),
            None => Err("no sendmail is installed; option smtp names a mail server instead".to_owned()),
        },
    }
}

fn letter(from: &str, to: &[String], message: &Message) -> String {
    format!(
        "From: {from}\nTo: {}\nSubject: {}\nDate: {}\nAuto-Submitted: auto-generated\nMIME-Version: 1.0\n\
         Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\n{}",
        to.join(", "),
        one_line(&message.subject),
        mail_date(unix_time_s()),
        message.text
    )
}

fn one_line(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
}

fn by_smtp(server: &str, host: &str, from: &str, to: &[String], letter: &str) -> Result<(), String> {
    let mut talk = Talk::open(server)?;
    talk.hear('2')?;
    talk.command(&format!("HELO {host}"), '2')?;
    talk.command(&format!("MAIL FROM:<{from}>"), '2')?;
    for address in to {
        talk.command(&format!("RCPT TO:<{address}>"), '2')?;
    }
    talk.command("DATA", '3')?;
    let mut data = String::new();
    for line in letter.lines() {
        // A line that is a dot would end the letter.
        if line.starts_with('.') {
            data.push('.');
        }
        data.push_str(line);
        data.push_str("\r\n");
    }
    talk.command(&format!("{data}."), '2')?;
    // It has the letter: what it says to this does not matter.
    let _ = talk.command("QUIT", '2');
    Ok(())
}

struct Talk {
    stream: TcpStream,
    /// What has come and was not looked at yet.
    heard: Vec<u8>,
    /// How much more of it is taken.
    room: usize,
}

impl Talk {
    fn open(server: &str) -> Result<Talk, String> {
        Ok(Talk { stream: connect(server)?, heard: Vec::new(), room: LONGEST_REPLY })
    }

    fn command(&mut self, line: &str, wanted: char) -> Result<(), String> {
        self.stream.write_all(format!("{line}\r\n").as_bytes()).map_err(words)?;
        self.hear(wanted)
    }

    /// The last line of a reply has a space behind its code.
    fn hear(&mut self, wanted: char) -> Result<(), String> {
        loop {
            let line = self.line().map_err(words)?;
            if line.is_empty() {
                return Err("it hung up".to_owned());
            }
            if line.as_bytes().get(3) == Some(&b'-') {
                continue;
            }
            return if line.starts_with(wanted) { Ok(()) } else { Err(one_line(line.trim())) };
        }
    }

    /// With its end; without one, or empty, where nothing more comes.
    fn line(&mut self) -> io::Result<String> {
        loop {
            let end = self.heard.iter().position(|byte| *byte == b'\n');
            let before = self.heard.len();
            if end.is_none() && self.room > 0 {
                let mut piece = [0; 512];
                let room = piece.len().min(self.room);
                match self.stream.read(piece.get_mut(..room).unwrap_or_default()) {
                    Ok(length) => self.heard.extend_from_slice(piece.get(..length).unwrap_or_default()),
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    Err(error) => return Err(error),
                }
                self.room -= self.heard.len() - before;
            }
            if end.is_some() || self.heard.len() == before {
                let line: Vec<u8> = self.heard.drain(..end.map_or(before, |end| end + 1)).collect();
                return Ok(String::from_utf8_lossy(&line).into_owned());
            }
        }
    }
}

/// To the first of the server's addresses that answers.
pub(super) fn connect(server: &str) -> Result<TcpStream, String> {
    let addresses = socket_addresses(server)?;
    let mut last = "no address".to_owned();
    for address in addresses {
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(stream) => {
                let limited = stream
                    .set_read_timeout(Some(PATIENCE))
                    .and_then(|()| stream.set_write_timeout(Some(PATIENCE)));
                return limited.map(|()| stream).map_err(words);
            }
            Err(error) => last = words(error),
        }
    }
    Err(last)
}
