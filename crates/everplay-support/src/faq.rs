//! Answers to common questions: those that come with the program, and those that agents wrote over or beside them.
//!
//! Searching is by the words of a text: each word counts by how few articles have it, more in a title than in the text.
//! The last word is taken for the beginning of one, so that the same search serves a box that is typed into.

use crate::now_ms;
use crate::triage::{self, Category};
use everplay_records::{Article, Articles, RecordStore, StoreError, WriteError};
use everplay_types::CustomerId;
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What comes with the program. Name, then a head of three lines (title, category, words), an empty line, the text.
const FILES: &[(&str, &str)] = &[
    ("connection-lost", include_str!("../faq/connection-lost.md")),
    ("delete-account", include_str!("../faq/delete-account.md")),
    ("forgot-password", include_str!("../faq/forgot-password.md")),
    ("game-wrong", include_str!("../faq/game-wrong.md")),
    ("guest-account", include_str!("../faq/guest-account.md")),
    ("how-ranking-works", include_str!("../faq/how-ranking-works.md")),
    ("opponent-left", include_str!("../faq/opponent-left.md")),
    ("response-times", include_str!("../faq/response-times.md")),
    ("sign-in-fails", include_str!("../faq/sign-in-fails.md")),
    ("statistics-late", include_str!("../faq/statistics-late.md")),
    ("two-factor", include_str!("../faq/two-factor.md")),
    ("waiting-line", include_str!("../faq/waiting-line.md")),
];

/// Articles of a customer that agents wrote; more are not taken.
const MAX_WRITTEN: u32 = 500;
/// How long what was read is believed.
const FRESH: Duration = Duration::from_secs(5);
/// How long a reader waits for the store before what was read last is shown.
const PATIENCE: Duration = Duration::from_millis(500);
/// Words of a search that count; the rest of a long text adds nothing.
const MAX_WORDS: usize = 60;
/// Customers whose articles are kept in memory.
const CUSTOMERS: usize = 1_000;

/// An answer to a question that many have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FaqArticle {
    /// Its name in addresses.
    pub slug: String,
    /// The question.
    pub title: String,
    /// What it is about.
    pub category: Category,
    /// Further words it is found by.
    pub words: Vec<String>,
    /// The answer, Markdown.
    pub text: String,
    /// When an agent changed it, milliseconds since 1970; None: as it came with the program.
    pub updated_at: Option<u64>,
    /// 0: as it came with the program.
    pub version: u64,
}

/// An article to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewArticle {
    /// The question; 5 to 200 characters.
    pub title: String,
    /// What it is about.
    pub category: Category,
    /// Further words it is found by; at most 30.
    pub words: Vec<String>,
    /// The answer; 10 to 20,000 characters.
    pub text: String,
    /// The version that the writer saw; None: whatever there is.
    pub version: Option<u64>,
}

/// Why an article was not given or written.
#[derive(Debug, thiserror::Error)]
pub enum FaqError {
    /// There is none of this name.
    #[error("there is no such article")]
    NotFound,
    /// A field does not hold what it should.
    #[error("{field}: {problem}")]
    Field {
        /// Its name in requests.
        field: &'static str,
        /// In words.
        problem: &'static str,
    },
    /// The writer saw another version than there is.
    #[error("the article has changed meanwhile; it is version {0} now")]
    Outdated(u64),
    /// There are as many as there can be.
    #[error("there are as many articles as there can be")]
    Full,
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The articles. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Faq(Arc<Inner>);

/// When, and what.
type Read = (Instant, Arc<Vec<FaqArticle>>);

#[derive(Debug)]
struct Inner {
    articles: Articles,
    read: Mutex<HashMap<CustomerId, Read>>,
}

impl Faq {
    /// Those of the program and those of this store.
    pub fn new(store: Arc<dyn RecordStore>) -> Self {
        Faq(Arc::new(Inner { articles: Articles::new(store), read: Mutex::default() }))
    }

    /// All articles, by name. While the store is away: as they were read last, or as they came with the program; one
    /// reader in five seconds waits a moment for it, the others do not.
    pub async fn all(&self, customer: &CustomerId) -> Arc<Vec<FaqArticle>> {
        let kept = self.0.read.lock().get(customer).cloned();
        if let Some((at, articles)) = &kept
            && at.elapsed() < FRESH
        {
            return Arc::clone(articles);
        }
        let reading = tokio::time::timeout(PATIENCE, self.0.articles.of_customer(customer, MAX_WRITTEN));
        let problem = match reading.await {
            Ok(Ok(written)) => return self.keep(customer, Arc::new(merged(written))),
            Ok(Err(error)) => error.to_string(),
            Err(_) => "no answer in time".to_owned(),
        };
        tracing::warn!(problem, "the articles that agents wrote cannot be read");
        // Somebody else may have read them meanwhile.
        let kept = self.0.read.lock().get(customer).cloned().or(kept);
        self.keep(customer, kept.map_or_else(|| Arc::new(merged(Vec::new())), |(_, articles)| articles))
    }

