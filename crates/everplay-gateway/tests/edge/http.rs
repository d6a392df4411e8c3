//! HTTP: matchmaking as the SDKs call it, health, and everything that is refused.

use crate::world::*;
use everplay_gateway::{Limits, Parts};
use serde_json::json;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[tokio::test]
async fn a_seat_is_reserved_under_any_endpoint_path() {
    let world = World::new();
    for path in ["/matchmake/joinOrCreate/echo", "/v17/matchmake/create/echo", "/a/b/matchmake/join/echo?x=1"]
    {
        let answer = world.post(path, r#"{"level":3}"#).await;
        assert_eq!(answer.status, 200, "{path}");
        assert_eq!(answer.header("content-type"), Some("application/json"));
        assert_eq!(answer.header("content-length"), Some(answer.body.len().to_string().as_str()));
        let json = answer.json();
        assert_eq!((&json["sessionId"], &json["room"]["roomId"]), (&json!("good"), &json!("r1")));
    }
    let requests = world.rooms.requests.lock().unwrap();
    assert_eq!(requests[0].options, json!({"level": 3}));
    assert_eq!(requests[1].dialect, Some(everplay_wire::Dialect::V17));
    assert!(requests[0].client.ip.is_loopback());
}

#[tokio::test]
async fn no_body_and_an_empty_list_are_no_options() {
    let world = World::new();
    for body in ["", "[]", "{}"] {
        assert_eq!(world.post("/matchmake/join/echo", body).await.status, 200);
    }
    assert!(world.rooms.requests.lock().unwrap().iter().all(|request| request.options == json!({})));
}

#[tokio::test]
async fn the_bearer_token_reaches_the_rooms() {
    let world = World::new();
    let request =
        "POST /matchmake/join/echo HTTP/1.1\nhost: h\nauthorization: Bearer secret\ncontent-length: 0\n\n";
    assert_eq!(world.http(request).await.status, 200);
    assert_eq!(world.rooms.requests.lock().unwrap()[0].client.token.as_deref(), Some("secret"));
}

#[tokio::test]
async fn errors_have_the_form_the_sdks_read() {
    let world = World::new();
    for (path, status, body) in [
        ("/matchmake/join/x", 520, json!({"code": 520, "error": "provided room name \"x\" not defined"})),
        ("/matchmake/dance/echo", 520, json!({"code": 520, "error": "invalid method \"dance\""})),
        ("/matchmake/join/teapot", 418, json!({"code": 418, "error": "short and stout"})),
        ("/matchmake/join/custom", 523, json!({"code": 4242, "error": "an application's own code"})),
    ] {
        let answer = world.post(path, "{}").await;
        assert_eq!((answer.status, answer.json()), (status, body), "{path}");
    }
    let busy = world.post("/matchmake/join/busy", "{}").await;
    let told = json!({"code": 429, "error": "too many requests; ask again later"});
    assert_eq!((busy.status, busy.json(), busy.header("retry-after")), (429, told, Some("2")));
    let broken = world.post("/matchmake/join/echo", "{").await;
    assert_eq!((broken.status, broken.body.as_str()), (400, r#"{"error":"malformed request body"}"#));
    let deep = world.post("/matchmake/join/echo", &"[".repeat(10_000)).await;
    assert_eq!(deep.status, 400, "nesting is bounded");
}

#[tokio::test]
async fn every_answer_has_cors_headers_and_a_request_id() {
    let world = World::new();
    let origin = "origin: https://game.example\nx-request-id: abc-1";
    for (method, path) in [("OPTIONS", "/any/path"), ("GET", "/nowhere"), ("GET", "/health/live")] {
        let answer = world.http(&format!("{method} {path} HTTP/1.1\nhost: h\n{origin}\n\n")).await;
        assert_eq!(answer.header("access-control-allow-origin"), Some("https://game.example"), "{path}");
        assert_eq!(answer.header("access-control-allow-credentials"), Some("true"));
        assert_eq!(answer.header("x-request-id"), Some("abc-1"));
        if method == "OPTIONS" {
            assert_eq!((answer.status, answer.body.as_str()), (204, ""));
        }
    }
    let answer = world.post("/matchmake/join/x", "").await;
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
}

#[tokio::test]
async fn health_tells_life_from_readiness() {
    let world = World::new();
    assert_eq!(world.get("/__healthcheck").await.body, "OK");
    assert_eq!(world.get("/health/ready").await.status, 200);
    *world.rooms.not_ready.lock().unwrap() = Some("restoring rooms".to_owned());
    let answer = world.get("/health/ready").await;
    assert_eq!((answer.status, answer.envelope_code().as_str()), (503, "NOT_READY"));
    assert_eq!(world.get("/health/live").await.status, 200);
    let answer = world.get("/health").await;
    let details = answer.json();
    assert_eq!(
        (&details["ready"], &details["reason"], &details["rooms"]["rooms"]),
        (&json!(false), &json!("restoring rooms"), &json!(1))
    );
    assert_eq!((answer.status, &details["status"]), (503, &json!("unhealthy")));

    *world.rooms.not_ready.lock().unwrap() = None;
    for (redis, status, health, said) in [
        (None, 200, "healthy", "disabled"),
        (Some(true), 200, "healthy", "connected"),
        (Some(false), 503, "unhealthy", "disconnected"),
    ] {
        *world.rooms.redis.lock().unwrap() = redis;
        let answer = world.get("/health").await;
        let details = answer.json();
        assert_eq!(
            (answer.status, &details["status"], &details["redis"]),
            (status, &json!(health), &json!(said))
        );
        assert_eq!(world.get("/health/live").await.status, 200, "nobody is killed for it");
    }
}

#[tokio::test]
async fn other_paths_are_the_applications() {
    let plug = |parts: &mut Parts| {
        parts.app = axum::Router::new()
            .route("/hello", axum::routing::get(|| async { "hi" }))
            .route("/own", axum::routing::get(|| async { (axum::http::StatusCode::NOT_FOUND, "mine") }))
            .route(
                "/upload",
                axum::routing::post(|body: axum::body::Bytes| async move { body.len().to_string() }),
            );
        parts.metrics = Some(std::sync::Arc::new(|| "# metrics".to_owned()));
    };
    let world = World::build(EchoRooms::default(), |_| {}, plug);
    assert_eq!(world.get("/hello").await.body, "hi");
    assert_eq!(world.get("/own").await.body, "mine");
    assert_eq!(world.get("/metrics").await.body, "# metrics");
    assert_eq!(world.get("/nowhere").await.envelope_code(), "NOT_FOUND");
    let answer = world.post("/hello", "").await;
    assert_eq!((answer.status, answer.envelope_code().as_str()), (405, "METHOD_NOT_ALLOWED"));
    assert_eq!(world.get("/matchmake/join/echo").await.status, 404);
    // The bound on bodies holds for them too.
    assert_eq!(world.post("/upload", "12345").await.body, "5");
    let chunk = "x".repeat(60_000);
    let request = format!(
        "POST /upload HTTP/1.1\nhost: h\ntransfer-encoding: chunked\n\n{:x}\n{chunk}\n{:x}\n{chunk}\n0\n\n",
        chunk.len(),
        chunk.len()
    );
    assert_eq!(world.http(&request).await.status, 413);
}

#[tokio::test]
async fn oversized_requests_are_told_so() {
    let world = World::with(|options| options.limits.body_bytes = 1000);
    let announced = world.post("/matchmake/join/echo", &" ".repeat(1001)).await;
    assert_eq!(announced.status, 413);
    let chunk = "x".repeat(1001);
    let chunked = format!(
        "POST /matchmake/join/echo HTTP/1.1\nhost: h\ntransfer-encoding: chunked\n\n3e9\n{chunk}\n0\n\n"
    );
    let answer = world.http(&chunked).await;
    assert_eq!(
        (answer.status, answer.json()),
        (413, json!({"code": 413, "error": "request body too large"}))
    );
    let long =
        format!("GET / HTTP/1.1\nhost: h\nx: {}\n\n", "y".repeat(Limits::default().header_bytes as usize));
    assert_eq!(world.http(&long).await.status, 431);
    let many = format!("GET / HTTP/1.1\nhost: h\n{}\n", "a: b\n".repeat(101));
    assert_eq!(world.http(&many).await.status, 431);
}

/// Reads until the server closes; how long that took.
async fn closed_after(world: &World, send: &str, trickle: Option<&str>) -> (Duration, String) {
    let started = Instant::now();
    let mut tcp = world.tcp().await;
    tcp.write_all(send.replace('\n', "\r\n").as_bytes()).await.unwrap();
    let (mut read, mut write) = tcp.into_split();
    let dripping = tokio::spawn({
        let drop = trickle.map(str::to_owned);
        async move {
            while let Some(drop) = &drop {
                tokio::time::sleep(Duration::from_millis(20)).await;
                if write.write_all(drop.as_bytes()).await.is_err() {
                    return;
                }
            }
            // Holds the writing half open.
            std::future::pending::<()>().await;
        }
    });
    let mut answer = Vec::new();
    // A reset is an end as well.
    let ended = tokio::time::timeout(PATIENCE, read.read_to_end(&mut answer)).await;
    assert!(ended.is_ok(), "not closed");
    dripping.abort();
    (started.elapsed(), String::from_utf8(answer).unwrap())
}

#[tokio::test]
async fn slow_requests_are_cut() {
    let world = World::with(|options| {
        options.limits.header_read = Duration::from_millis(200);
        options.limits.body_read = Duration::from_millis(400);
    });
    let near = |elapsed: Duration, ms: u64| {
        assert!(
            (ms - 50..ms + 1500).contains(&(elapsed.as_millis() as u64)),
            "{elapsed:?} instead of {ms} ms"
        );
    };
    let (silent, _) = closed_after(&world, "", None).await;
    near(silent, 200);
    let (dripping, _) = closed_after(&world, "GET / HTTP/1.1\nhost: h\nx: ", Some("y")).await;
    near(dripping, 200);
    let head = "POST /matchmake/join/echo HTTP/1.1\nhost: h\nconnection: close\ncontent-length: 1000\n\n";
    let (body, answer) = closed_after(&world, head, Some(" ")).await;
    near(body, 400);
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
}

#[tokio::test]
async fn a_quiet_connection_may_wait_longer_than_a_slow_request() {
    let world = World::with(|options| options.limits.header_read = Duration::from_millis(200));
    let mut tcp = world.tcp().await;
    let request = b"GET /health/live HTTP/1.1\r\nhost: h\r\n\r\n";
    for _ in 0..2 {
        tcp.write_all(request).await.unwrap();
        assert_eq!(Answer::read(&mut tcp).await.status, 200);
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    tcp.write_all(&request[..10]).await.unwrap();
    let mut rest = Vec::new();
    tokio::time::timeout(PATIENCE, tcp.read_to_end(&mut rest)).await.expect("closed").unwrap();
    assert!(rest.is_empty());

    let world = World::with(|options| {
        options.limits.header_read = Duration::from_millis(50);
        options.limits.keep_alive = Duration::from_millis(200);
    });
    let mut tcp = world.tcp().await;
    tcp.write_all(request).await.unwrap();
    assert_eq!(Answer::read(&mut tcp).await.status, 200);
    tokio::time::timeout(PATIENCE, tcp.read_to_end(&mut rest)).await.expect("closed").unwrap();
}

#[tokio::test]
async fn what_is_not_http_is_refused() {
    let world = World::new();
    assert_eq!(world.http("hello there\n\n").await.status, 400);
    let smuggled =
        "POST /matchmake/join/echo HTTP/1.1\nhost: h\ncontent-length: 3\ncontent-length: 4\n\nabcd";
    assert_eq!(world.http(smuggled).await.status, 400);
}

#[tokio::test]
async fn rooms_that_do_not_answer_are_not_waited_for() {
    let world = World::with(|options| options.limits.matchmake = Duration::from_millis(50));
    let answer = world.post("/matchmake/join/never", "{}").await;
    assert_eq!((answer.status, answer.json()["code"].as_i64()), (523, Some(523)));
}

#[tokio::test]
async fn sockets_over_the_bound_are_answered() {
    let world = World::with(|options| options.limits.connections = 2);
    let (first, _second) = (world.tcp().await, world.tcp().await);
    world.until("two sockets", |world| world.handle.sockets() == 2).await;
    let mut third = world.tcp().await;
    let answer = Answer::read(&mut third).await;
    assert_eq!((answer.status, answer.envelope_code().as_str()), (503, "TOO_MANY_CONNECTIONS"));
    drop(first);
    world.until("one socket", |world| world.handle.sockets() == 1).await;
    assert_eq!(world.get("/health/live").await.status, 200);
}

#[tokio::test]
async fn sockets_of_one_address_are_bounded() {
    let world = World::with(|options| {
        options.limits.connections_per_ip = 1;
        options.limits.connections_per_ip_loopback = true;
    });
    let first = world.tcp().await;
    world.until("a socket", |world| world.handle.sockets() == 1).await;
    let mut second = world.tcp().await;
    let answer = Answer::read(&mut second).await;
    assert_eq!((answer.status, answer.envelope_code().as_str()), (429, "TOO_MANY_CONNECTIONS_FROM_ADDRESS"));
    drop(first);
    world.until("no socket", |world| world.handle.sockets() == 0).await;
    assert_eq!(world.get("/health/live").await.status, 200);

    let open = World::with(|options| options.limits.connections_per_ip = 1);
    let _first = open.tcp().await;
    open.until("a socket", |world| world.handle.sockets() == 1).await;
    assert_eq!(open.get("/health/live").await.status, 200, "loopback is not counted by default");
}

#[tokio::test]
async fn pages_of_other_hosts_may_send_and_read_what_services_use() {
    let world = World::new();
    let answer = world.http("OPTIONS /games HTTP/1.1\nhost: h\norigin: https://game.example\n\n").await;
    let allowed = answer.header("access-control-allow-headers").unwrap();
    assert!(allowed.contains("Authorization") && allowed.contains("Idempotency-Key"), "{allowed}");
    let exposed = answer.header("access-control-expose-headers").unwrap();
    for name in ["Retry-After", "RateLimit", "everplay-service", "x-request-id"] {
        assert!(exposed.contains(name), "{exposed}");
    }
}

#[tokio::test]
async fn what_is_for_staff_is_called_from_our_own_pages_only() {
    let plug = |parts: &mut Parts| {
        parts.staff.paths = vec!["/admin".to_owned()];
        parts.staff.origins = vec!["https://desk.example".to_owned()];
    };
    let world = World::build(EchoRooms::default(), |_| {}, plug);
    for (method, path, origin, allowed) in [
        ("OPTIONS", "/admin/users", "https://game.example", None),
        ("GET", "/admin", "https://game.example", None),
        ("GET", "/admin/users", "https://desk.example", Some("https://desk.example")),
        ("GET", "/administrators", "https://game.example", Some("https://game.example")),
    ] {
        let answer = world.http(&format!("{method} {path} HTTP/1.1\nhost: h\norigin: {origin}\n\n")).await;
        assert_eq!(answer.header("access-control-allow-origin"), allowed, "{path}");
        assert_eq!(answer.header("access-control-allow-credentials"), allowed.map(|_| "true"), "{path}");
        assert!(answer.header("vary").is_some_and(|vary| vary.contains("origin")));
    }
}

#[tokio::test]
async fn answers_are_no_documents_and_https_stays_https() {
    let world = World::new();
    let plain = [
        world.get("/health").await,
        world.post("/matchmake/join/x", "{}").await,
        world.get("/nowhere").await,
    ];
    for answer in &plain {
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert!(answer.header("content-security-policy").unwrap().starts_with("default-src 'none'"));
        assert_eq!(answer.header("strict-transport-security"), None);
    }
    let world = World::build(EchoRooms::default(), |_| {}, |parts| parts.https = true);
    for path in ["/health", "/nowhere"] {
        let told = world.get(path).await.header("strict-transport-security").map(str::to_owned);
        assert!(told.is_some_and(|told| told.starts_with("max-age=")), "{path}");
    }
}

#[tokio::test]
async fn metrics_are_for_this_machine_or_for_who_has_the_key() {
    let metrics: everplay_gateway::RenderMetrics = std::sync::Arc::new(|| "# metrics".to_owned());
    let ask = async |world: &World, header: &str| {
        world.http(&format!("GET /metrics HTTP/1.1\nhost: h\n{header}\n\n")).await
    };
    let open = World::build(EchoRooms::default(), |_| {}, |parts| parts.metrics = Some(metrics.clone()));
    assert_eq!(ask(&open, "accept: */*").await.status, 200);
    let proxied = ask(&open, "x-forwarded-for: 127.0.0.1").await;
    assert_eq!((proxied.status, proxied.envelope_code().as_str()), (403, "FORBIDDEN"));
    let keyed = World::build(
        EchoRooms::default(),
        |_| {},
        |parts| {
            parts.metrics = Some(metrics.clone());
            parts.metrics_key = Some("a-key-of-many-letters".to_owned());
        },
    );
    for (header, status) in [
        ("accept: */*", 401),
        ("authorization: Bearer a-key-of-many-letter5", 401),
        ("authorization: Bearer a-key-of-many-letters\nx-forwarded-for: 192.0.2.1", 200),
    ] {
        assert_eq!(ask(&keyed, header).await.status, status, "{header}");
    }
}
