//! The least of a server: a list of numbers, kept by the persistence of the real one. What is lost of it can be told,
//! because each number is pushed once, in order.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use redis_middleware::{
    persistence::{self, Config, Fatal, Persistence, Purpose, StartError, Target},
    rdb::Snapshot,
};
use world::task::JoinHandle;

/// The numbers. One that was damaged on its way through a loss of power is 0.
#[derive(Debug, Default)]
pub(crate) struct Numbers(pub(crate) Vec<u64>);

fn number(text: &[u8]) -> u64 {
    std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).unwrap_or(0)
}

impl Target for Numbers {
    fn restore(&mut self, snapshot: Snapshot) {
        let list = snapshot.keyspace.get(b"log").and_then(|value| value.as_list()).cloned();
        self.0 = list.unwrap_or_default().iter().map(|element| number(element)).collect();
    }

    fn run(&mut self, args: &[&[u8]]) -> bool {
        match args {
            [b"SELECT", _] => {}
            [b"RPUSH", _, element] => self.0.push(number(element)),
            _ => return false,
        }
        true
    }
}

/// The snapshot of a list of numbers, in the plain encoding.
fn snapshot(numbers: &[u64], purpose: Purpose) -> Vec<u8> {
    let base = if purpose == Purpose::AofBase { b'1' } else { b'0' };
    let mut bytes = [b"REDIS0010\xfa\x08aof-base\x01".as_slice(), &[base]].concat();
    if !numbers.is_empty() {
        bytes.extend_from_slice(b"\x01\x03log\x80");
        bytes.extend((numbers.len() as u32).to_be_bytes());
    }
    for number in numbers {
        let text = number.to_string();
        bytes.push(text.len() as u8);
        bytes.extend_from_slice(text.as_bytes());
    }
    bytes.push(0xff);
    // No checksum.
    bytes.extend([0; 8]);
    bytes
}

fn push_command(number: u64) -> Vec<u8> {
    super::encode(&[b"RPUSH".to_vec(), b"log".to_vec(), number.to_string().into_bytes()])
}

/// The list of a running server.
#[derive(Clone)]
pub(crate) struct Store {
    numbers: Arc<Mutex<Numbers>>,
    pub(crate) persistence: Persistence,
}

impl Store {
    /// Starts on the current host; the task ends when Redis would exit.
    pub(crate) async fn open(config: Config) -> Result<(Store, JoinHandle<Result<(), Fatal>>), StartError> {
        let mut numbers = Numbers::default();
        let (persistence, driver) = persistence::open(config, &mut numbers).await?;
        let numbers = Arc::new(Mutex::new(numbers));
        let store = Store { numbers: Arc::clone(&numbers), persistence };
        persistence_selects(&store.persistence);
        let selecting = store.persistence.clone();
        let task = world::task::spawn(driver.run(move |purpose| {
            let bytes = snapshot(&lock(&numbers).0, purpose);
            persistence_selects(&selecting);
            bytes
        }));
        Ok((store, task))
    }

    /// The numbers that are there now.
    pub(crate) fn numbers(&self) -> Vec<u64> {
        lock(&self.numbers).0.clone()
    }

    /// Pushes the next so many numbers, as one unit. Returns the last one and what to wait for.
    pub(crate) fn push(&self, count: u64) -> (u64, u64) {
        let mut numbers = lock(&self.numbers);
        let first = numbers.0.len() as u64 + 1;
        let new = first..first + count;
        let mut commands: Vec<u8> = new.clone().flat_map(push_command).collect();
        if count > 1 {
            commands = [b"*1\r\n$5\r\nMULTI\r\n".as_slice(), &commands, b"*1\r\n$4\r\nEXEC\r\n"].concat();
        }
        numbers.0.extend(new);
        self.persistence.append(&commands);
        self.persistence.changed(count);
        (first + count - 1, self.persistence.appended())
    }

    /// Pushes a number and waits until the reply may go out.
    pub(crate) async fn push_and_wait(&self) {
        let (_, offset) = self.push(1);
        self.persistence.flushed(offset).await;
    }
}

/// Each increment starts with a `SELECT`.
fn persistence_selects(persistence: &Persistence) {
    persistence.append(b"*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n");
}

fn lock(numbers: &Mutex<Numbers>) -> MutexGuard<'_, Numbers> {
    numbers.lock().unwrap_or_else(PoisonError::into_inner)
}
