//! Inputs of 0.18 rooms: small frames a client sends every tick, with their times.
//!
//! An input's body is a patch of the room's input type and opaque here. Times are milliseconds since the room started.
//! A reliable input's stamp is a difference against the connection's previous one, so both ends keep a clock that
//! starts at 0 on every connection ([`InputClock`]). An unreliable frame repeats the last few inputs, oldest first,
//! each with its absolute time.

use crate::FrameError;
use crate::number::{Reader, write_number, write_uint};

/// Most inputs in one unreliable frame. SDKs repeat a handful; 256 is the worst a client may make the server list.
pub const MAX_INPUTS: usize = 256;

const RENDER_TIME: u8 = 0x01;
const TICK_RATE: u8 = 0x02;
const PATCH_RATE: u8 = 0x04;
const SUB_STEPS: u8 = 0x08;
const RECKON_TIME: u8 = 0x10;

/// What a room tells its clients about inputs when they join; also says which stamps to expect.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct InputOptions {
    /// Clients stamp inputs with the time they were drawing.
    pub render_time: bool,
    /// Clients stamp inputs with the time they reckon the server has.
    pub reckon_time: bool,
    /// Ticks per second of the room.
    pub tick_rate: Option<f64>,
    /// Milliseconds between patches.
    pub patch_rate_ms: Option<f64>,
    /// Simulation steps per tick.
    pub sub_steps: Option<f64>,
}

impl InputOptions {
    /// The section's payload: flags, then the numbers that are there.
    pub fn encode(&self) -> Vec<u8> {
        let numbers =
            [(TICK_RATE, self.tick_rate), (PATCH_RATE, self.patch_rate_ms), (SUB_STEPS, self.sub_steps)];
        let mut flags = 0;
        flags |= if self.render_time { RENDER_TIME } else { 0 };
        flags |= if self.reckon_time { RECKON_TIME } else { 0 };
        let mut out = vec![0];
        for (flag, number) in numbers {
            if let Some(number) = number {
                flags |= flag;
                write_number(&mut out, number);
            }
        }
        out[0] = flags;
        out
    }

    /// Reads the section's payload. Unknown flags and what follows the known numbers are ignored, as the SDK does.
    pub fn decode(payload: &[u8]) -> Result<Self, FrameError> {
        const PART: &str = "input options";
        let mut reader = Reader::new(payload);
        let flags = reader.u8(PART)?;
        let mut number = |flag: u8| if flags & flag == 0 { Ok(None) } else { reader.number(PART).map(Some) };
        Ok(Self {
            render_time: flags & RENDER_TIME != 0,
            reckon_time: flags & RECKON_TIME != 0,
            tick_rate: number(TICK_RATE)?,
            patch_rate_ms: number(PATCH_RATE)?,
            sub_steps: number(SUB_STEPS)?,
        })
    }

    fn both(&self) -> bool {
        self.render_time && self.reckon_time
    }

    fn any(&self) -> bool {
        self.render_time || self.reckon_time
    }
}

/// The stamp of a reliable input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReliableStamp {
    /// Milliseconds since this connection's previous stamp, or since 0; negative when the client's clock was set back.
    pub delta: i64,
    /// Only when both times were asked for: how far the drawn time lies behind the reckoned one.
    pub render_delta: Option<u16>,
}

/// The stamp of an unreliable input, or of a reliable one after [`InputClock::advance`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// The reckoned time, or the drawn time when only that was asked for; milliseconds since the room started.
    pub time: u32,
    /// Only when both times were asked for: how far the drawn time lies behind the reckoned one.
    pub render_delta: Option<u16>,
}

/// Turns the differences of one connection's reliable stamps into times. A new connection needs a new clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct InputClock {
    last: u32,
}

impl InputClock {
    /// The clock of a connection whose stamps so far add up to `time`.
    pub fn at(time: u32) -> Self {
        Self { last: time }
    }

    /// What the stamps so far add up to.
    pub fn time(self) -> u32 {
        self.last
    }

    /// The time of the next input. Differences that lead out of the room's time stop at its ends.
    pub fn advance(&mut self, stamp: ReliableStamp) -> Stamp {
        let time = i64::from(self.last).saturating_add(stamp.delta).clamp(0, i64::from(u32::MAX));
        self.last = u32::try_from(time).expect("clamped to 32 bits");
        Stamp { time: self.last, render_delta: stamp.render_delta }
    }
}

/// One input of an unreliable frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Input<'a> {
    /// Its number. Frames repeat inputs: one that is not above the last seen is old.
    pub seq: u32,
    /// Its time, when the room asked for stamps and the client sent them.
    pub stamp: Option<Stamp>,
    /// A patch of the input type.
    pub body: &'a [u8],
}

