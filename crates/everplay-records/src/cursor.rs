//! Positions in lists, as callers carry them: opaque, safe in a URL, checked when they come back.

use crate::StoreError;
use serde_json::Value;
use std::fmt;

/// Where a page ended. Only for the same query again; a forged one is refused, and shows nothing that the query would
/// not show.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Cursor(String);

impl Cursor {
    /// Takes what a caller brought back; it is checked when it is used.
    pub fn from_text(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Sort value of the order, then the item's own key. Shape: hexadecimal JSON list.
    pub(crate) fn new(position: &Position) -> Self {
        let list = Value::from(vec![
            position.order.clone(),
            position.partition.clone().into(),
            position.sort.into(),
        ]);
        let mut text = String::new();
        for byte in list.to_string().bytes() {
            text.push(digit(byte >> 4));
            text.push(digit(byte & 15));
        }
        Self(text)
    }

    pub(crate) fn position(&self) -> Result<Position, StoreError> {
        let forged = || StoreError::Invalid("the cursor is not one of ours".to_owned());
        let pairs = self.0.as_bytes().chunks_exact(2);
        if !pairs.remainder().is_empty() || self.0.len() > 4096 {
            return Err(forged());
        }
        let bytes: Option<Vec<u8>> =
            pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect();
        let list: Vec<Value> = serde_json::from_slice(&bytes.ok_or_else(forged)?).map_err(|_| forged())?;
        let [order, Value::String(partition), sort] = list.as_slice() else { return Err(forged()) };
        Ok(Position { order: order.clone(), partition: partition.clone(), sort: sort.as_i64() })
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn digit(nibble: u8) -> char {
    char::from_digit(u32::from(nibble), 16).expect("a nibble is below 16")
}

/// The last item of a page: its value in the order, and its key.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Position {
    pub(crate) order: Value,
    pub(crate) partition: String,
    pub(crate) sort: Option<i64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_comes_back_as_it_left_and_nothing_else_does() {
        let position = Position { order: 5.into(), partition: "default/ä".into(), sort: Some(-1) };
        assert_eq!(Cursor::new(&position).position().unwrap(), position);
        let bare = Position { order: "2026".into(), partition: "a".into(), sort: None };
        assert_eq!(Cursor::new(&bare).position().unwrap(), bare);
        for forged in ["", "0", "zz", "7b7d", "ä", "5b5d"] {
            assert!(Cursor::from_text(forged).position().is_err(), "{forged}");
        }
    }
}
