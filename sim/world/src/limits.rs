//! Limits of a host's processes: open files (connections, listeners, sockets, files) and memory.
//!
//! There is none unless a host is given one. What goes beyond a limit fails with the error that Linux gives.

use std::io;

use crate::common;
use crate::common::hosts::HostId;
use crate::host::Host;

/// Open files and memory of one host's processes.
#[derive(Debug, Default)]
struct Account {
    /// Changes when the processes are gone, so that what they held is not given back a second time.
    epoch: u32,
    open_files: u64,
    open_files_limit: Option<u64>,
    memory_bytes: u64,
    memory_limit_bytes: Option<u64>,
}

/// The accounts of all hosts, by their number.
#[derive(Debug, Default)]
pub(crate) struct Limits {
    accounts: Vec<Account>,
}

impl Limits {
    fn account(&mut self, host: HostId) -> &mut Account {
        let index = host.0 as usize;
        if index >= self.accounts.len() {
            self.accounts.resize_with(index + 1, Account::default);
        }
        &mut self.accounts[index]
    }

    /// What a host's processes held is free.
    pub(crate) fn processes_gone(&mut self, host: HostId) {
        let account = self.account(host);
        account.epoch += 1;
        (account.open_files, account.memory_bytes) = (0, 0);
    }

    /// Takes memory. Returns the account's epoch.
    pub(crate) fn take_memory(&mut self, host: HostId, bytes: u64) -> io::Result<u32> {
        let account = self.account(host);
        let taken = account.memory_bytes.saturating_add(bytes);
        if account.memory_limit_bytes.is_some_and(|limit| taken > limit) {
            return Err(io::Error::from_raw_os_error(libc::ENOMEM));
        }
        account.memory_bytes = taken;
        Ok(account.epoch)
    }

    pub(crate) fn give_memory_back(&mut self, host: HostId, epoch: u32, bytes: u64) {
        let account = self.account(host);
        if account.epoch == epoch {
            account.memory_bytes = account.memory_bytes.saturating_sub(bytes);
        }
    }

    /// Is what was taken in this epoch still held?
    pub(crate) fn is_current(&mut self, host: HostId, epoch: u32) -> bool {
        self.account(host).epoch == epoch
    }

    pub(crate) fn memory_bytes(&mut self, host: HostId) -> u64 {
        self.account(host).memory_bytes
    }
}

/// One open file of the host that opened it; dropping it closes the file.
#[derive(Debug)]
pub(crate) struct Descriptor {
    host: HostId,
    epoch: u32,
}

/// Opens one more file on the current host.
///
/// # Errors
/// `EMFILE` at the host's limit.
pub(crate) fn open() -> io::Result<Descriptor> {
    common::with(|common| {
        let host = common.current_host();
        let mut limits = common.limits.borrow_mut();
        let account = limits.account(host);
        if account.open_files_limit.is_some_and(|limit| account.open_files >= limit) {
            return Err(io::Error::from_raw_os_error(libc::EMFILE));
        }
        account.open_files += 1;
        Ok(Descriptor { host, epoch: account.epoch })
    })
}

impl Drop for Descriptor {
    fn drop(&mut self) {
        common::try_with(|common| {
            let mut limits = common.limits.borrow_mut();
            let account = limits.account(self.host);
            if account.epoch == self.epoch {
                account.open_files -= 1;
            }
        });
    }
}

/// Connections, listeners, sockets and files that a host's processes have open.
pub fn open_files(host: Host) -> u64 {
    common::with(|common| common.limits.borrow_mut().account(host.0).open_files)
}

impl Host {
    /// Lets its processes have so many connections, listeners, sockets and files open together (Linux:
    /// `RLIMIT_NOFILE`); one more fails with `EMFILE`. `None`, the default: any number. What is open stays open.
    pub fn set_open_files_limit(self, limit: Option<u64>) {
        common::with(|common| common.limits.borrow_mut().account(self.0).open_files_limit = limit);
    }

    /// Lets its processes reserve so many bytes with [`crate::memory::reserve`]. `None`, the default: any number. What
    /// is reserved stays so.
    pub fn set_memory_limit(self, bytes: Option<u64>) {
        common::with(|common| common.limits.borrow_mut().account(self.0).memory_limit_bytes = bytes);
    }
}
