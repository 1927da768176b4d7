//! Memory that a host's processes say they use, and that may run out.
//!
//! Services reserve what grows with their load (buffers, caches, queues), as a real allocation would fail or a control
//! group would refuse.

use std::io;

use crate::common;
use crate::common::hosts::HostId;
use crate::host::Host;

/// Memory reserved on a host; dropping it gives it back, and so does the end of the host's processes.
#[derive(Debug)]
pub struct Reservation {
    host: HostId,
    epoch: u32,
    bytes: u64,
}

/// Reserves memory on the current host.
///
/// # Errors
/// `ENOMEM` (`ErrorKind::OutOfMemory`) beyond [`Host::set_memory_limit`].
pub fn reserve(bytes: u64) -> io::Result<Reservation> {
    common::with(|common| {
        let host = common.current_host();
        let epoch = common.limits.borrow_mut().take_memory(host, bytes)?;
        Ok(Reservation { host, epoch, bytes })
    })
}

/// Bytes that a host's processes have reserved.
pub fn used(host: Host) -> u64 {
    common::with(|common| common.limits.borrow_mut().memory_bytes(host.0))
}

impl Reservation {
    /// Its size in bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Makes it larger or smaller.
    ///
    /// # Errors
    /// `ENOMEM` beyond the limit, and when its host has been down since; it then keeps its size.
    pub fn resize(&mut self, bytes: u64) -> io::Result<()> {
        common::with(|common| {
            let mut limits = common.limits.borrow_mut();
            if !limits.is_current(self.host, self.epoch) {
                return Err(io::Error::from_raw_os_error(libc::ENOMEM));
            }
            match bytes.checked_sub(self.bytes) {
                Some(more) => _ = limits.take_memory(self.host, more)?,
                None => limits.give_memory_back(self.host, self.epoch, self.bytes - bytes),
            }
            self.bytes = bytes;
            Ok(())
        })
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        common::try_with(|common| {
            common.limits.borrow_mut().give_memory_back(self.host, self.epoch, self.bytes);
        });
    }
}
