//! Which passwords are taken, and how they are kept.
//!
//! Argon2id takes tens of milliseconds and 19 MiB on purpose, so hashing has threads of its own and a short queue: a
//! flood of sign-ins is answered "busy" and never slows a room. The parameters stand in each hash; a hash made with
//! older ones is made anew at the next sign-in.

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use tokio::sync::oneshot;
use unicode_normalization::UnicodeNormalization;

/// Shortest password in characters (OWASP ASVS 5.0, 6.2.1).
pub const MIN_LENGTH: usize = 8;

/// Longest password in bytes: no person's, and no work for whoever sends megabytes.
pub const MAX_BYTES: usize = 1024;

/// Memory of one hash in KiB, passes and lanes: the floor of the OWASP password storage sheet.
const COST: (u32, u32, u32) = (19 * 1024, 2, 1);

/// Hashes that may wait for a thread; one more is refused. At 50 ms each and one thread, the last waits 1.6 s.
const QUEUE: usize = 32;

/// Why a password is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PasswordProblem {
    /// Fewer than [`MIN_LENGTH`] characters.
    #[error("a password has at least 8 characters")]
    TooShort,
    /// More than [`MAX_BYTES`] bytes.
    #[error("a password has at most 1024 bytes")]
    TooLong,
    /// Everybody's guess.
    #[error("this password is among the first that are guessed")]
    Common,
    /// Contains the account's own name or address, or ours.
    #[error("a password must not be made of the account's own name or address")]
    Context,
}

/// No thread is free, and too many wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Busy;

/// The password as it is hashed: composed and compatible forms of Unicode are one, nothing is cut off.
fn normal(password: &str) -> String {
    password.nfkc().collect()
}

/// Checks a new password. `context` are words an attacker knows: the address, the name.
pub(crate) fn check(password: &str, context: &[&str]) -> Result<(), PasswordProblem> {
    if password.len() > MAX_BYTES {
        return Err(PasswordProblem::TooLong);
    }
    let password = normal(password);
    if password.chars().count() < MIN_LENGTH {
        return Err(PasswordProblem::TooShort);
    }
    let lower = password.to_lowercase();
    if is_common(&lower) {
        return Err(PasswordProblem::Common);
    }
    let words =
        context.iter().flat_map(|text| text.split(|c: char| !c.is_alphanumeric())).chain(["everplay"]);
    for word in words.map(str::to_lowercase).filter(|word| word.chars().count() >= 4) {
        let rest = lower.replace(&word, "");
        // Something that holds the word and little else.
        if rest.len() < lower.len() && rest.chars().count() < MIN_LENGTH / 2 {
            return Err(PasswordProblem::Context);
        }
    }
    Ok(())
}

