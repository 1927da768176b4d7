//! Open files and memory run out as errors, and come back.

use std::io::ErrorKind;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use world::disk::File;
use world::net::{TcpListener, TcpStream, UdpSocket};
use world::{host, limits, memory, time};

use crate::support::simulate;

const EMFILE: Option<i32> = Some(24);

#[test]
fn files_sockets_and_listeners_share_one_limit() {
    simulate(|| async {
        let here = host::current();
        here.set_open_files_limit(Some(5));
        let file = File::create("/file").await.expect("creates");
        let listener = TcpListener::bind("0.0.0.0:80").await.expect("binds");
        let client = TcpStream::connect("localhost:80").await.expect("connects");
        let (server, _) = listener.accept().await.expect("accepts");
        let socket = UdpSocket::bind("0.0.0.0:53").await.expect("binds");
        assert_eq!(limits::open_files(here), 5);
        let errors = [
            File::open("/file").await.expect_err("no file"),
            TcpListener::bind("0.0.0.0:81").await.expect_err("no listener"),
            TcpStream::connect("localhost:80").await.expect_err("no connection"),
            UdpSocket::bind("0.0.0.0:54").await.expect_err("no socket"),
        ];
        assert_eq!(errors.map(|error| error.raw_os_error()), [EMFILE; 4]);
        drop(file);
        File::open("/file").await.expect("one is free");
        drop((listener, client, server, socket));
        assert_eq!(limits::open_files(here), 0);
    });
}

#[test]
fn at_the_limit_a_connection_waits_to_be_accepted() {
    simulate(|| async {
        let server = host::add("server", || async {});
        server.set_open_files_limit(Some(2));
        let serving = server.spawn(async {
            let listener = TcpListener::bind("0.0.0.0:80").await.expect("binds");
            let (first, _) = listener.accept().await.expect("accepts");
            let before = time::Instant::now();
            let error = listener.accept().await.expect_err("at the limit");
            assert_eq!(error.raw_os_error(), EMFILE);
            assert!(before.elapsed() > Duration::ZERO, "who tries again at once must not stand still");
            drop(first);
            let (mut second, _) = listener.accept().await.expect("still waits");
            second.write_all(b"hello").await.expect("writes");
        });
        let _first = TcpStream::connect("server:80").await.expect("connects");
        // The last step of its handshake must not be overtaken by those of the next one.
        time::sleep(Duration::from_millis(100)).await;
        let mut second = TcpStream::connect("server:80").await.expect("connects: the backlog takes it");
        let mut bytes = Vec::new();
        second.read_to_end(&mut bytes).await.expect("reads");
        assert_eq!(bytes, b"hello");
        serving.await.expect("ends");
    });
}

#[test]
fn what_fails_to_open_holds_nothing() {
    simulate(|| async {
        TcpStream::connect("localhost:80").await.expect_err("nobody listens");
        File::open("/missing").await.expect_err("is not there");
        let _listener = TcpListener::bind("0.0.0.0:80").await.expect("binds");
        TcpListener::bind("0.0.0.0:80").await.expect_err("is taken");
        assert_eq!(limits::open_files(host::current()), 1);
    });
}

#[test]
fn memory_runs_out_and_comes_back() {
    simulate(|| async {
        let here = host::current();
        here.set_memory_limit(Some(1000));
        let mut buffer = memory::reserve(600).expect("fits");
        let error = memory::reserve(401).expect_err("does not fit");
        assert_eq!((error.kind(), error.raw_os_error()), (ErrorKind::OutOfMemory, Some(12)));
        buffer.resize(1000).expect("fits");
        buffer.resize(1001).expect_err("does not fit");
        assert_eq!((buffer.bytes(), memory::used(here)), (1000, 1000));
        buffer.resize(10).expect("shrinks");
        assert_eq!(memory::used(here), 10);
        drop(buffer);
        memory::reserve(1000).expect("all is free");
    });
}

#[test]
fn a_crash_frees_everything() {
    simulate(|| async {
        let machine = host::add("machine", || async {
            let _held = (memory::reserve(700).expect("fits"), File::create("/f").await.expect("opens"));
            time::sleep(Duration::from_secs(10)).await;
        });
        machine.set_memory_limit(Some(1000));
        machine.set_open_files_limit(Some(1));
        time::sleep(Duration::from_secs(1)).await;
        assert_eq!((memory::used(machine), limits::open_files(machine)), (700, 1));
        machine.crash();
        assert_eq!((memory::used(machine), limits::open_files(machine)), (0, 0));
        machine.boot();
        time::sleep(Duration::from_secs(1)).await;
        assert_eq!((memory::used(machine), limits::open_files(machine)), (700, 1));
    });
}
