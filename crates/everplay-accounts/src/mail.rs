//! Mail to players: over SMTP, or printed where a developer sees it.
//!
//! Mail is sent behind the request's back: an answer that waited for the mail would say by its time whether there was
//! one to send.

use crate::BoxFuture;
use lettre::message::header::ContentType;
use lettre::message::{Mailbox, Message};
use lettre::{AsyncSmtpTransport, AsyncTransport, Tokio1Executor};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// A letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    /// An address that was checked.
    pub to: String,
    /// One line.
    pub subject: String,
    /// Plain text.
    pub text: String,
}

/// Sends letters.
pub trait Mailer: Send + Sync + 'static {
    /// Errors are for the log, and are tried again.
    fn send(&self, letter: Letter) -> BoxFuture<'_, Result<(), String>>;
}

/// Writes letters to the log, for development: whoever runs the server reads the links there.
#[derive(Debug, Clone, Copy)]
pub struct PrintedMail;

impl Mailer for PrintedMail {
    fn send(&self, letter: Letter) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(async move {
            tracing::info!(
                to = letter.to,
                subject = letter.subject,
                "mail, not sent because no SMTP server is set:\n{}",
                letter.text
            );
            Ok(())
        })
    }
}

/// Sends over SMTP.
pub struct SmtpMail {
    from: Mailbox,
    transport: AsyncSmtpTransport<Tokio1Executor>,
}

impl SmtpMail {
    /// `url` is `smtps://user:password@host:465`, or `smtp://user:password@host:587?tls=required`; `from` is
    /// `Name <address>`. Errors: in words for the operator, without the URL.
    pub fn new(url: &str, from: &str) -> Result<Self, String> {
        let from = from.parse().map_err(|error| format!("the sender is no address: {error}"))?;
        let transport = AsyncSmtpTransport::<Tokio1Executor>::from_url(url)
            .map_err(|_| "the SMTP URL is not of the form smtps://user:password@host:465".to_owned())?
            .timeout(Some(Duration::from_secs(10)))
            .build();
        Ok(Self { from, transport })
    }
}

impl Mailer for SmtpMail {
    fn send(&self, letter: Letter) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(async move {
            let to = letter.to.parse::<Mailbox>().map_err(|error| error.to_string())?;
            let message = Message::builder()
                .from(self.from.clone())
                .to(to)
                .subject(letter.subject)
                .header(ContentType::TEXT_PLAIN)
                .body(letter.text)
                .map_err(|error| error.to_string())?;
            self.transport.send(message).await.map(drop).map_err(|error| error.to_string())
        })
    }
}

/// Letters that may wait; one more is dropped and counted.
const QUEUE: usize = 1_000;

/// The task that sends. It ends when the last clone is gone and the queue is empty.
#[derive(Clone)]
pub(crate) struct Outbox(mpsc::Sender<Letter>);

impl Outbox {
    pub(crate) fn start(mailer: Arc<dyn Mailer>) -> Self {
        let (letters, mut waiting) = mpsc::channel::<Letter>(QUEUE);
        tokio::spawn(async move {
            while let Some(letter) = waiting.recv().await {
                for pause in [1, 5, 0] {
                    match mailer.send(letter.clone()).await {
                        Ok(()) => break,
                        Err(error) => tracing::warn!(error, subject = letter.subject, "a mail was not taken"),
                    }
                    tokio::time::sleep(Duration::from_secs(pause)).await;
                }
            }
        });
        Outbox(letters)
    }

    pub(crate) fn put(&self, letter: Letter) {
        if self.0.try_send(letter).is_err() {
            metrics::counter!("everplay_accounts_mail_dropped_total").increment(1);
            tracing::warn!("too many mails wait, one was dropped");
        }
    }
}

/// Checks an address and gives the key it is found by: two spellings of one mailbox, as players write them, are one.
///
/// Only what every mail system takes: one `@`, a host with a dot, no quotes, no white space, no control characters,
/// which would write headers of their own.
pub(crate) fn address_key(text: &str) -> Option<String> {
    let (local, host) = text.rsplit_once('@')?;
    let plain = |c: char| c.is_alphanumeric() || "!#$%&'*+-/=?^_`{|}~.".contains(c);
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label.chars().all(|c| c.is_alphanumeric() || c == '-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let fits = text.len() <= 254
        && (1..=64).contains(&local.len())
        && local.chars().all(plain)
        && !local.starts_with('.')
        && !local.ends_with('.')
        && !local.contains("..")
        && host.contains('.')
        && host.split('.').all(label);
    fits.then(|| text.to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_checked_and_compared_without_case() {
        assert_eq!(address_key("Ada@Example.COM"), Some("ada@example.com".into()));
        for good in ["a@b.co", "a.b+c@d-e.example", "ünï@exämple.org"] {
            assert!(address_key(good).is_some(), "{good}");
        }
        for bad in [
            "",
            "a",
            "@b.co",
            "a@",
            "a@b",
            "a b@c.de",
            "a@b..co",
            ".a@b.co",
            "a..b@c.de",
            "a@-b.co",
            "a@b.co\r\nBcc: x@y.z",
            "\"a\"@b.co",
            "a@[127.0.0.1]",
            "a@b.co,c@d.ef",
            "<a@b.co>",
        ] {
            assert_eq!(address_key(bad), None, "{bad:?}");
        }
    }
}
