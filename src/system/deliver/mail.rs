//! Mail, by the installed sendmail or by SMTP to a server nearby: no encryption, no login.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;

use crate::alert::{Message, mail_date};
use crate::system::resolve::socket_addresses;

use super::{PATIENCE, host_name, installed, run_with_input, unix_time_s};

/// A reply is a line or some; nobody needs more.
const LONGEST_REPLY: u64 = 16 * 1024;

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
    stream: BufReader<std::io::Take<TcpStream>>,
}

impl Talk {
    fn open(server: &str) -> Result<Talk, String> {
        let stream = connect(server)?;
        Ok(Talk { stream: BufReader::new(stream.take(LONGEST_REPLY)) })
    }

    fn command(&mut self, line: &str, wanted: char) -> Result<(), String> {
        let mut stream = self.stream.get_ref().get_ref();
        stream.write_all(format!("{line}\r\n").as_bytes()).map_err(|error| error.to_string())?;
        self.hear(wanted)
    }

    /// The last line of a reply has a space behind its code.
    fn hear(&mut self, wanted: char) -> Result<(), String> {
        loop {
            let mut line = Vec::new();
            self.stream.read_until(b'\n', &mut line).map_err(|error| error.to_string())?;
            let line = String::from_utf8_lossy(&line);
            if line.is_empty() {
                return Err("it hung up".to_owned());
            }
            if line.as_bytes().get(3) == Some(&b'-') {
                continue;
            }
            return if line.starts_with(wanted) { Ok(()) } else { Err(one_line(line.trim())) };
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
                return limited.map(|()| stream).map_err(|error| error.to_string());
            }
            Err(error) => last = error.to_string(),
        }
    }
    Err(last)
}
