//! The gateway from outside: real sockets against a server in this process, with a room that echoes.

mod frames;
mod handshake;
mod http;
mod metrics;
mod shutdown;
mod slow;
mod world;
