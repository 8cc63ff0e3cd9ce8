//! Neighbors that the board does not know, several of them at once, and one whose MAC address changes.

use core::time::Duration;

use crate::{
    host::{Host, Identity},
    probe::{Group, Level, Probe, Seconds, Stop, require},
};

pub(super) const PROBES: &[Probe] = &[
    Probe::new(
        Group::Link,
        "neighbor-queue",
        (Level::Should, "RFC 1122, 2.3.2.2; RFC 4861, 7.2.2"),
        "a reply to an unknown neighbor is kept until its MAC address is known",
        &["the packet that causes address resolution is dropped: the first packet of each conversation is lost"],
        queue,
    )
    .quick(),
    Probe::new(
        Group::Link,
        "neighbor-two",
        (Level::Should, "RFC 1122, 2.3.2.2; RFC 4861, 7.2.2"),
        "replies to two unknown neighbors are kept, one for each",
        &["there is one queue of one packet for all neighbors, or one address resolution at a time"],
        two,
    ),
    Probe::new(
        Group::Link,
        "neighbor-stale",
        (Level::Should, "RFC 1122, 2.3.2.1; RFC 4861, 7.3"),
        "a neighbor whose MAC address changed without an announcement is found again within 70 s",
        &["entries of the neighbor cache do not expire while they are used: a host whose card was replaced is lost"],
        stale,
    )
    .long()
    .waits(70),
];

fn queue(host: &Host<'_>) -> Result<String, Stop> {
    host.set_identity(host.unknown(0)?);
    let reply = host.echo(1, b"who is there?", host.board.reply_time())?;
    require(reply.is_some(), || "the first echo request of a host is not answered".to_owned())?;
    Ok("kept".to_owned())
}

fn two(host: &Host<'_>) -> Result<String, Stop> {
    let hosts = [host.unknown(0x10)?, host.unknown(0x20)?];
    for (sequence, identity) in (1..).zip(hosts) {
        host.answer_for(identity);
        host.set_identity(identity);
        host.send_ip(&host.echo_packet(sequence, b"who is there?"))?;
    }
    for (sequence, identity) in (1..).zip(hosts) {
        host.set_identity(identity);
        let reply = host.echo_reply(sequence, host.board.reply_time())?;
        require(reply.is_some(), || format!("host {sequence} of 2 that send at the same time gets no reply"))?;
    }
    Ok("both kept".to_owned())
}

fn stale(host: &Host<'_>) -> Result<String, Stop> {
    const MOST: Duration = Duration::from_secs(70);
    let before = host.unknown(0)?;
    host.set_identity(before);
    host.expect_echo("before")?;
    let after = Identity { mac: host.other_mac(), ..before };
    host.set_identity(after);
    let begin = host.now();
    for sequence in 1.. {
        let reply = host.echo(sequence, b"moved?", Duration::from_secs(2))?;
        let took = host.now().saturating_sub(begin);
        if reply.as_ref().is_some_and(|reply| reply.destination() == after.mac) {
            return Ok(format!("after {}", Seconds(took)));
        }
        if reply.is_some() {
            host.wait(Duration::from_secs(2))?;
        }
        if took >= MOST {
            break;
        }
    }
    Err(Stop::failed(format!("its echo replies still go to {} after {}", before.mac, Seconds(MOST))))
}