    /// Believes these for a while.
    fn keep(&self, customer: &CustomerId, articles: Arc<Vec<FaqArticle>>) -> Arc<Vec<FaqArticle>> {
        let mut read = self.0.read.lock();
        if read.len() >= CUSTOMERS && !read.contains_key(customer) {
            read.clear();
        }
        read.insert(customer.clone(), (Instant::now(), Arc::clone(&articles)));
        articles
    }

    /// One article.
    pub async fn get(&self, customer: &CustomerId, slug: &str) -> Result<FaqArticle, FaqError> {
        let all = self.all(customer).await;
        all.iter().find(|article| article.slug == slug).cloned().ok_or(FaqError::NotFound)
    }

    /// Those that a text seems to ask for, best first.
    pub async fn search(&self, customer: &CustomerId, text: &str, limit: usize) -> Vec<FaqArticle> {
        search(&self.all(customer).await, text, limit)
    }

    /// Writes an article, over the one of this name that comes with the program if there is one.
    pub async fn write(
        &self,
        customer: &CustomerId,
        by: &str,
        slug: &str,
        new: NewArticle,
    ) -> Result<FaqArticle, FaqError> {
        check(slug, &new)?;
        let stored = self.0.articles.get(customer, slug).await?;
        let version = stored.as_ref().map_or(0, |article| article.version);
        let shown = stored.as_ref().filter(|article| !article.hidden).map_or(0, |article| article.version);
        if new.version.is_some_and(|saw| saw != shown) {
            return Err(FaqError::Outdated(shown));
        }
        if stored.is_none()
            && self.0.articles.of_customer(customer, MAX_WRITTEN).await?.len() >= MAX_WRITTEN as usize
        {
            return Err(FaqError::Full);
        }
        let article = Article {
            slug: slug.to_owned(),
            title: new.title.trim().to_owned(),
            category: new.category.to_string(),
            words: new.words,
            text: new.text.trim().to_owned(),
            hidden: false,
            by: by.to_owned(),
            updated_at: now_ms(),
            version: version + 1,
        };
        self.save(customer, &article).await?;
        Ok(shown_as(article))
    }

    /// Hides an article; what comes with the program is hidden too.
    pub async fn hide(&self, customer: &CustomerId, by: &str, slug: &str) -> Result<(), FaqError> {
        let article = self.get(customer, slug).await?;
        let version = self.0.articles.get(customer, slug).await?.map_or(0, |article| article.version);
        let hidden = Article {
            slug: article.slug,
            title: article.title,
            category: article.category.to_string(),
            words: article.words,
            text: article.text,
            hidden: true,
            by: by.to_owned(),
            updated_at: now_ms(),
            version: version + 1,
        };
        self.save(customer, &hidden).await
    }

