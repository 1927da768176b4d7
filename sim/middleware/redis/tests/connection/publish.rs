//! Publish/subscribe, compared with a real server.

use crate::duet::compare;

#[test]
fn messages_come_to_those_who_subscribed_and_to_no_others() {
    compare(&[
        "
        1: SUBSCRIBE a
        2: PSUBSCRIBE a*
        3: PUBLISH a one
        1<
        2<
        3: PUBLISH ab two
        2<
        3: PUBLISH b three
        1! SUBSCRIBE b b c
        1<3
        3: PUBLISH b four
        1<
        1: UNSUBSCRIBE b
        3: PUBLISH b five
        1: UNSUBSCRIBE c
        1: UNSUBSCRIBE
        1: UNSUBSCRIBE
        1: UNSUBSCRIBE never
        1: PUNSUBSCRIBE
        1: PUNSUBSCRIBE never
        1: SUNSUBSCRIBE
        1: GET k
        2: PUNSUBSCRIBE a*
        3: PUBLISH ab six
        ",
        "
        1: SSUBSCRIBE s
        2: SUBSCRIBE s
        3: SPUBLISH s one
        1<
        3: PUBLISH s two
        2<
        1: SSUBSCRIBE t
        3: PUBSUB SHARDCHANNELS t*
        3: PUBSUB SHARDNUMSUB s t u
        1: SUNSUBSCRIBE s
        1: SUNSUBSCRIBE t
        3: PUBSUB SHARDCHANNELS
        ",
        "
        1: SUBSCRIBE a
        2! SUBSCRIBE a b
        2<2
        3! PSUBSCRIBE x* x* y*
        3<3
        4: PUBSUB NUMSUB a b c
        4: PUBSUB NUMSUB
        4: PUBSUB NUMPAT
        4: PUBSUB CHANNELS b*
        4: PUBSUB CHANNELS nope
        4: PUBSUB CHANNELS a b
        4: PUBSUB NOPE
        4: PUBSUB NUMPAT 1
        4: PUBSUB HELP
        4: PUBSUB
        4: PUBLISH a
        4: SUBSCRIBE
        ",
    ]);
}

#[test]
fn in_resp2_a_subscriber_says_little_else() {
    compare(&[
        "
        1: SUBSCRIBE a
        1: PING
        1: PING hello
        1: PING one two
        1: GET k
        1: CONFIG GET maxmemory
        1: PUBLISH a x
        1: NOPE
        1: MULTI
        1~ HELLO 3
        1: PSUBSCRIBE p
        1: RESET
        1: PING
        2: PUBLISH a gone
        1: SUBSCRIBE a
        1: QUIT
        1<
        2: PUBLISH a gone
        ",
        "
        1: MULTI
        1: SUBSCRIBE a
        1: PING
        1: EXEC
        1<
        2: MULTI
        2: SSUBSCRIBE a
        2: EXEC
        ",
        "
        1! CLIENT REPLY OFF
        1! GET k
        1: SUBSCRIBE a
        2: PUBLISH a one
        1<
        ",
    ]);
}

#[test]
fn in_resp3_messages_are_pushed_between_the_replies() {
    compare(&[
        "
        1~ HELLO 3
        1: SUBSCRIBE a
        1: GET k
        1: PING
        1! PUBLISH a self
        1<2
        2: PUBLISH a other
        1<
        1: MULTI
        1: PUBLISH a inside
        1: SET k v
        1! EXEC
        1<
        1! EVAL return(redis.call('PUBLISH',KEYS[1],'script')) 1 a
        1<2
        1! UNSUBSCRIBE
        1<
        1: PSUBSCRIBE *
        2: PUBLISH b x
        1<
        1: RESET
        1: PING
        ",
        "
        2: EVAL return(redis.call('PUBLISH','a','x')) 0
        2: EVAL return(redis.call('SUBSCRIBE','a')) 0
        2: EVAL_RO return(redis.call('PUBLISH','a','x')) 0
        2: EVAL return(redis.call('PUBSUB','NUMPAT')) 0
        ",
    ]);
}
