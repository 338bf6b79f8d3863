//! The ubus client against a stand-in daemon that speaks the same protocol.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod bytes;
mod daemon;

use std::os::fd::AsRawFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::thread::JoinHandleExt;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use mwan3::json::Json;
use mwan3::system::netifd;
use mwan3::system::ubus::blob::BlobError;
use mwan3::system::ubus::{Bus, Failure, Herald};
use serde_json::{Value, json};

use daemon::{
    DATA, Daemon, STATUS, data, forget, fresh_socket, message, ours, small_dump, status_message, theirs,
};

const PATIENT: Duration = Duration::from_secs(20);
const IMPATIENT: Duration = Duration::from_millis(200);

#[test]
fn the_interfaces_of_the_host_come_from_one_call() {
    let daemon = Daemon::with_dump(small_dump());
    let interfaces = netifd::interfaces(&mut daemon.bus(PATIENT)).unwrap();
    assert_eq!(interfaces.keys().collect::<Vec<_>>(), ["wan"]);
    assert_eq!(interfaces["wan"].device.as_deref(), Some("eth0"));
}

#[test]
fn a_reply_without_a_list_of_interfaces_is_an_error_and_not_a_host_without_interfaces() {
    for dump in [json!({}), json!({ "interface": "wan" })] {
        let error = netifd::interfaces(&mut Daemon::with_dump(dump).bus(PATIENT)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "ubus call network.interface dump: malformed message: no list of interfaces"
        );
    }
    let none = netifd::interfaces(&mut Daemon::with_dump(json!({ "interface": [] })).bus(PATIENT)).unwrap();
    assert!(none.is_empty());
}

#[test]
fn a_refusal_says_what_was_asked_and_leaves_the_connection_usable() {
    let daemon = Daemon::with_dump(small_dump());
    let mut bus = daemon.bus(PATIENT);
    let unknown_method = bus.call("network.interface", "nosuch", &Json::Null).unwrap_err();
    assert_eq!(unknown_method.to_string(), "ubus call network.interface nosuch: Method not found");
    assert!(!unknown_method.is_retryable());
    let unknown_object = bus.call("network.device", "status", &ours(&json!({}))).unwrap_err();
    assert_eq!(unknown_object.to_string(), "ubus call network.device status: Not found");
    assert!(unknown_object.is_retryable(), "netifd may only be restarting");
    assert!(bus.call("network.interface", "dump", &ours(&json!({}))).is_ok());
    assert_eq!(daemon.connections(), 1);
}

#[test]
fn a_number_that_the_list_of_refusals_does_not_know_is_shown() {
    let daemon = Daemon::start(|_, mut client| {
        client.greet();
        let request = client.request().unwrap();
        client.write(&status_message(request.sequence, 4_000_000_000));
    });
    assert_eq!(
        daemon.call("dump").unwrap_err().to_string(),
        "ubus call network.interface dump: Unknown error 4000000000"
    );
}

#[test]
fn a_method_that_answers_nothing_gives_the_empty_table() {
    assert_eq!(Daemon::with_dump(Value::Null).call("silent").unwrap(), json!({}));
}

#[test]
fn arguments_that_are_no_table_are_an_error_and_not_a_call() {
    let daemon = Daemon::with_dump(small_dump());
    let error = daemon.bus(PATIENT).call("network.interface", "echo", &ours(&json!([1]))).unwrap_err();
    assert_eq!(error.to_string(), "ubus call network.interface echo: malformed message: not a table");
}

#[test]
fn an_event_goes_to_the_daemon_itself_with_its_name_and_a_table() {
    let (heard, hear) = mpsc::channel();
    let daemon = Daemon::start(move |_, mut client| {
        client.greet();
        while let Some(request) = client.request() {
            client.write(&status_message(request.sequence, 0));
            heard.send((request.object(), request.method(), request.arguments())).unwrap();
        }
    });
    let mut herald = Herald::default();
    for name in ["wan", "wanb", "wanc"] {
        assert!(herald.send_by(&daemon.socket, "mwan3.connected", &ours(&json!({ "interface": name }))));
        let arguments = json!({ "id": "mwan3.connected", "data": { "interface": name } });
        let heard = hear.recv_timeout(PATIENT).unwrap();
        assert_eq!(heard, (1, Some("send".to_owned()), arguments));
    }
    assert_eq!(daemon.connections(), 1);
}

#[test]
fn events_come_again_with_a_daemon_that_was_started_anew() {
    let (heard, hear) = mpsc::channel();
    // Takes one event from each connection and closes it.
    let daemon = Daemon::start(move |number, mut client| {
        client.greet();
        heard.send((number, client.request().map(|request| request.method()))).unwrap();
    });
    let mut herald = Herald::default();
    for number in 0..3 {
        let sent = lab::wait_until(PATIENT, || {
            herald.send_by(&daemon.socket, "mwan3.connected", &ours(&json!({})))
                && hear.recv_timeout(IMPATIENT).is_ok_and(|(found, _)| found >= number)
        });
        assert!(sent, "{number}");
    }
}

