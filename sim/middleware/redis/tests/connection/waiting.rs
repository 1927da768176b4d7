//! Commands that wait for data, compared with a real server.

use crate::duet::compare;

#[test]
fn lists_are_waited_for_in_the_order_of_coming() {
    compare(&[
        "
        1! BLPOP k 0
        2! BRPOP k 0
        3: RPUSH k a b c
        1<
        2<
        3: LRANGE k 0 -1
        1: BLPOP k 0
        1! BLPOP x y z 0
        3: RPUSH z 1
        1<
        1! BLPOP x y 0
        3: MULTI
        3: RPUSH y 1
        3: RPUSH x 2
        3: EXEC
        1<
        3: LRANGE x 0 -1
        ",
        "
        1! BLPOP k 0
        3: MULTI
        3: RPUSH k 1
        3: DEL k
        3: EXEC
        3: SET k string
        3: DEL k
        3: EVAL redis.call('RPUSH','k','s')return(redis.call('LLEN','k')) 0
        1<
        1: GET k
        ",
        "
        3: SET k v
        1: BLPOP k 0
        1: BLPOP a k 0
        3: RPUSH b 1
        1: BLPOP b k 0
        1: BLPOP a -1
        1: BLPOP a x
        1: BLPOP a inf
        1: BLPOP a 1e400
        1: BLPOP a 99999999999999999999
        1: BLPOP a
        1: BLPOP a 0.01
        1: BRPOP a b c 0.01
        1: BLMOVE a b LEFT RIGHT 0.01
        1: BRPOPLPUSH a b 0.01
        1: BLMPOP 0.01 2 a b LEFT
        1: BZPOPMIN a 0.01
        1: BZMPOP 0.01 1 a MAX
        1: XREAD BLOCK 5 STREAMS a $
        1: BLMOVE a b LEFT UP 0
        1: BLMOVE a b LEFT RIGHT x
        1: BLMPOP 0 0 a LEFT
        1: BLMPOP x 1 a LEFT
        1: BLMPOP 0 1 a LEFT COUNT 0
        1: BLMPOP 0 1 a MIDDLE
        1: BLMPOP 0 3 a LEFT
        1: BZMPOP 0 1 a LEFT
        1: BZPOPMAX a nan
        1: XREAD BLOCK -1 STREAMS a $
        1: XREAD BLOCK x STREAMS a $
        1: XREAD BLOCK
        ",
    ]);
}

#[test]
fn elements_are_moved_when_they_come() {
    compare(&[
        "
        1! BLMOVE s d LEFT RIGHT 0
        2! BRPOPLPUSH d e 0
        3! BLPOP e 0
        4: RPUSH s 1
        1<
        2<
        3<
        4: EXISTS s d e
        ",
        "
        4: SET d string
        1! BLMOVE s d LEFT RIGHT 0
        2! BLPOP s 0
        4: RPUSH s 1
        1<
        2<
        1: BLMOVE s d LEFT RIGHT 0.01
        4: RPUSH s 2
        1: BLMOVE s d LEFT RIGHT 0
        1: BRPOPLPUSH s s 0
        ",
        "
        1! BLMPOP 0 2 a b RIGHT COUNT 3
        2! BLMPOP 0 1 b LEFT
        4: RPUSH b 1 2 3 4
        1<
        2<
        4: EXISTS b
        4: RPUSH a 1 2
        1: BLMPOP 0 2 b a LEFT COUNT 10
        ",
    ]);
}

#[test]
fn sorted_sets_are_waited_for() {
    compare(&[
        "
        1! BZPOPMIN z 0
        2! BZPOPMAX y z 0
        3! BZMPOP 0 2 y z MIN COUNT 2
        4: ZADD z 1 a 2 b 3 c 4 d
        1<
        2<
        3<
        4: EXISTS z
        4: ZADD z 1.5 a
        1: BZPOPMIN z 0
        1! BLPOP z 0
        2! BZPOPMIN z 0
        4: ZADD z 1 a
        2<
        4: RPUSH z 1
        1<
        ",
        "
        1~ HELLO 3
        1! BZPOPMIN z 0
        4: ZADD z 1 a
        1<
        1! BZMPOP 0 1 z MAX
        4: ZADD z 1 a
        1<
        1! BLPOP l 0
        4: RPUSH l a
        1<
        1: BLPOP l 0.01
        1! XREAD BLOCK 0 STREAMS x $
        4: XADD x 1-1 f v
        1<
        1: XREAD BLOCK 5 STREAMS x $
        ",
    ]);
}