/// The beginning of every list of leaked passwords, and what is as easy: one character, a row of the keyboard, a
/// common word with digits or marks around it.
fn is_common(lower: &str) -> bool {
    const WORDS: &[&str] = &[
        "password",
        "passw0rd",
        "p@ssw0rd",
        "p@ssword",
        "pa55word",
        "qwerty",
        "qwertz",
        "azerty",
        "iloveyou",
        "admin",
        "administrator",
        "welcome",
        "letmein",
        "monkey",
        "dragon",
        "football",
        "baseball",
        "basketball",
        "superman",
        "batman",
        "princess",
        "sunshine",
        "master",
        "shadow",
        "michael",
        "jennifer",
        "trustno",
        "starwars",
        "pokemon",
        "charlie",
        "whatever",
        "freedom",
        "hello",
        "login",
        "secret",
        "changeme",
        "default",
        "computer",
        "internet",
        "samsung",
        "google",
        "summer",
        "winter",
        "spring",
        "autumn",
        "soccer",
        "hockey",
        "killer",
        "jordan",
        "naruto",
        "liverpool",
        "chelsea",
        "arsenal",
        "barcelona",
        "minecraft",
        "fortnite",
        "password1",
        "qazwsx",
        "test",
        "guest",
        "root",
        "user",
        "mustang",
        "corvette",
        "ferrari",
        "hunter",
        "ranger",
        "buster",
        "tigger",
        "ginger",
        "pepper",
        "cookie",
        "chocolate",
        "butterfly",
        "purple",
        "orange",
        "yellow",
        "jessica",
        "ashley",
        "daniel",
        "matrix",
        "zxcvbn",
        "asdfgh",
        "1q2w3e4r",
        "q1w2e3r4",
        "1qaz2wsx",
        "abcd",
        "abc",
    ];
    const ROWS: &[&str] = &[
        "01234567890123456789",
        "98765432109876543210",
        "qwertyuiopasdfghjklzxcvbnm",
        "qwertzuiopasdfghjklyxcvbnm",
        "azertyuiopqsdfghjklmwxcvbn",
        "abcdefghijklmnopqrstuvwxyz",
        "poiuytrewqlkjhgfdsamnbvcxz",
        "1q2w3e4r5t6y7u8i9o0p",
        "1qaz2wsx3edc4rfv5tgb6yhn",
        "112233445566778899",
        "123123123123123123",
        "123321123321123321",
    ];
    let distinct = lower.chars().collect::<std::collections::HashSet<_>>().len();
    let core = lower.trim_matches(|c: char| !c.is_alphabetic());
    distinct < 3
        || WORDS.contains(&core)
        || WORDS.contains(&lower)
        || ROWS.iter().any(|row| row.contains(lower))
}

enum Work {
    Hash { password: String, answer: oneshot::Sender<String> },
    Verify { password: String, hash: Option<String>, answer: oneshot::Sender<Verdict> },
}

/// What a password is to a hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// It is the one.
    pub(crate) fits: bool,
    /// The hash should be made anew.
    pub(crate) outdated: bool,
}

/// The threads that hash. Cheap to clone; they end with the last clone.
#[derive(Clone)]
pub(crate) struct Hasher(SyncSender<Work>);

impl Hasher {
    /// That many threads.
    pub(crate) fn start(threads: usize) -> std::io::Result<Self> {
        let (work, waiting) = sync_channel::<Work>(QUEUE);
        let waiting = Arc::new(Mutex::new(waiting));
        for _ in 0..threads.max(1) {
            let waiting = Arc::clone(&waiting);
            std::thread::Builder::new().name("accounts-hash".into()).spawn(move || {
                loop {
                    let next = waiting.lock().unwrap_or_else(PoisonError::into_inner).recv();
                    let Ok(work) = next else { return };
                    work.run();
                }
            })?;
        }
        Ok(Hasher(work))
    }

    /// The hash to keep, in PHC form.
    pub(crate) async fn hash(&self, password: &str) -> Result<String, Busy> {
        self.ask(|answer| Work::Hash { password: normal(password), answer }).await
    }

    /// Compares. Without a hash it takes as long and says no, so that nobody learns by the time whether there is one.
    pub(crate) async fn verify(&self, password: &str, hash: Option<String>) -> Result<Verdict, Busy> {
        if password.len() > MAX_BYTES {
            return Ok(Verdict { fits: false, outdated: false });
        }
        self.ask(|answer| Work::Verify { password: normal(password), hash, answer }).await
    }

    async fn ask<T>(&self, work: impl FnOnce(oneshot::Sender<T>) -> Work) -> Result<T, Busy> {
        let (answer, waiting) = oneshot::channel();
        self.0.try_send(work(answer)).map_err(|error| match error {
            TrySendError::Full(_) | TrySendError::Disconnected(_) => Busy,
        })?;
        waiting.await.map_err(|_| Busy)
    }
}

fn argon2() -> Argon2<'static> {
    let (memory, passes, lanes) = COST;
    let params = Params::new(memory, passes, lanes, None).expect("constants within Argon2's bounds");
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

fn hash(password: &str) -> String {
    argon2().hash_password(password.as_bytes()).expect("the system gives random salts").to_string()
}

