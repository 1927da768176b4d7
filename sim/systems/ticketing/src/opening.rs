//! Opening a sale: the stock and the seats that are there before the first buyer comes.
use redis::{RedisResult, aio::ConnectionLike};

use crate::{Config, keys, seat::map};

/// Seats written by one command.
const SEATS_PER_COMMAND: u32 = 500;

/// Writes the stock and the seats of every run on sale. What is there already stays, so a sale can be opened again
/// after a part of it failed.
///
/// # Errors
/// Those of Redis.
pub async fn open_sale(redis: &mut impl ConnectionLike, config: &Config) -> RedisResult<()> {
    for run in config.sale.runs() {
        let (id, segments) = (&run.train.id, run.segments());
        let shard = config.shards.of_run(id);
        for class in &run.classes {
            let stock = keys::stock(shard, id, class.class);
            let seats = keys::seats(shard, id, class.class);
            let mut pipeline = redis::pipe();
            for segment in 0..segments {
                pipeline.cmd("HSETNX").arg(&stock).arg(segment).arg(class.seats).ignore();
            }
            let exists: bool = redis::cmd("EXISTS").arg(&seats).query_async(redis).await?;
            let free = "0".repeat(segments as usize);
            for first in (0..class.seats).step_by(SEATS_PER_COMMAND as usize) {
                let last = first.saturating_add(SEATS_PER_COMMAND).min(class.seats);
                for number in first..last {
                    if exists {
                        pipeline.cmd("HSETNX").arg(&seats).arg(map::label(number)).arg(&free).ignore();
                    }
                }
                if !exists {
                    let command = pipeline.cmd("HSET").arg(&seats);
                    for number in first..last {
                        command.arg(map::label(number)).arg(&free);
                    }
                    command.ignore();
                }
            }
            pipeline.query_async::<()>(redis).await?;
        }
    }
    Ok(())
}
