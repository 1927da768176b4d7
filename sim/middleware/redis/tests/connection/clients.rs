//! `CLIENT` and what it does to others, compared with a real server.

use crate::duet::compare;

#[test]
fn clients_are_killed_by_others_and_by_themselves() {
    compare(&[
        "
        1: CLIENT KILL ID {2}
        2<
        1: CLIENT KILL ID {2}
        3: SUBSCRIBE a
        1: CLIENT KILL TYPE pubsub
        3<
        1: PUBLISH a x
        1: CLIENT KILL 1.2.3.4:5
        1: CLIENT KILL ID 0
        1: CLIENT KILL TYPE nope
        1: CLIENT KILL USER nobody
        1: CLIENT KILL ID {1} SKIPME maybe
        1: CLIENT KILL ID {1} NOPE x
        1: CLIENT KILL ID
        1: CLIENT KILL ID {1} TYPE
        1: CLIENT KILL ID {1}
        1: CLIENT KILL ID {1} SKIPME no
        1<
        ",
        "
        1! BLPOP k 0
        2: CLIENT KILL ID {1}
        1<
        2: RPUSH k 1
        2: LLEN k
        ",
    ]);
}

#[test]
fn a_connection_is_named_and_configured() {
    compare(&["
        1: CLIENT GETNAME
        1: CLIENT SETNAME me
        1: CLIENT GETNAME
        1: CLIENT SETNAME with_blank
        1: CLIENT SETNAME ''
        1: CLIENT GETNAME
        1: CLIENT SETINFO LIB-NAME x
        1: CLIENT NOPE
        1: CLIENT
        1: CLIENT ID x
        1: CLIENT NO-EVICT ON
        1: CLIENT NO-EVICT x
        1: CLIENT LIST TYPE nope
        1: CLIENT LIST ID x
        1: CLIENT LIST ID
        1: CLIENT LIST NOPE 1
        1: CLIENT LIST ID 999999
        1: CLIENT LIST TYPE master
        1: CLIENT REPLY nope
        1! CLIENT REPLY SKIP
        1! PING
        1: ECHO after
        1! CLIENT REPLY OFF
        1! CLIENT REPLY SKIP
        1! PING
        1! PING
        1: CLIENT REPLY ON
        1: PING
        1~ HELLO 2 SETNAME you
        1: CLIENT GETNAME
        1: RESET
        1: CLIENT GETNAME
        "]);
}

#[test]
fn a_pause_holds_back_what_it_says_and_no_more() {
    compare(&[
        "
        1: CLIENT PAUSE 100000 WRITE
        2: GET k
        2! SET k 1
        3: PUBSUB NUMPAT
        3! PUBLISH a x
        4! MULTI
        4<
        4: GET k
        4! INCR k
        1: GET k
        1: CLIENT UNPAUSE
        2<
        3<
        4<
        4: EXEC
        1: GET k
        ",
        "
        1: CLIENT PAUSE 60
        2! PING
        2<
        1: CLIENT PAUSE 60 ALL
        2! GET k
        1: GET k
        2<
        1: CLIENT PAUSE 0
        1: CLIENT PAUSE -1
        1: CLIENT PAUSE x
        1: CLIENT PAUSE 1 NOPE
        1: CLIENT PAUSE
        1: CLIENT UNPAUSE
        2: PING
        ",
        "
        1: SET k v PX 30
        1: CLIENT PAUSE 100000 WRITE
        2: EVAL_RO return(1) 0
        2! EVAL return(1) 0
        3! BLPOP l 0
        1! BLPOP m 0
        4: CLIENT UNPAUSE
        2<
        4: RPUSH l 1
        3<
        4: RPUSH m 1
        1<
        ",
    ]);
}