/// What is compared with when there is nothing to compare with.
static NOBODY: LazyLock<String> = LazyLock::new(|| hash(&crate::secret::draw()));

impl Work {
    fn run(self) {
        match self {
            Work::Hash { password, answer } => {
                // Whoever asked may have gone: then the work was for nothing.
                let _ = answer.send(hash(&password));
            }
            Work::Verify { password, hash, answer } => {
                if answer.is_closed() {
                    return;
                }
                let known = hash.is_some();
                let verdict = verify(&password, hash.as_deref().unwrap_or(&NOBODY));
                let _ = answer.send(Verdict { fits: verdict.fits && known, ..verdict });
            }
        }
    }
}

fn verify(password: &str, hash: &str) -> Verdict {
    let Ok(hash) = PasswordHash::new(hash) else { return Verdict { fits: false, outdated: false } };
    let fits = argon2().verify_password(password.as_bytes(), &hash).is_ok();
    let (memory, passes, lanes) = COST;
    let present = Params::try_from(&hash)
        .is_ok_and(|params| (params.m_cost(), params.t_cost(), params.p_cost()) == (memory, passes, lanes));
    Verdict { fits, outdated: !present }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_guessed_first_is_refused() {
        let check = |password: &str| check(password, &["ada.lovelace@example.com", "Ada"]);
        for common in
            ["password", "Password1!", "12345678", "qwertyui", "aaaaaaaaaaaa", "ababababab", "1q2w3e4r"]
        {
            assert_eq!(check(common), Err(PasswordProblem::Common), "{common}");
        }
        assert_eq!(check("lovelace12"), Err(PasswordProblem::Context));
        assert_eq!(check("everplay!"), Err(PasswordProblem::Context));
        let long = "x1y".repeat(400);
        assert_eq!(check("short"), Err(PasswordProblem::TooShort));
        assert_eq!(check(&long), Err(PasswordProblem::TooLong));
        for good in ["correct horse battery", "pässwörter sind öde", "Tr0ub4dor&3x", "my cat lovelace sleeps"]
        {
            assert_eq!(check(good), Ok(()), "{good}");
        }
    }

    #[tokio::test]
    async fn nothing_is_cut_off_and_forms_of_unicode_are_one() {
        let hasher = Hasher::start(1).unwrap();
        let long = "a long password whose end counts ".repeat(5);
        let hash = hasher.hash(&format!("{long}x")).await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        assert!(hasher.verify(&format!("{long}x"), Some(hash.clone())).await.unwrap().fits);
        assert!(!hasher.verify(&format!("{long}y"), Some(hash)).await.unwrap().fits);
        // "é" as one character and as two.
        let hash = hasher.hash("caf\u{e9} au lait").await.unwrap();
        assert!(hasher.verify("cafe\u{301} au lait", Some(hash.clone())).await.unwrap().fits);
        assert!(!hasher.verify("cafe au lait", Some(hash)).await.unwrap().fits);
        assert!(!hasher.verify("whatever it is", None).await.unwrap().fits);
    }

    #[tokio::test]
    async fn a_hash_with_older_parameters_fits_and_is_outdated() {
        let weak = Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::new(8192, 1, 1, None).unwrap());
        let hash = weak.hash_password(b"an old password").unwrap().to_string();
        let verdict = Hasher::start(1).unwrap().verify("an old password", Some(hash)).await.unwrap();
        assert_eq!(verdict, Verdict { fits: true, outdated: true });
    }

    #[tokio::test]
    async fn a_flood_is_answered_busy() {
        let hasher = Hasher::start(1).unwrap();
        let asked: Vec<_> = (0..QUEUE * 2)
            .map(|_| {
                let hasher = hasher.clone();
                tokio::spawn(async move { hasher.hash("one of very many").await })
            })
            .collect();
        let mut busy = 0;
        for asked in asked {
            busy += usize::from(asked.await.unwrap().is_err());
        }
        assert!((1..=QUEUE * 2 - QUEUE).contains(&busy), "{busy}");
    }
}