pub(crate) fn read_reliable_stamp(
    reader: &mut Reader<'_>,
    options: &InputOptions,
) -> Result<ReliableStamp, FrameError> {
    if !options.any() {
        return Err(FrameError::StampNotAsked);
    }
    let delta = reader.int("time stamp")?;
    let render_delta = if options.both() { Some(reader.u16("render time")?) } else { None };
    Ok(ReliableStamp { delta, render_delta })
}

pub(crate) fn write_reliable_stamp(out: &mut Vec<u8>, stamp: ReliableStamp) {
    write_number(out, stamp.delta as f64);
    if let Some(render) = stamp.render_delta {
        out.extend_from_slice(&render.to_le_bytes());
    }
}

/// Reads a row of times that is written newest first as differences, and returns it oldest first.
fn read_times(reader: &mut Reader<'_>, newest: u32, count: u32) -> Result<Vec<u32>, FrameError> {
    const PART: &str = "time stamp";
    let mut times = vec![newest];
    let mut time = i64::from(newest);
    for _ in 1..count {
        time = time.saturating_sub(reader.int(PART)?);
        times.push(u32::try_from(time).map_err(|_| FrameError::OutOfRange { part: PART })?);
    }
    times.reverse();
    Ok(times)
}

/// Reads the body of an unreliable frame. Allocates at most [`MAX_INPUTS`] entries.
pub(crate) fn read_unreliable<'a>(
    reader: &mut Reader<'a>,
    timed: bool,
    options: &InputOptions,
) -> Result<Vec<Input<'a>>, FrameError> {
    let stamps = if timed { Some(read_stamps(reader, options)?) } else { None };
    let base = reader.uint("input number")?;
    let mut inputs: Vec<Input<'a>> = Vec::new();
    while !reader.is_empty() {
        if inputs.len() == MAX_INPUTS {
            return Err(FrameError::TooManyInputs);
        }
        let len = reader.uint("input length")?;
        let body = reader.take(len as usize, "input")?;
        let index = inputs.len();
        let seq = base.checked_add(index as u32).ok_or(FrameError::OutOfRange { part: "input number" })?;
        let stamp = stamps.as_ref().and_then(|stamps| stamps.get(index).copied());
        inputs.push(Input { seq, stamp, body });
    }
    match &stamps {
        Some(stamps) if stamps.len() != inputs.len() => {
            Err(FrameError::StampCount { stamps: stamps.len() as u32, inputs: inputs.len() })
        }
        _ => Ok(inputs),
    }
}

fn read_stamps(reader: &mut Reader<'_>, options: &InputOptions) -> Result<Vec<Stamp>, FrameError> {
    if !options.any() {
        return Err(FrameError::StampNotAsked);
    }
    let count = reader.uint("count of time stamps")?;
    if count as usize > MAX_INPUTS {
        return Err(FrameError::TooManyInputs);
    }
    let newest = reader.u32("time stamp")?;
    let times = read_times(reader, newest, count)?;
    let renders = if options.both() {
        let newest = reader.u16("render time")?;
        Some(read_times(reader, u32::from(newest), count)?)
    } else {
        None
    };
    let stamp = |index: usize, time: u32| {
        let render_delta = match &renders {
            Some(renders) => {
                let render = u16::try_from(renders[index]);
                Some(render.map_err(|_| FrameError::OutOfRange { part: "render time" })?)
            }
            None => None,
        };
        Ok(Stamp { time, render_delta })
    };
    // A count of 0 still carries its newest time; it belongs to no input.
    times.into_iter().take(count as usize).enumerate().map(|(index, time)| stamp(index, time)).collect()
}

/// Writes the body of an unreliable frame. Returns whether it has stamps: when every input has one.
pub(crate) fn write_unreliable(out: &mut Vec<u8>, inputs: &[Input<'_>]) -> bool {
    let stamps: Option<Vec<Stamp>> = inputs.iter().map(|input| input.stamp).collect();
    let timed = match stamps.as_deref() {
        Some([older @ .., newest]) => {
            write_uint(out, inputs.len() as u32);
            out.extend_from_slice(&newest.time.to_le_bytes());
            let times = older.iter().chain([newest]).map(|stamp| i64::from(stamp.time));
            write_differences(out, times.collect());
            let renders: Option<Vec<i64>> =
                older.iter().chain([newest]).map(|stamp| stamp.render_delta.map(i64::from)).collect();
            if let (Some(renders), Some(render)) = (renders, newest.render_delta) {
                out.extend_from_slice(&render.to_le_bytes());
                write_differences(out, renders);
            }
            true
        }
        _ => false,
    };
    write_uint(out, inputs.first().map_or(0, |input| input.seq));
    for input in inputs {
        write_uint(out, input.body.len() as u32);
        out.extend_from_slice(input.body);
    }
    timed
}

fn write_differences(out: &mut Vec<u8>, oldest_first: Vec<i64>) {
    for pair in oldest_first.windows(2).rev() {
        write_number(out, (pair[1] - pair[0]) as f64);
    }
}
