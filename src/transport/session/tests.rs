//! What a member may send, frame by frame.

use super::super::control::What;
use super::super::cutter::SHARE;
use super::super::run::tests::numbers;
use super::*;

const PAYLOAD: usize = 100_000;

fn me() -> MemberId {
    Slot::worker(1).member(Incarnation::new(4))
}

fn session() -> Session {
    let directory = Directory::new([(Role::AGENT, 1), (Role::WORKER, 3)]);
    Session::new(me(), Arc::new(directory), Limits { payload: PAYLOAD }, Arc::default())
}

fn greeted() -> Session {
    let mut session = session();
    let mut buffer = BytesMut::new();
    Hello::of(me()).put(&mut buffer);
    assert_eq!(session.digest(&mut buffer, |_| None).expect("a greeting").said, [Said::Hello]);
    session
}

fn put(buffer: &mut BytesMut, kind: Kind, to: impl Into<Address>, correlation: u32, payload: usize) {
    let header = Header { to: to.into(), correlation, ..Header::bare(kind) };
    frame::put(buffer, header, "act", &vec![0; payload]);
}

fn frames(kind: Kind, to: impl Into<Address> + Copy, numbers: &[u32]) -> BytesMut {
    let mut buffer = BytesMut::new();
    for &number in numbers {
        put(&mut buffer, kind, to, number, 10);
    }
    buffer
}

fn refused(session: &mut Session, mut buffer: BytesMut) -> WireError {
    session.digest(&mut buffer, |_| Some(Slot::worker(2))).expect_err("it must not come")
}

#[test]
fn nothing_goes_before_the_greeting_and_it_must_be_the_right_one() {
    for kind in [Kind::Ready, Kind::Ack, Kind::Exception, Kind::Watch, Kind::Pong] {
        let mut buffer = BytesMut::new();
        frame::put(&mut buffer, Header::bare(kind), "", b"");
        assert_eq!(refused(&mut session(), buffer), WireError::WrongState(kind));
    }
    let message = frames(Kind::Message, Slot::agent(), &[1]);
    assert_eq!(refused(&mut session(), message), WireError::WrongState(Kind::Message));
    for wrong in [
        Hello { protocol: 99, ..Hello::of(me()) },
        Hello { codec: 99, ..Hello::of(me()) },
        Hello { incarnation: 3, ..Hello::of(me()) },
        Hello { index: 0, ..Hello::of(me()) },
    ] {
        let mut buffer = BytesMut::new();
        wrong.put(&mut buffer);
        assert!(matches!(refused(&mut session(), buffer), WireError::Handshake(_)), "{wrong:?}");
    }
    let mut long = BytesMut::new();
    put(&mut long, Kind::Hello, Slot::agent(), 0, 5_000);
    assert_eq!(refused(&mut session(), long), WireError::TooLong { len: 5_000, limit: 4_096 });
}

#[test]
fn what_only_the_master_says_and_what_is_said_once_is_refused_from_a_member() {
    let masters = [Kind::ClusterReady, Kind::Stay, Kind::Drain, Kind::Stop, Kind::Credit, Kind::Roster, Kind::Ping];
    for kind in masters.into_iter().chain([Kind::Hello]) {
        let mut buffer = BytesMut::new();
        frame::put(&mut buffer, Header::bare(kind), "", b"");
        assert_eq!(refused(&mut greeted(), buffer), WireError::WrongState(kind));
    }
    for kind in [Kind::Ready, Kind::Watch] {
        let mut buffer = BytesMut::new();
        frame::put(&mut buffer, Header::bare(kind), "", b"");
        frame::put(&mut buffer, Header::bare(kind), "", b"");
        assert_eq!(refused(&mut greeted(), buffer), WireError::WrongState(kind), "twice");
    }
}

