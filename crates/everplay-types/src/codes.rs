use serde::{Deserialize, Serialize};

/// WebSocket close codes, as the SDKs understand them. Ours start at 4100.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CloseCode(pub u16);

impl CloseCode {
    /// The server closed after a normal end.
    pub const NORMAL: CloseCode = CloseCode(1000);
    /// A frame broke the WebSocket protocol.
    pub const PROTOCOL: CloseCode = CloseCode(1002);
    /// A text frame is not UTF-8.
    pub const INVALID_TEXT: CloseCode = CloseCode(1007);
    /// A frame is larger than allowed.
    pub const TOO_BIG: CloseCode = CloseCode(1009);
    /// The client asked to leave, or was removed from the room. SDKs do not come back.
    pub const CONSENTED: CloseCode = CloseCode(4000);
    /// The server ends for good. SDKs do not come back.
    pub const SERVER_SHUTDOWN: CloseCode = CloseCode(4001);
    /// The room refused the client or failed. SDKs do not come back.
    pub const WITH_ERROR: CloseCode = CloseCode(4002);
    /// No seat for this reconnection token. SDKs stop trying.
    pub const FAILED_TO_RECONNECT: CloseCode = CloseCode(4003);
    /// Come back in a moment: SDKs of 0.17 and newer retry by themselves for about a minute.
    pub const MAY_TRY_RECONNECT: CloseCode = CloseCode(4010);
    /// The client did not read what it was sent.
    pub const TOO_SLOW: CloseCode = CloseCode(4100);
    /// The client sent more messages than the room kind allows.
    pub const RATE_LIMITED: CloseCode = CloseCode(4101);
    /// A frame that no SDK sends: unknown code, truncated, or too many before the join was acknowledged.
    pub const BAD_FRAME: CloseCode = CloseCode(4102);
    /// A newer connection of the same session took over.
    pub const REPLACED: CloseCode = CloseCode(4103);
    /// The room failed twice on the same input and was closed.
    pub const ROOM_FAILED: CloseCode = CloseCode(4104);
    /// The client's signing-in was revoked: signed out elsewhere, password changed, banned.
    pub const SIGNED_OUT: CloseCode = CloseCode(4105);
}

/// Error codes of the Colyseus routes and of the ERROR frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ErrorCode(pub u16);

impl ErrorCode {
    /// Unknown room kind or matchmaking method.
    pub const NO_HANDLER: ErrorCode = ErrorCode(520);
    /// `join` found no room.
    pub const INVALID_CRITERIA: ErrorCode = ErrorCode(521);
    /// The room does not exist, is locked or was disposed.
    pub const INVALID_ROOM_ID: ErrorCode = ErrorCode(522);
    /// The room could not be made, or the request could not be understood.
    pub const UNHANDLED: ErrorCode = ErrorCode(523);
    /// The seat is gone, was used, or the reconnection token is not valid.
    pub const EXPIRED: ErrorCode = ErrorCode(524);
    /// The room kind's auth hook said no.
    pub const AUTH_FAILED: ErrorCode = ErrorCode(525);
    /// The join hook failed without a code of its own.
    pub const APPLICATION_ERROR: ErrorCode = ErrorCode(526);
    /// A message of unknown type, or whose payload does not fit its type. The connection stays open.
    pub const INVALID_PAYLOAD: ErrorCode = ErrorCode(4217);
}
