//! Clusters of our nodes in virtual time, over a network in memory that can be cut.

#[path = "cluster/failover.rs"]
mod failover;
#[path = "cluster/membership.rs"]
mod membership;
#[path = "cluster/net.rs"]
mod net;
#[path = "cluster/noise.rs"]
mod noise;
#[path = "cluster/partitions.rs"]
mod partitions;
#[path = "cluster/routing.rs"]
mod routing;