#[test]
fn events_never_wait_for_a_daemon_that_is_absent_or_hangs() {
    let mut herald = Herald::default();
    assert!(!herald.send_by(Path::new("/nonexistent/ubus.sock"), "mwan3.connected", &ours(&json!({}))));
    // It neither accepts nor reads: queue and buffers fill up.
    let socket = fresh_socket();
    let _listener = UnixListener::bind(&socket).unwrap();
    let begun = std::time::Instant::now();
    let data = ours(&json!({ "reason": "x".repeat(10_000) }));
    let taken = (0..2_000).filter(|_| herald.send_by(&socket, "mwan3.connected", &data)).count();
    // A wait for each of those that were refused would take minutes.
    assert!(taken < 2_000, "the buffers never filled up");
    assert!(begun.elapsed() < PATIENT, "{:?}", begun.elapsed());
    forget(&socket);
}

#[test]
fn a_reply_that_arrives_byte_by_byte_is_put_together() {
    let daemon = Daemon::start(|_, mut client| {
        client.greet();
        client.answer_lookup();
        let request = client.request().unwrap();
        let reply = message(DATA, request.sequence, &data(&small_dump()));
        for byte in [reply, status_message(request.sequence, 0)].concat() {
            client.write(&[byte]);
            thread::yield_now();
        }
    });
    assert_eq!(daemon.call("dump").unwrap(), small_dump());
}

#[test]
fn a_reply_of_half_a_mebibyte_arrives_whole() {
    let list: Vec<Value> = (0..12_000).map(|number| json!(format!("{number:030}"))).collect();
    let dump = json!({ "list": list });
    assert_eq!(Daemon::with_dump(dump.clone()).call("dump").unwrap(), dump);
}

#[test]
fn arguments_larger_than_the_socket_takes_at_once_arrive_whole() {
    let arguments = json!({ "text": "x".repeat(900_000) });
    let daemon = Daemon::with_dump(Value::Null);
    let reply = daemon.bus(PATIENT).call("network.interface", "echo", &ours(&arguments)).unwrap();
    assert!(theirs(&reply) == arguments);
}

#[test]
fn messages_of_another_sequence_number_are_passed_over() {
    let daemon = Daemon::start(|_, mut client| {
        client.greet();
        client.answer_lookup();
        let request = client.request().unwrap();
        let other = request.sequence.wrapping_add(7);
        client.write(&message(DATA, other, &data(&json!({ "late": true }))));
        client.write(&status_message(other, 2));
        client.write(&message(DATA, request.sequence, &data(&small_dump())));
        client.write(&status_message(request.sequence, 0));
    });
    assert_eq!(daemon.call("dump").unwrap(), small_dump());
}

#[test]
fn an_endless_stream_of_foreign_messages_does_not_outlast_the_deadline() {
    let daemon = Daemon::start(|_, mut client| {
        client.greet();
        while std::io::Write::write_all(&mut client.stream, &status_message(999, 0)).is_ok() {}
    });
    let error = daemon.bus(IMPATIENT).call("network.interface", "dump", &Json::Null).unwrap_err();
    assert!(matches!(error.failure(), Failure::TimedOut), "{error}");
}

#[test]
fn a_daemon_that_never_answers_costs_the_timeout_and_no_more() {
    let (done, wait) = mpsc::channel::<()>();
    let wait = std::sync::Mutex::new(wait);
    let daemon = Daemon::start(move |_, mut client| {
        client.greet();
        let _ = wait.lock().unwrap().recv();
    });
    let error = daemon.bus(IMPATIENT).call("network.interface", "dump", &Json::Null).unwrap_err();
    assert_eq!(error.to_string(), "ubus call network.interface dump: no answer in time");
    assert!(error.is_retryable());
    drop(done);
}

#[test]
fn a_hung_daemon_whose_queue_of_connections_is_full_costs_the_timeout_too() {
    let socket = fresh_socket();
    let listener = UnixListener::bind(&socket).unwrap();
    // SAFETY: a number in, a number out; it only makes the queue shorter.
    assert_eq!(unsafe { libc::listen(listener.as_raw_fd(), 0) }, 0);
    let _queued = UnixStream::connect(&socket).unwrap();
    let error = Bus::connect_to(&socket, IMPATIENT).err().unwrap();
    assert!(matches!(error.failure(), Failure::TimedOut), "{error}");
    forget(&socket);
}

#[test]
fn a_daemon_that_dies_during_a_call_costs_that_call_only() {
    let daemon = Daemon::start(|number, mut client| match number {
        0 => {
            client.greet();
            client.answer_lookup();
            let request = client.request().unwrap();
            client.write(&message(DATA, request.sequence, &data(&small_dump()))[..20]);
        }
        _ => client.serve(&small_dump()),
    });
    let mut bus = daemon.bus(PATIENT);
    let error = bus.call("network.interface", "dump", &Json::Null).unwrap_err();
    assert_eq!(error.to_string(), "ubus call network.interface dump: the daemon closed the connection");
    assert!(error.is_retryable());
    assert_eq!(bus.call("network.interface", "dump", &Json::Null).unwrap(), ours(&small_dump()));
}

