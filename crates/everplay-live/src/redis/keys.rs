//! Names of keys and functions, and which slot a key lies in. Pure.
//!
//! Everything about a room has the tag `{customer/room}`, so that it lies on one server of a Cluster. Directories have
//! tags of their own; ids have neither `/` nor braces, so the tags of rooms and of customers never meet. Buckets of
//! allowances begin with another word.

use everplay_types::{CustomerId, RoomKey};
use std::sync::LazyLock;

/// Slots of a Cluster.
pub(super) const SLOTS: usize = 16384;

/// The library's text with its names filled in, and the suffix of each name.
pub(super) static LIBRARY: LazyLock<(String, String)> = LazyLock::new(|| {
    let text = include_str!("library.lua");
    let suffix = blake3::hash(text.as_bytes()).to_hex()[..8].to_owned();
    let header = format!("#!lua name=everplay_{suffix}\n");
    (header + &text.replace("_@'", &format!("_{suffix}'")), suffix)
});

/// The slot of a tag: CRC-16/XMODEM of it, as the Cluster specification says.
pub(super) fn slot(tag: &str) -> u16 {
    let crc = tag.bytes().fold(0_u16, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(byte) << 8), |crc, _| {
            if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 }
        })
    });
    crc % SLOTS as u16
}

/// A key and where it lies.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) slot: u16,
    /// Everything before the key's last part.
    base: String,
}

impl Place {
    pub(super) fn of_room(prefix: &str, room: &RoomKey) -> Place {
        let tag = format!("{}/{}", room.customer, room.room);
        Place { slot: slot(&tag), base: format!("{prefix}:{{{tag}}}:") }
    }

    pub(super) fn head(&self) -> String {
        format!("{}head", self.base)
    }

    pub(super) fn journal(&self) -> String {
        format!("{}journal", self.base)
    }

    pub(super) fn image(&self, pointer: &str) -> String {
        format!("{}s:{pointer}", self.base)
    }
}

/// The set of a customer's rooms: slot and key.
pub(super) fn directory(prefix: &str, customer: &CustomerId) -> (u16, String) {
    (slot(customer), format!("{prefix}:{{{customer}}}:rooms"))
}

/// The set of customers: slot and key. Its tag is no id.
pub(super) fn customers(prefix: &str) -> (u16, String) {
    (slot("*"), format!("{prefix}:{{*}}:customers"))
}

/// A bucket of allowances: slot and key. Who it is for is hashed, so that addresses and accounts stand in no key.
pub(super) fn allowance(prefix: &str, name: &str) -> (u16, String) {
    let tag = &blake3::hash(name.as_bytes()).to_hex()[..32];
    (slot(tag), format!("{prefix}:rate:{{{tag}}}"))
}

/// The name of one of the library's functions.
pub(super) fn function(name: &str) -> String {
    format!("everplay_{name}_{}", LIBRARY.1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use everplay_types::RoomId;

    #[test]
    fn slots_are_those_of_the_specification() {
        assert_eq!(slot("123456789"), 0x31c3 % SLOTS as u16);
        assert_eq!(slot("foo"), 12182);
    }

    #[test]
    fn a_room_has_one_tag() {
        let room = RoomKey { customer: CustomerId::default(), room: RoomId::new("r-1").unwrap() };
        let place = Place::of_room("everplay", &room);
        for key in [place.head(), place.journal(), place.image("7:ab")] {
            assert!(key.starts_with("everplay:{default/r-1}:"), "{key}");
        }
        assert_eq!(place.slot, slot("default/r-1"));
    }

    #[test]
    fn the_library_names_itself_by_its_text() {
        let (text, suffix) = &*LIBRARY;
        assert!(text.starts_with(&format!("#!lua name=everplay_{suffix}\n")));
        assert!(!text.contains("_@"));
    }
}
