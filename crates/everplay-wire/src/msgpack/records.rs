//! The record style of the JavaScript SDKs: an object's keys are written once per message and shape.

use super::Value;
use super::encode::{array_header, map_header, scalar, short_integer, text};

/// Ids of records; integers of this range are written in two bytes.
const FIRST_ID: u8 = 0x40;
const LAST_ID: u8 = 0x7f;
/// Shapes that have an id at a time.
const SHAPES: usize = (LAST_ID - FIRST_ID) as usize + 1;

/// Appends the value as the JavaScript SDKs write it. Objects with other keys than texts are plain maps.
///
/// Panics: when a text, a list or an object has 2^32 elements or more.
pub fn encode_records(value: &Value, out: &mut Vec<u8>) {
    Encoder { shapes: Vec::new(), defined: 0, out }.value(value);
}

struct Encoder<'a, 'o> {
    /// The keys of each id.
    shapes: Vec<Vec<&'a str>>,
    /// How many shapes were defined; beyond [`SHAPES`] the ids start over and replace the oldest.
    defined: usize,
    out: &'o mut Vec<u8>,
}

impl<'a> Encoder<'a, '_> {
    fn value(&mut self, value: &'a Value) {
        match value {
            Value::Int(number) if is_id(*number) => self.id_number(*number),
            Value::F64(number) if short_integer(*number).is_some_and(is_id) => self.id_number(*number as i64),
            Value::Array(items) => {
                array_header(self.out, items.len());
                items.iter().for_each(|item| self.value(item));
            }
            Value::Map(entries) => {
                let keys: Option<Vec<&str>> = entries.iter().map(|(key, _)| key.as_str()).collect();
                match keys {
                    Some(keys) => {
                        self.shape(keys);
                        entries.iter().for_each(|(_, value)| self.value(value));
                    }
                    None => self.plain_map(entries),
                }
            }
            value => scalar(value, self.out),
        }
    }

    /// An integer that would be read as the id of a record.
    fn id_number(&mut self, number: i64) {
        self.out.extend_from_slice(&[0xcc, number as u8]);
    }

    fn shape(&mut self, keys: Vec<&'a str>) {
        if let Some(index) = self.shapes.iter().position(|shape| *shape == keys) {
            self.out.push(FIRST_ID + index as u8);
            return;
        }
        let index = self.defined % SHAPES;
        self.defined += 1;
        self.out.extend_from_slice(&[0xd4, 0x72, FIRST_ID + index as u8]);
        array_header(self.out, keys.len());
        for key in &keys {
            text(self.out, key);
        }
        match self.shapes.get_mut(index) {
            Some(shape) => *shape = keys,
            None => self.shapes.push(keys),
        }
    }

    fn plain_map(&mut self, entries: &'a [(Value, Value)]) {
        match entries.len() {
            len @ 0..0x10 => self.out.push(0x80 | len as u8),
            len => map_header(self.out, len),
        }
        for (key, value) in entries {
            self.value(key);
            self.value(value);
        }
    }
}

fn is_id(number: i64) -> bool {
    (i64::from(FIRST_ID)..=i64::from(LAST_ID)).contains(&number)
}
