//! Limits of requests in a cluster, on a real Redis and a real PostgreSQL: one budget for all nodes, and none refused
//! because Redis is away.

#[path = "../../everplay-live/tests/servers/mod.rs"]
mod servers;

use everplay::config::StoreUrl;
use everplay::prelude::*;
use everplay::{App, Config, Running};
use servers::postgres::Postgres;
use servers::redis::Redis;
use std::time::Instant;

/// What a stranger may ask at once. One more every two seconds.
const BUDGET: u32 = 30;

#[derive(State, Default)]
struct Empty {
    nothing: u32,
}

impl Room for Empty {
    type Options = serde::de::IgnoredAny;
    type Timer = ();

    fn create(_: &mut Context<Self>, _: serde::de::IgnoredAny) -> Result<Self, Refusal> {
        Ok(Self::default())
    }
}

async fn node(redis: &Redis, postgres: &Postgres) -> Running {
    let config = Config {
        port: 0,
        redis_url: StoreUrl(redis.url()),
        database_url: StoreUrl(postgres.url()),
        rate_guest: BUDGET,
        trusted_proxies: vec!["127.0.0.1/32".parse().unwrap()],
        ..Config::default()
    };
    App::new().room::<Empty>("empty").start(config).await.unwrap()
}

/// Strangers, each from an address of its own.
struct Strangers {
    client: reqwest::Client,
    urls: Vec<String>,
    seen: u8,
}

impl Strangers {
    fn next(&mut self) -> String {
        self.seen += 1;
        format!("192.0.2.{}", self.seen)
    }

    /// Status, and what the answer says is left.
    async fn ask(&self, from: &str, node: usize) -> (u16, u32) {
        let request = self.client.get(format!("{}/faq", self.urls[node])).header("x-forwarded-for", from);
        let answer = request.send().await.unwrap();
        let told = answer.headers()["ratelimit"].to_str().unwrap().to_owned();
        let left = told.strip_prefix("\"guest\";r=").and_then(|rest| rest.split(';').next());
        (answer.status().as_u16(), left.unwrap().parse().unwrap())
    }

    /// Asks the nodes in turn until they have one budget between them. Not at once: a question that is not answered in
    /// time counts at one node alone, and so do those of the next seconds.
    async fn until_they_share(&mut self) {
        let start = Instant::now();
        loop {
            let from = self.next();
            let began = Instant::now();
            let mut answers = Vec::new();
            for n in 0..BUDGET + 10 {
                answers.push(self.ask(&from, n as usize % self.urls.len()).await);
            }
            let served = answers.iter().filter(|(status, _)| *status == 200).count();
            let filled = 1 + began.elapsed().as_secs() as usize / 2;
            if answers[1] == (200, BUDGET - 2) && served <= BUDGET as usize + filled {
                assert!(served >= BUDGET as usize, "{answers:?}");
                assert!(answers.iter().all(|(status, _)| [200, 429].contains(status)), "{answers:?}");
                return;
            }
            assert!(start.elapsed() < Duration::from_secs(40), "{answers:?}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_have_one_budget_and_answer_without_redis() {
    let (mut redis, postgres) = (Redis::start(&[]), Postgres::start());
    let nodes = [node(&redis, &postgres).await, node(&redis, &postgres).await];
    let urls = nodes.iter().map(|node| format!("http://{}", node.address())).collect();
    let mut strangers = Strangers { client: reqwest::Client::new(), urls, seen: 0 };
    strangers.until_they_share().await;

    redis.kill();
    let from = strangers.next();
    for left in (0..BUDGET).rev() {
        for node in 0..2 {
            let (status, told) = strangers.ask(&from, node).await;
            assert_eq!(status, 200);
            // Each counts alone; on a slow machine one has filled in meanwhile.
            assert!(told >= left, "{told} at {left}");
        }
    }

    redis.restart();
    strangers.until_they_share().await;
    for node in nodes {
        node.stop(Duration::from_secs(5)).await;
    }
}