#[test]
fn a_daemon_that_was_restarted_between_two_calls_is_not_noticed() {
    let (closed, wait_until_closed) = mpsc::channel();
    let daemon = Daemon::start(move |number, mut client| match number {
        0 => {
            client.greet();
            drop(client);
            closed.send(()).unwrap();
        }
        _ => client.serve(&small_dump()),
    });
    let mut bus = daemon.bus(PATIENT);
    wait_until_closed.recv().unwrap();
    assert_eq!(bus.call("network.interface", "dump", &Json::Null).unwrap(), ours(&small_dump()));
}

#[test]
fn a_message_that_claims_more_than_a_mebibyte_is_refused_before_it_is_read() {
    let daemon = Daemon::start(|_, mut client| {
        client.greet();
        let request = client.request().unwrap();
        let [high, low] = request.sequence.to_be_bytes();
        client.write(&[0, DATA, high, low, 0, 0, 0, 0, 0, 0x10, 0, 4]);
        let _ = client.request();
    });
    let error = daemon.call("dump").unwrap_err();
    assert!(matches!(error.failure(), Failure::Message(BlobError::TooLong)), "{error}");
}

#[test]
fn what_is_not_ubus_is_told_from_its_first_message() {
    for (greeting, complaint) in [
        (&b"HTTP/1.1 400 Bad Request\r\n"[..], "an unknown protocol version"),
        (&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3][..], "a message has a wrong length"),
        (&[0, STATUS, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4][..], "the daemon does not greet"),
    ] {
        let daemon = Daemon::start(move |_, mut client| client.write(greeting));
        let error = Bus::connect_to(&daemon.socket, PATIENT).err().unwrap();
        assert!(error.to_string().ends_with(complaint), "{error}");
    }
}

#[test]
fn signals_do_not_disturb_a_call() {
    count_signals(libc::SIGUSR1);
    let (greeted, start) = mpsc::channel();
    let (interrupted, go_on) = mpsc::channel();
    let go_on = std::sync::Mutex::new(go_on);
    let daemon = Daemon::start(move |_, mut client| {
        client.greet();
        client.answer_lookup();
        let request = client.request().unwrap();
        greeted.send(()).unwrap();
        go_on.lock().unwrap().recv().unwrap();
        client.write(&message(DATA, request.sequence, &data(&small_dump())));
        client.write(&status_message(request.sequence, 0));
    });
    let mut bus = daemon.bus(PATIENT);
    let caller = thread::spawn(move || bus.call("network.interface", "dump", &Json::Null));
    start.recv().unwrap();
    for number in 1..=50 {
        // SAFETY: the thread has not been joined, so its handle is valid.
        unsafe { libc::pthread_kill(caller.as_pthread_t() as libc::pthread_t, libc::SIGUSR1) };
        while SIGNALS.load(Ordering::SeqCst) < number && !caller.is_finished() {
            thread::yield_now();
        }
    }
    interrupted.send(()).unwrap();
    assert_eq!(caller.join().unwrap().unwrap(), ours(&small_dump()));
}

static SIGNALS: AtomicUsize = AtomicUsize::new(0);

fn count_signals(signal: libc::c_int) {
    extern "C" fn count(_: libc::c_int) {
        SIGNALS.fetch_add(1, Ordering::SeqCst);
    }
    // SAFETY: the handler only counts, so it may run at any time; all zeros is a valid sigaction, without
    // SA_RESTART.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = count as extern "C" fn(libc::c_int) as usize;
        assert_eq!(libc::sigaction(signal, &action, std::ptr::null_mut()), 0);
    }
}

#[test]
fn a_host_without_ubus_is_told_from_one_whose_daemon_is_down() {
    let nowhere = Bus::connect_to(Path::new("/nonexistent/ubus.sock"), PATIENT).err().unwrap();
    assert!(nowhere.is_absent());
    assert_eq!(
        nowhere.to_string(),
        "ubus at /nonexistent/ubus.sock: the daemon cannot be reached: No such file or directory (os error 2)"
    );
    let socket = fresh_socket();
    drop(UnixListener::bind(&socket).unwrap());
    let down = Bus::connect_to(&socket, PATIENT).err().unwrap();
    assert!(!down.is_absent() && down.is_retryable(), "{down}");
    forget(&socket);
}

#[test]
fn a_socket_path_that_does_not_fit_is_an_error() {
    let path = format!("/{}", "x".repeat(107));
    let error = Bus::connect_to(Path::new(&path), PATIENT).err().unwrap();
    assert!(error.to_string().ends_with("the path of the socket is too long"), "{error}");
}