#[test]
fn topics_have_names_and_what_is_for_the_shelf_is_for_nobody_else() {
    let wish = |want: u32, to: Address, topic: &str| {
        let mut buffer = BytesMut::new();
        frame::put(&mut buffer, Header { to, detail: want, ..Header::bare(Kind::Shelf) }, topic, b"");
        buffer
    };
    for want in Want::ALL.map(Want::to_detail) {
        let mut mixed = wish(want, Address::shelf(), "a");
        mixed.extend(wish(want, Address::shelf(), "b"));
        mixed.extend(frames(Kind::Message, Slot::worker(0), &[3]));
        let digest = greeted().digest(&mut mixed, |_| None).expect("all is in order");
        let runs: Vec<_> = digest.runs.iter().map(|(to, run)| (*to, run.frames)).collect();
        assert_eq!(runs, [(Destination::Shelf, 2), (Destination::Slot(Slot::worker(0)), 1)]);
        let to_member = wish(want, Slot::agent().into(), "a");
        assert_eq!(refused(&mut greeted(), to_member), WireError::UnknownAddress(Slot::agent().into()));
        let nameless = wish(want, Address::shelf(), "");
        assert_eq!(refused(&mut greeted(), nameless), WireError::Malformed(Kind::Shelf));
    }
    for want in [0, 5] {
        let nothing = wish(want, Address::shelf(), "a");
        assert_eq!(refused(&mut greeted(), nothing), WireError::Malformed(Kind::Shelf));
    }
    let mut session = greeted();
    let mut all = BytesMut::new();
    (0..session.window / 128).for_each(|_| all.extend(wish(1, Address::shelf(), "a")));
    session.digest(&mut all, |_| None).expect("within the credit");
    let over = refused(&mut session, wish(1, Address::shelf(), "a"));
    assert_eq!(over, WireError::OverCredit(Address::shelf()));
    for kind in [Kind::Message, Kind::Call] {
        let message = frames(kind, Address::shelf(), &[1]);
        assert_eq!(refused(&mut greeted(), message), WireError::UnknownAddress(Address::shelf()));
    }
    let kept = frames(Kind::Kept, me(), &[1]);
    assert_eq!(refused(&mut greeted(), kept), WireError::WrongState(Kind::Kept));
}

#[test]
fn a_pong_is_heard_once_for_each_ping_and_says_nothing_else() {
    let pongs = |count: usize| {
        let mut buffer = BytesMut::new();
        (0..count).for_each(|_| frame::put_bare(Kind::Pong, &mut buffer));
        buffer
    };
    let wrong = WireError::WrongState(Kind::Pong);
    let mut session = greeted();
    assert_eq!(refused(&mut session, pongs(1)), wrong, "nobody has asked");
    for _ in 0..3 {
        session.books.ask();
        assert_eq!(session.digest(&mut pongs(1), |_| None).expect("it was asked").said, [Said::Pong]);
    }
    assert_eq!(refused(&mut session, pongs(1)), wrong, "it has answered");
    session.books.ask();
    assert_eq!(refused(&mut session, pongs(1_000)), wrong, "and does not stop");
    let mut session = greeted();
    session.books.ask();
    let mut talkative = BytesMut::new();
    frame::put(&mut talkative, Header::bare(Kind::Pong), "", b"!");
    assert_eq!(refused(&mut session, talkative), wrong);
    session.books.ask();
    let mut named = BytesMut::new();
    frame::put(&mut named, Header::bare(Kind::Pong), "act", b"");
    assert_eq!(refused(&mut session, named), WireError::Malformed(Kind::Pong));
}

#[test]
fn frames_are_found_however_they_are_cut_by_the_reads() {
    let mut whole = BytesMut::new();
    Hello::of(me()).put(&mut whole);
    whole.extend(frames(Kind::Message, Slot::worker(0), &[1, 2]));
    Report { what: What::Reported, leaving: false, text: "oops".into(), backtrace: String::new() }.put(&mut whole);
    whole.extend(frames(Kind::Message, Slot::worker(0), &[3]));
    for step in [1, 7, 33, whole.len()] {
        let mut session = session();
        let (mut buffer, mut said, mut got) = (BytesMut::new(), Vec::new(), Vec::new());
        for piece in whole.chunks(step) {
            buffer.extend_from_slice(piece);
            let digest = session.digest(&mut buffer, |_| None).expect("all is in order");
            said.extend(digest.said);
            got.extend(digest.runs.iter().flat_map(|(_, run)| numbers(run)));
        }
        assert_eq!((said.len(), got, buffer.len()), (2, vec![1, 2, 3], 0), "in steps of {step}");
    }
}