#[test]
fn entries_of_streams_are_waited_for() {
    compare(&[
        "
        1! XREAD BLOCK 0 STREAMS x $
        2! XREAD COUNT 1 BLOCK 0 STREAMS y x 0 5-0
        3: XADD x 1-1 f v
        1<
        3: XADD x 6-1 f v
        2<
        1! XREAD BLOCK 0 STREAMS x $
        3: MULTI
        3: XADD x 7-1 f v
        3: XADD x 7-2 f v
        3: XDEL x 7-1
        3: EXEC
        1<
        1! XREAD BLOCK 0 STREAMS x $
        3: MULTI
        3: XADD x 8-1 f v
        3: XDEL x 8-1
        3: EXEC
        1<
        1: XREAD BLOCK 0 STREAMS x 7-0
        1: XREAD BLOCK 0 BLOCK 5 STREAMS x $
        ",
        "
        3: XGROUP CREATE x g $ MKSTREAM
        1! XREADGROUP GROUP g one BLOCK 0 STREAMS x >
        2! XREADGROUP GROUP g two BLOCK 0 NOACK STREAMS x >
        3: XADD x 1-1 f v
        1<
        3: XADD x 1-2 f v
        2<
        3: XPENDING x g
        1: XREADGROUP GROUP g one BLOCK 0 STREAMS x 0
        1! XREADGROUP GROUP g one BLOCK 0 STREAMS x >
        3: XGROUP DESTROY x g
        1<
        3: XGROUP CREATE x g $
        1! XREADGROUP GROUP g one BLOCK 0 STREAMS x >
        3: DEL x
        1<
        3: XGROUP CREATE x g $ MKSTREAM
        1! XREADGROUP GROUP g one BLOCK 0 STREAMS x >
        3: SET x string
        1<
        3: DEL x
        3: XGROUP CREATE x g $ MKSTREAM
        1! XREADGROUP GROUP g one BLOCK 0 STREAMS x >
        2! XREAD BLOCK 0 STREAMS x $
        3: FLUSHALL
        1<
        3: XADD x 1-1 f v
        2<
        1: XREADGROUP GROUP g one BLOCK 0 STREAMS x >
        ",
    ]);
}

#[test]
fn nobody_waits_within_a_transaction_or_a_script() {
    compare(&["
        1: MULTI
        1: BLPOP k 0
        1: BLMOVE k d LEFT RIGHT 0
        1: BLMPOP 0 1 k LEFT
        1: BZPOPMIN k 0
        1: BZMPOP 0 1 k MIN
        1: XREAD BLOCK 0 STREAMS k $
        1: WAIT 1 0
        1: RPUSH k 1
        1: BRPOP k 0
        1: EXEC
        1: EVAL return(redis.call('BLPOP','k',0)) 0
        1: EVAL return(redis.call('BLMPOP',0,1,'k','LEFT')) 0
        1: EVAL return(redis.call('XREAD','BLOCK',0,'STREAMS','k','$')) 0
        1: EVAL return(redis.pcall('xreadgroup','GROUP','g','c','BLOCK',0,'STREAMS','k','$')) 0
        "]);
}

#[test]
fn requests_behind_one_that_waits_are_answered_after_it() {
    compare(&[
        "
        1! BLPOP k 0
        1! PING
        1! BLPOP k 0
        2: RPUSH k 1 2
        1<3
        ",
        "
        1! CLIENT REPLY SKIP
        1! BLPOP k 0
        2: RPUSH k 1 2
        1: PING
        2: LRANGE k 0 -1
        1! CLIENT REPLY OFF
        1! BLPOP nothing 0.01
        1: CLIENT REPLY ON
        ",
    ]);
}

#[test]
fn clients_are_unblocked_by_others() {
    compare(&["
        1! BLPOP k 0
        2: CLIENT UNBLOCK {1}
        1<
        1! BLMOVE k d LEFT LEFT 0
        2: CLIENT UNBLOCK {1} ERROR
        1<
        1! XREAD BLOCK 0 STREAMS k $
        2: CLIENT UNBLOCK {1} TIMEOUT
        1<
        1! WAIT 3 0
        2: CLIENT UNBLOCK {1}
        1<
        1! WAIT 3 0
        2: CLIENT UNBLOCK {1} ERROR
        1<
        2: CLIENT UNBLOCK {1}
        2: CLIENT UNBLOCK {2}
        2: CLIENT UNBLOCK 99999
        2: CLIENT UNBLOCK x
        2: CLIENT UNBLOCK {1} NOPE
        2: CLIENT UNBLOCK
        2: RPUSH k 1
        1: LPOP k
        1! BLPOP k 0
        2: REPLICAOF 127.0.0.1 1
        1<2
        2: REPLICAOF NO ONE
        "]);
}
