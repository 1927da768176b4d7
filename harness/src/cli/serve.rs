//! `rehearse serve`.

use std::net::{Ipv4Addr, SocketAddrV4};

use clap::{Args, ValueEnum};

use super::Exit;
use super::run::draw_seed;
use crate::serve::{self, Service};

#[derive(Debug, Args)]
pub(super) struct ServeArgs {
    /// What to serve
    #[arg(value_enum)]
    what: What,
    /// Where: a loopback address and a port; more servers take the next ports [default: 127.0.0.1:6379 for redis,
    /// 127.0.0.1:7000 for redis-cluster, whose bus takes the ports 10000 above]
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = loopback)]
    listen: Option<SocketAddrV4>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum What {
    /// One simulated Redis server
    Redis,
    /// Three masters with a replica each
    RedisCluster,
}

/// Others than this machine have no business with a simulated server.
fn loopback(text: &str) -> Result<SocketAddrV4, String> {
    let address: SocketAddrV4 = text.parse().map_err(|_| "expected ADDRESS:PORT, such as 127.0.0.1:7000")?;
    if !address.ip().is_loopback() {
        return Err(format!("{} is not a loopback address, such as 127.0.0.1", address.ip()));
    }
    if address.port() == 0 {
        return Err("expected a port from 1".to_owned());
    }
    Ok(address)
}

/// Serves until Ctrl-C.
pub(super) fn serve(args: &ServeArgs) -> Exit {
    let service = match args.what {
        What::Redis => Service::Redis,
        What::RedisCluster => Service::RedisCluster,
    };
    let at = args.listen.unwrap_or(SocketAddrV4::new(Ipv4Addr::LOCALHOST, service.default_port()));
    // Being told to end is how it ends. Nothing is kept, so there is nothing to put in order.
    if let Err(error) = ctrlc::set_handler(|| std::process::exit(0)) {
        eprintln!("rehearse: Ctrl-C cannot be waited for: {error}");
        return Exit::Internal;
    }
    match serve::serve(service, at, draw_seed()) {
        Ok(()) => Exit::Held,
        Err(error) => {
            eprintln!("rehearse: {error}");
            Exit::Internal
        }
    }
}