#[test]
fn runs_are_cut_by_destination_and_keep_each_ones_order() {
    let mut buffer = BytesMut::new();
    let (zero, two) = (Slot::worker(0), Slot::worker(2));
    for (to, number) in [(zero, 1), (two, 2), (zero, 3), (two, 4)] {
        put(&mut buffer, Kind::Message, to, number, 10);
    }
    put(&mut buffer, Kind::Message, Address::all(), 5, 10);
    put(&mut buffer, Kind::Message, zero, 6, 10);
    put(&mut buffer, Kind::Call, zero, 7, 10);
    put(&mut buffer, Kind::Message, zero, 8, 10);
    put(&mut buffer, Kind::Message, Address::random(Role::WORKER.rank()), 9, 10);
    let digest = greeted().digest(&mut buffer, |_| Some(two)).expect("all is in order");
    let cut: Vec<_> = digest.runs.iter().map(|(to, run)| (*to, numbers(run))).collect();
    let slot = Destination::Slot;
    assert_eq!(
        cut,
        [
            (slot(zero), vec![1, 3]),
            (slot(two), vec![2, 4]),
            (Destination::All, vec![5]),
            (slot(zero), vec![6]),
            (slot(zero), vec![7]),
            (slot(zero), vec![8]),
            (slot(two), vec![9]),
        ]
    );
    for (_, run) in &digest.runs {
        for (header, _) in frame::Frames(&run.bytes) {
            assert_eq!(header.from, me().into(), "stamped, whatever it said");
        }
    }
    assert!(digest.runs[4].1.calls && !digest.runs[5].1.calls);
    let (_, random) = &digest.runs[6];
    let (header, _) = frame::Frames(&random.bytes).next().expect("a frame");
    assert_eq!((header.to, header.flags.class, random.class), (two.into(), Class::Random, Class::Random));
}

#[test]
fn a_long_run_is_handed_on_as_it_was_read_and_a_short_one_keeps_no_buffer() {
    let mut buffer = BytesMut::new();
    put(&mut buffer, Kind::Message, Slot::worker(0), 1, SHARE);
    put(&mut buffer, Kind::Message, Slot::worker(2), 2, 10);
    let start = buffer.as_ptr() as usize;
    let range = start..start + buffer.len();
    let digest = greeted().digest(&mut buffer, |_| None).expect("all is in order");
    assert!(range.contains(&(digest.runs[0].1.bytes.as_ptr() as usize)));
    assert!(!range.contains(&(digest.runs[1].1.bytes.as_ptr() as usize)));
}

#[test]
fn who_sends_more_than_it_has_credit_for_is_found_out() {
    let mut session = greeted();
    let window = session.window;
    let full = (window / 128) as usize;
    let mut buffer = frames(Kind::Message, Slot::worker(0), &vec![1; full]);
    session.digest(&mut buffer, |_| None).expect("within the credit");
    let mut other = frames(Kind::Message, Slot::worker(2), &[1]);
    session.digest(&mut other, |_| None).expect("another account");
    let account = Account::Slot { rank: Role::WORKER.rank(), index: 0 };
    session.books.repay(account, 128);
    let mut one = frames(Kind::Message, Slot::worker(0), &[1]);
    session.digest(&mut one, |_| None).expect("one came back");
    let error = refused(&mut session, frames(Kind::Message, Slot::worker(0), &[1]));
    assert_eq!(error, WireError::OverCredit(Slot::worker(0).into()));
    let mut all = frames(Kind::Message, Address::all(), &vec![1; full]);
    assert_eq!(session.digest(&mut all, |_| None).expect("another account").group_charge, full as u32 * 128);
}

#[test]
fn a_reply_needs_an_open_call_and_a_call_one_callee() {
    let mut session = greeted();
    let caller = Slot::agent().member(Incarnation::FIRST);
    session.books.calls().open(caller, 7);
    let mut reply = frames(Kind::Reply, caller, &[7]);
    assert_eq!(session.digest(&mut reply, |_| None).expect("it is open").runs.len(), 1);
    assert_eq!(refused(&mut session, frames(Kind::Reply, caller, &[7])), WireError::NoSuchCall);
    for to in [Address::all(), Address::role(128)] {
        assert_eq!(refused(&mut greeted(), frames(Kind::Call, to, &[1])), WireError::UnknownAddress(to));
    }
    // What is in nobody's plan costs no credit: to pass it on, even back, would cost us without bound.
    for to in [Slot::worker(7).into(), Slot::worker(7).member(Incarnation::FIRST).into(), Address::role(77)] {
        assert_eq!(refused(&mut greeted(), frames(Kind::Message, to, &[1])), WireError::UnknownAddress(to));
    }
    let slot = Address::from(Slot::agent());
    assert_eq!(refused(&mut greeted(), frames(Kind::Reply, slot, &[1])), WireError::UnknownAddress(slot));
    // What only the master can know.
    session.books.calls().open(caller, 8);
    let mut died = BytesMut::new();
    let detail = Outcome::Undelivered(Reason::Died).to_detail();
    let header = Header { to: caller.into(), correlation: 8, detail, ..Header::bare(Kind::Reply) };
    frame::put(&mut died, header, "", b"");
    assert_eq!(refused(&mut session, died), WireError::Malformed(Kind::Reply));
}