    async fn save(&self, customer: &CustomerId, article: &Article) -> Result<(), FaqError> {
        let saved = self.0.articles.save(customer, article).await;
        self.0.read.lock().remove(customer);
        saved.map_err(|error| match error {
            WriteError::Refused { found, .. } => {
                let version = found.and_then(|item| item.get("version")?.as_u64());
                FaqError::Outdated(version.unwrap_or_default())
            }
            WriteError::Store(error) => error.into(),
        })
    }
}

fn check(slug: &str, new: &NewArticle) -> Result<(), FaqError> {
    let problem = |field, problem| Err(FaqError::Field { field, problem });
    let fits = |text: &str, least, most| (least..=most).contains(&text.trim().chars().count());
    let plain = |text: &str| !text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t'));
    let slug_fits = (2..=60).contains(&slug.len())
        && slug.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    if !slug_fits {
        return problem("slug", "2 to 60 lower-case letters, digits and hyphens");
    }
    if !fits(&new.title, 5, 200) || new.title.chars().any(char::is_control) {
        return problem("title", "5 to 200 characters on one line");
    }
    if !fits(&new.text, 10, 20_000) || !plain(&new.text) {
        return problem("text", "10 to 20,000 characters");
    }
    if new.words.len() > 30 || new.words.iter().any(|word| !fits(word, 1, 40) || !plain(word)) {
        return problem("words", "at most 30 of 1 to 40 characters");
    }
    Ok(())
}

/// The program's, with what was written over and beside them.
fn merged(written: Vec<Article>) -> Vec<FaqArticle> {
    let mut all: BTreeMap<String, FaqArticle> =
        FILES.iter().map(|(slug, text)| ((*slug).to_owned(), from_file(slug, text))).collect();
    for article in written {
        if article.hidden {
            all.remove(&article.slug);
        } else {
            all.insert(article.slug.clone(), shown_as(article));
        }
    }
    all.into_values().collect()
}

fn shown_as(article: Article) -> FaqArticle {
    FaqArticle {
        slug: article.slug,
        title: article.title,
        category: article.category.parse().unwrap_or(Category::Other),
        words: article.words,
        text: article.text,
        updated_at: Some(article.updated_at),
        version: article.version,
    }
}

fn from_file(slug: &str, file: &str) -> FaqArticle {
    let (head, text) = file.split_once("\n\n").unwrap_or((file, ""));
    let mut lines = head.lines();
    let title = lines.next().unwrap_or_default().trim_start_matches("# ").to_owned();
    let category = lines.next().and_then(|line| line.strip_prefix("category: ")?.parse().ok());
    let words = lines.next().and_then(|line| line.strip_prefix("words: ")).unwrap_or_default();
    FaqArticle {
        slug: slug.to_owned(),
        title,
        category: category.unwrap_or(Category::Other),
        words: words.split(", ").filter(|word| !word.is_empty()).map(str::to_owned).collect(),
        text: text.trim().to_owned(),
        updated_at: None,
        version: 0,
    }
}

/// Words that say nothing.
const EMPTY: &[&str] = &[
    "a", "about", "after", "all", "am", "an", "and", "any", "are", "as", "at", "be", "but", "by", "can",
    "did", "do", "does", "for", "from", "get", "had", "has", "have", "he", "her", "his", "how", "i", "i'm",
    "if", "in", "is", "it", "just", "me", "my", "no", "not", "of", "on", "or", "our", "out", "please", "she",
    "so", "that", "the", "their", "then", "there", "they", "this", "to", "up", "was", "we", "were", "what",
    "when", "where", "which", "who", "why", "will", "with", "would", "you", "your",
];

fn search(articles: &[FaqArticle], text: &str, limit: usize) -> Vec<FaqArticle> {
    let typed: Vec<String> = triage::words(text).take(MAX_WORDS).collect();
    // While somebody types, the last word is not whole.
    let beginning = typed.last().filter(|_| !text.ends_with(char::is_whitespace)).cloned();
    let wanted: BTreeSet<String> = typed.into_iter().filter(|word| !EMPTY.contains(&word.as_str())).collect();
    let indexed: Vec<[BTreeSet<String>; 3]> = articles
        .iter()
        .map(|article| {
            let words = article.words.iter().flat_map(|word| triage::words(word)).collect();
            [triage::words(&article.title).collect(), words, triage::words(&article.text).collect()]
        })
        .collect();
    let hits = |places: &[BTreeSet<String>; 3], word: &str| {
        let begins = beginning.as_deref() == Some(word);
        let hit = |place: &BTreeSet<String>| {
            place.iter().any(|has| has == word || same(has, word) || (begins && has.starts_with(word)))
        };
        let weight = |place: &BTreeSet<String>, weight: f64| if hit(place) { weight } else { 0.0 };
        weight(&places[0], 4.0) + weight(&places[1], 3.0) + weight(&places[2], 1.0)
    };
    let mut scores = vec![0.0; articles.len()];
    for word in &wanted {
        let found: Vec<f64> = indexed.iter().map(|places| hits(places, word)).collect();
        let with = found.iter().filter(|hit| **hit > 0.0).count();
        let rarity = (1.0 + articles.len() as f64 / (1.0 + with as f64)).ln();
        for (score, hit) in scores.iter_mut().zip(found) {
            *score += hit * rarity;
        }
    }
    let mut best: Vec<(f64, &FaqArticle)> =
        scores.into_iter().zip(articles).filter(|(score, _)| *score > 0.0).collect();
    best.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.slug.cmp(&b.1.slug)));
    best.into_iter().take(limit).map(|(_, article)| article.clone()).collect()
}

