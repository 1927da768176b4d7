//! The token buckets, on a simulated Redis.
use std::time::Duration;

use world::time::sleep;

use crate::service::{
    Instance,
    testing::{config, on_sale},
};

use super::rate_limit::wait_ms;

#[test]
fn ten_at_once_then_three_a_second() {
    on_sale(config(1), |instance| async move {
        let mut passed = 0;
        for _ in 0..20 {
            passed += u32::from(wait_ms(&instance, "alice", "phone").await.expect("an answer").is_none());
        }
        assert_eq!(passed, 10);
        let wait = wait_ms(&instance, "alice", "phone").await.expect("an answer").expect("too many");
        assert!((1..=334).contains(&wait), "{wait}");
        sleep(Duration::from_millis(wait)).await;
        assert_eq!(wait_ms(&instance, "alice", "phone").await, Ok(None));
        let mut passed = 0;
        for _ in 0..1000 {
            sleep(Duration::from_millis(10)).await;
            passed += u32::from(wait_ms(&instance, "alice", "phone").await.expect("an answer").is_none());
        }
        // Ten seconds and a thousand round trips of about a millisecond.
        assert!((30..=40).contains(&passed), "{passed}");
    });
}

#[test]
fn account_and_device_are_limited_each() {
    on_sale(config(1), |instance| async move { limited_each(&instance).await });
    on_sale(config(1), |mut instance| async move {
        instance.store = instance.store.without_slots();
        limited_each(&instance).await;
    });
}

async fn limited_each(instance: &Instance) {
    for number in 0..10 {
        let account = format!("alice-{number}");
        assert_eq!(wait_ms(instance, &account, "phone").await, Ok(None));
    }
    assert!(wait_ms(instance, "bob", "phone").await.expect("an answer").is_some());
    // Who is refused because of the device loses nothing of the account's, and the other way round.
    for number in 0..10 {
        let device = format!("tablet-{number}");
        assert_eq!(wait_ms(instance, "bob", &device).await, Ok(None));
    }
    for _ in 0..3 {
        assert!(wait_ms(instance, "bob", "laptop").await.expect("an answer").is_some());
    }
    for number in 0..10 {
        let account = format!("carol-{number}");
        assert_eq!(wait_ms(instance, &account, "laptop").await, Ok(None));
    }
}
