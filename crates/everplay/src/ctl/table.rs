//! A node's answers as tables for people.

use super::api::short;
use crate::{Error, Result};
use serde::Deserialize;
use serde_json::Value;
use std::time::{SystemTime, UNIX_EPOCH};

#[derive(Deserialize)]
struct Nodes {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    incarnation: String,
    process: String,
    http: String,
    link: String,
    version: String,
    zone: String,
    me: bool,
    state: String,
    draining: bool,
    rooms: u32,
    queued: u64,
}

#[derive(Deserialize)]
struct Rooms {
    rooms: Vec<Room>,
}

#[derive(Deserialize)]
struct Room {
    id: String,
    kind: String,
    owner: String,
    epoch: u64,
    seq: u64,
    created_at: u64,
    listing: Listing,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Listing {
    clients: u32,
    max_clients: u32,
    locked: bool,
    private: bool,
    metadata: Value,
}

fn read<T: for<'a> Deserialize<'a>>(value: &Value) -> Result<T> {
    T::deserialize(value)
        .map_err(|error| Error::Command(format!("the node's answer makes no sense: {error}")))
}

pub(super) fn nodes(value: &Value) -> Result<String> {
    let rows = read::<Nodes>(value)?.nodes.into_iter().map(|node| {
        let state = if node.draining { format!("{}, draining", node.state) } else { node.state };
        let mark = if node.me { " *" } else { "" };
        vec![
            format!("{}{mark}", short(&node.incarnation)),
            state,
            node.rooms.to_string(),
            node.process,
            node.http,
            node.link,
            or_dash(node.zone),
            node.version,
            size(node.queued),
        ]
    });
    let head = ["NODE", "STATE", "ROOMS", "PROCESS", "HTTP", "LINKS", "ZONE", "VERSION", "QUEUED"];
    Ok(table(&head, rows.collect()) + "* the one that was asked\n")
}

pub(super) fn rooms(value: &Value) -> Result<String> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let rooms = read::<Rooms>(value)?.rooms;
    let count = match rooms.len() {
        1 => "1 room\n".to_owned(),
        count => format!("{count} rooms\n"),
    };
    let rows = rooms.into_iter().map(|room| {
        vec![
            room.id,
            room.kind,
            short(&room.owner).to_owned(),
            format!("{}/{}", room.listing.clients, room.listing.max_clients),
            flags(room.listing.locked, room.listing.private),
            room.epoch.to_string(),
            room.seq.to_string(),
            age(now.saturating_sub(room.created_at / 1000)),
        ]
    });
    let head = ["ROOM", "KIND", "NODE", "CLIENTS", "", "EPOCH", "RECORD", "AGE"];
    Ok(table(&head, rows.collect()) + &count)
}

pub(super) fn room(value: &Value) -> Result<String> {
    let room: Room = read(value)?;
    let lines = [
        ("room", room.id),
        ("kind", room.kind),
        ("node", room.owner),
        ("clients", format!("{} of {}", room.listing.clients, room.listing.max_clients)),
        ("joinable", flags(room.listing.locked, room.listing.private)),
        ("epoch", room.epoch.to_string()),
        ("record", room.seq.to_string()),
        ("metadata", room.listing.metadata.to_string()),
    ];
    Ok(lines.map(|(name, value)| format!("{name:<10}{}\n", or_dash(value))).concat())
}

fn flags(locked: bool, private: bool) -> String {
    match (locked, private) {
        (false, false) => String::new(),
        (true, false) => "locked".to_owned(),
        (false, true) => "private".to_owned(),
        (true, true) => "locked, private".to_owned(),
    }
}

fn or_dash(text: String) -> String {
    if text.is_empty() { "-".to_owned() } else { text }
}

fn size(bytes: u64) -> String {
    match bytes {
        0..=1023 => format!("{bytes} B"),
        1024..=1_048_575 => format!("{} KiB", bytes >> 10),
        _ => format!("{} MiB", bytes >> 20),
    }
}

fn age(seconds: u64) -> String {
    match seconds {
        0..=59 => format!("{seconds}s"),
        60..=3_599 => format!("{}m", seconds / 60),
        3_600..=86_399 => format!("{}h{:02}m", seconds / 3_600, seconds / 60 % 60),
        _ => format!("{}d{:02}h", seconds / 86_400, seconds / 3_600 % 24),
    }
}

/// Columns as wide as their widest cell; nothing behind the last.
fn table(head: &[&str], rows: Vec<Vec<String>>) -> String {
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.chain([head[column].chars().count()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let padded: Vec<String> = cells.zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        padded.join("  ").trim_end().to_owned() + "\n"
    };
    let mut text = line(&mut head.iter().copied());
    for row in &rows {
        text.push_str(&line(&mut row.iter().map(String::as_str)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn nodes_stand_in_columns() {
        let node = |incarnation: &str, me: bool, draining: bool| {
            json!({
                "incarnation": incarnation, "process": "p1", "http": "10.0.0.1:2567", "link": "10.0.0.1:7000",
                "version": "0.1.0", "zone": "", "me": me, "state": "alive", "draining": draining, "rooms": 12,
                "queued": 2048,
            })
        };
        let value = json!({ "nodes": [node("0011223344556677", true, false), node("8899aabbccddeeff", false, true)] });
        let expected = "\
NODE        STATE            ROOMS  PROCESS  HTTP           LINKS          ZONE  VERSION  QUEUED
00112233 *  alive            12     p1       10.0.0.1:2567  10.0.0.1:7000  -     0.1.0    2 KiB
8899aabb    alive, draining  12     p1       10.0.0.1:2567  10.0.0.1:7000  -     0.1.0    2 KiB
* the one that was asked
";
        assert_eq!(nodes(&value).unwrap(), expected);
    }

    #[test]
    fn a_room_says_where_it_plays() {
        let one = json!({
            "id": "r1", "kind": "arena", "owner": "8899aabbccddeeff", "epoch": 3, "seq": 99, "created_at": 0,
            "listing": {
                "clients": 2, "maxClients": 20, "locked": true, "private": false, "unlisted": false,
                "metadata": { "map": "moon" },
            },
        });
        let list = rooms(&json!({ "rooms": [one] })).unwrap();
        assert!(list.starts_with("ROOM  KIND   NODE      CLIENTS          EPOCH  RECORD  AGE\nr1    arena  8899aabb  2/20     locked  3      99"), "{list}");
        assert!(list.ends_with("\n1 room\n"), "{list}");
        let shown = room(&one).unwrap();
        assert!(
            shown.contains("node      8899aabbccddeeff\n") && shown.contains("{\"map\":\"moon\"}"),
            "{shown}"
        );
        assert!(room(&json!({ "rooms": [] })).is_err());
    }

    #[test]
    fn ages_are_short() {
        let ages = [(5, "5s"), (61, "1m"), (3_720, "1h02m"), (90_000, "1d01h")];
        ages.into_iter().for_each(|(seconds, text)| assert_eq!(age(seconds), text));
    }
}