/// Whether two words are one in another form: a common beginning, and at most an ending more.
fn same(a: &str, b: &str) -> bool {
    let (long, short) = if a.len() >= b.len() { (a, b) } else { (b, a) };
    short.len() >= 4
        && long
            .strip_prefix(short)
            .is_some_and(|rest| matches!(rest, "s" | "es" | "ed" | "d" | "ing" | "n" | "en"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use everplay_records::{Item, Key, MemoryRecordStore, Page, Pending, Query, Table, Write};
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    fn found(text: &str) -> Vec<String> {
        search(&merged(Vec::new()), text, 3).into_iter().map(|article| article.slug).collect()
    }

    #[test]
    fn every_file_has_a_head_and_a_text() {
        for article in merged(Vec::new()) {
            let new = NewArticle {
                title: article.title.clone(),
                category: article.category,
                words: article.words.clone(),
                text: article.text.clone(),
                version: None,
            };
            check(&article.slug, &new).unwrap();
            assert!(article.words.len() > 2 && article.title.ends_with('?'), "{}", article.slug);
        }
        assert_eq!(merged(Vec::new()).len(), FILES.len());
        assert!(FILES.is_sorted());
    }

    #[test]
    fn the_answer_is_found_by_its_words() {
        for (asked, slug) in [
            ("I forgot my password", "forgot-password"),
            ("my opponent left the game, do I win?", "opponent-left"),
            ("how do I delete my account", "delete-account"),
            ("authenticator", "two-factor"),
            ("the connection broke", "connection-lost"),
            ("when is somebody going to answer my ticket", "response-times"),
        ] {
            assert_eq!(found(asked).first().map(String::as_str), Some(slug), "{asked}: {:?}", found(asked));
        }
        assert!(found("xyzzy").is_empty() && found("").is_empty() && found("the of and").is_empty());
    }

    #[test]
    fn it_is_found_while_it_is_typed() {
        for typed in ["passw", "forgot passwo", "pass"] {
            assert_eq!(found(typed).first().map(String::as_str), Some("forgot-password"), "{typed}");
        }
        assert!(found("passw ").is_empty(), "a word that is whole is not a beginning");
    }

    /// A store that stops answering without a word.
    #[derive(Debug, Default)]
    struct Silent {
        store: MemoryRecordStore,
        is_silent: AtomicBool,
        asked: AtomicUsize,
    }

    impl Silent {
        fn answer<T: Send + 'static>(&self, answer: Pending<T>) -> Pending<T> {
            self.asked.fetch_add(1, Ordering::SeqCst);
            if self.is_silent.load(Ordering::SeqCst) { Box::pin(std::future::pending()) } else { answer }
        }
    }

    impl RecordStore for Silent {
        fn get(&self, table: Table, key: Key) -> Pending<Result<Option<Item>, StoreError>> {
            self.answer(self.store.get(table, key))
        }

        fn query(&self, query: Query) -> Pending<Result<Page<Item>, StoreError>> {
            self.answer(self.store.query(query))
        }

        fn write(&self, writes: Vec<Write>) -> Pending<Result<(), WriteError>> {
            self.answer(self.store.write(writes))
        }

        fn create_tables(&self) -> Pending<Result<(), StoreError>> {
            self.answer(self.store.create_tables())
        }
    }

    #[tokio::test]
    async fn what_was_read_last_is_shown_while_the_store_says_nothing() {
        let store = Arc::new(Silent::default());
        let faq = Faq::new(Arc::clone(&store) as Arc<dyn RecordStore>);
        let who = CustomerId::default();
        store.is_silent.store(true, Ordering::SeqCst);
        let began = Instant::now();
        assert_eq!(faq.all(&who).await.len(), FILES.len(), "those of the program");
        assert!(began.elapsed() < Duration::from_secs(5));
        let asked = store.asked.load(Ordering::SeqCst);
        faq.all(&who).await;
        assert_eq!(store.asked.load(Ordering::SeqCst), asked, "nobody else waits for it so soon");
    }

    #[tokio::test]
    async fn agents_write_over_hide_and_add() {
        let faq = Faq::new(Arc::new(MemoryRecordStore::new()));
        let who = CustomerId::default();
        let new = |version| NewArticle {
            title: "What is the moon made of?".to_owned(),
            category: Category::Other,
            words: vec!["cheese".to_owned()],
            text: "Mostly of rock.".to_owned(),
            version,
        };
        let written = faq.write(&who, "agent", "moon", new(Some(0))).await.unwrap();
        assert_eq!((written.version, faq.search(&who, "cheese", 1).await), (1, vec![written.clone()]));
        assert!(matches!(faq.write(&who, "other", "moon", new(Some(0))).await, Err(FaqError::Outdated(1))));
        faq.write(&who, "agent", "forgot-password", new(None)).await.unwrap();
        assert_eq!(faq.get(&who, "forgot-password").await.unwrap().title, "What is the moon made of?");
        faq.hide(&who, "agent", "forgot-password").await.unwrap();
        assert!(matches!(faq.get(&who, "forgot-password").await, Err(FaqError::NotFound)));
        assert!(matches!(faq.hide(&who, "agent", "forgot-password").await, Err(FaqError::NotFound)));
        assert_eq!(faq.write(&who, "agent", "forgot-password", new(Some(0))).await.unwrap().version, 3);
        let elsewhere = CustomerId::new("elsewhere").unwrap();
        assert!(matches!(faq.get(&elsewhere, "moon").await, Err(FaqError::NotFound)));
        for slug in ["", "A", "../x", "a b"] {
            assert!(matches!(faq.write(&who, "a", slug, new(None)).await, Err(FaqError::Field { .. })));
        }
    }
}
