//! Articles of the support desk that agents wrote or changed. Those that come with the program are not here.

use crate::port::typed;
use crate::{
    Condition, Item, Key, Paging, Query, RecordStore, StoreError, Table, Write, WriteError, item_of,
};
use everplay_types::CustomerId;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::sync::Arc;

/// An answer to a question that many have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Article {
    /// Its name in addresses; unique within the customer.
    #[serde(rename = "articleId")]
    pub slug: String,
    /// The question.
    pub title: String,
    /// The desk's word.
    pub category: String,
    /// Further words it is found by.
    pub words: Vec<String>,
    /// The answer, Markdown.
    pub text: String,
    /// Not shown: also hides the one of this name that comes with the program.
    #[serde(default)]
    pub hidden: bool,
    /// Who wrote it.
    pub by: String,
    /// Milliseconds since 1970.
    pub updated_at: u64,
    /// Rises with every change, from 1.
    pub version: u64,
}

/// The articles of a store.
#[derive(Debug, Clone)]
pub struct Articles(Arc<dyn RecordStore>);

impl Articles {
    /// Over this store.
    pub fn new(store: Arc<dyn RecordStore>) -> Self {
        Self(store)
    }

    /// Writes an article whose version is one above the stored one (1: there is none yet).
    pub async fn save(&self, customer: &CustomerId, article: &Article) -> Result<(), WriteError> {
        let mut item = item_of(article);
        item.insert("articleId".into(), format!("{customer}/{}", article.slug).into());
        item.insert("customer".into(), customer.as_str().into());
        let condition = match article.version {
            0 | 1 => Condition::Absent,
            version => Condition::Version(version - 1),
        };
        self.0.write(vec![Write::Put { table: Table::Articles, item, condition }]).await
    }

    /// One of them.
    pub async fn get(&self, customer: &CustomerId, slug: &str) -> Result<Option<Article>, StoreError> {
        let key = Key::single(format!("{customer}/{slug}"));
        self.0.get(Table::Articles, key).await?.map(from_item).transpose()
    }

    /// Takes one away; nothing there is no error.
    pub async fn remove(&self, customer: &CustomerId, slug: &str) -> Result<(), WriteError> {
        let key = Key::single(format!("{customer}/{slug}"));
        self.0.write(vec![Write::Delete { table: Table::Articles, key, condition: Condition::Always }]).await
    }

    /// All of a customer, the last changed first; `limit` at most.
    pub async fn of_customer(&self, customer: &CustomerId, limit: u32) -> Result<Vec<Article>, StoreError> {
        let query = Query {
            table: Table::Articles,
            index: Some("CustomerArticles"),
            partition: customer.to_string(),
            from: None,
            descending: true,
            paging: Paging::first(limit),
        };
        self.0.query(query).await?.items.into_iter().map(from_item).collect()
    }
}

fn from_item(mut item: Item) -> Result<Article, StoreError> {
    if let Some(Value::String(text)) = item.get_mut("articleId")
        && let Some((_, bare)) = text.split_once('/')
    {
        *text = bare.to_owned();
    }
    typed(item)
}
