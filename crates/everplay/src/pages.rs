//! Static pages beside the rooms: headers, caching, and what a browser is told it may do.
//!
//! Somebody with a browser who asks for what is not there is told so by a page, if there is one for it; programs are told by
//! an empty 404, which the edge puts into words.
//!
//! Always holds: every page carries a content security policy that runs no inline script or style; files whose name
//! holds a hash of their content are cached for ever, all others are asked for again with their ETag.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Method, Response, StatusCode, Uri, header};
use std::borrow::Cow;
use std::sync::Arc;

/// What a browser may load and run. Sockets to any host: the page may be told to play on another server.
const POLICY: &str = "default-src 'self'; connect-src 'self' ws: wss:; img-src 'self' data:; object-src 'none'; \
                      base-uri 'none'; form-action 'self'; frame-ancestors";
/// Shown to people for what is not there.
const MISSING: &str = "404.html";
/// Who may show the page inside their own when nothing sensible is said.
const NOBODY: &str = "'none'";

/// One file.
#[derive(Debug, Clone)]
pub struct Page {
    /// Its content.
    pub bytes: Cow<'static, [u8]>,
    /// Names the content: another content has another. Letters and digits.
    pub version: String,
}

type Find = Arc<dyn Fn(&str) -> Option<Page> + Send + Sync>;

/// Files to serve, found by their path without the leading slash.
#[derive(Clone)]
pub struct Pages {
    find: Find,
    policy: HeaderValue,
}

impl Pages {
    /// Pages from whatever `find` knows. `/` is `index.html`; what is not found is 404, for browsers with `404.html` when
    /// there is one.
    pub fn new(find: impl Fn(&str) -> Option<Page> + Send + Sync + 'static) -> Self {
        Self { find: Arc::new(find), policy: HeaderValue::from_static(POLICY) }.framed_by(NOBODY)
    }

    /// Says which sites may show the pages inside their own. What would be more than that says nobody.
    pub(crate) fn framed_by(mut self, sites: &str) -> Self {
        let sites = if sites.is_empty() || sites.contains([';', ',']) { NOBODY } else { sites };
        if let Ok(policy) = HeaderValue::from_str(&format!("{POLICY} {sites}")) {
            self.policy = policy;
        }
        self
    }

    pub(crate) fn router(self) -> axum::Router {
        axum::Router::new().fallback(move |method: Method, uri: Uri, headers: HeaderMap| {
            let response = self.answer(&method, uri.path(), &headers);
            async move { response }
        })
    }

    fn answer(&self, method: &Method, path: &str, headers: &HeaderMap) -> Response<Body> {
        if method != Method::GET && method != Method::HEAD {
            return bare(StatusCode::NOT_FOUND);
        }
        let path = match path.trim_start_matches('/') {
            "" => "index.html",
            path => path,
        };
        let Some(page) = (self.find)(path) else { return self.missing(method, headers) };
        let etag = format!("\"{}\"", page.version);
        let known = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
        let fresh = known.flat_map(|tags| tags.split(',')).any(|tag| {
            let tag = tag.trim();
            tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag
        });
        let mut response = bare(if fresh { StatusCode::NOT_MODIFIED } else { StatusCode::OK });
        let out = response.headers_mut();
        let cache = if is_hashed(path) { "public, max-age=31536000, immutable" } else { "no-cache" };
        out.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
        self.guard(out);
        if let Ok(etag) = HeaderValue::from_str(&etag) {
            out.insert(header::ETAG, etag);
        }
        if !fresh {
            fill(&mut response, method, path, page);
        }
        response
    }

    /// What is answered for a path that no page has.
    fn missing(&self, method: &Method, headers: &HeaderMap) -> Response<Body> {
        let mut response = bare(StatusCode::NOT_FOUND);
        let accepts = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
        let reads =
            accepts.flat_map(|kinds| kinds.split(',')).any(|kind| kind.trim().starts_with("text/html"));
        if let Some(page) = reads.then(|| (self.find)(MISSING)).flatten() {
            let out = response.headers_mut();
            out.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
            self.guard(out);
            fill(&mut response, method, MISSING, page);
        }
        response
    }

    /// What a browser is told it may do with the answer.
    fn guard(&self, out: &mut HeaderMap) {
        out.insert(header::CONTENT_SECURITY_POLICY, self.policy.clone());
        out.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        out.insert(header::REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    }
}

fn fill(response: &mut Response<Body>, method: &Method, path: &str, page: Page) {
    let out = response.headers_mut();
    out.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type(path)));
    out.insert(header::CONTENT_LENGTH, HeaderValue::from(page.bytes.len()));
    if method == Method::GET {
        *response.body_mut() = match page.bytes {
            Cow::Borrowed(bytes) => Body::from(bytes),
            Cow::Owned(bytes) => Body::from(bytes),
        };
    }
}

fn bare(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

/// Whether the name holds a hash, as bundlers write it: `assets/index-DiwrgTda.js`.
fn is_hashed(path: &str) -> bool {
    let Some(file) = path.strip_prefix("assets/") else { return false };
    let stem = file.split_once('.').map_or(file, |(stem, _)| stem);
    stem.len() > 9 && stem.is_char_boundary(stem.len() - 9) && {
        let hash = &stem[stem.len() - 9..];
        hash.starts_with('-')
            && hash[1..].bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
    }
}

fn content_type(path: &str) -> &'static str {
    match path.rsplit_once('.').map_or("", |(_, extension)| extension) {
        "html" => "text/html; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "json" | "map" => "application/json",
        "webmanifest" => "application/manifest+json",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "webp" => "image/webp",
        "ico" => "image/x-icon",
        "woff2" => "font/woff2",
        "mp3" => "audio/mpeg",
        "ogg" => "audio/ogg",
        "wasm" => "application/wasm",
        "txt" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pages() -> Pages {
        Pages::new(|path| match path {
            "index.html" => Some(Page { bytes: Cow::Borrowed(b"<!doctype html>"), version: "v1".into() }),
            "404.html" => Some(Page { bytes: Cow::Borrowed(b"<!doctype html>404"), version: "v3".into() }),
            "assets/index-DiwrgTda.js" => Some(Page { bytes: Cow::Borrowed(b"1"), version: "v2".into() }),
            _ => None,
        })
    }

    fn get(path: &str, etag: Option<&'static str>) -> Response<Body> {
        let mut headers = HeaderMap::new();
        if let Some(etag) = etag {
            headers.insert(header::IF_NONE_MATCH, HeaderValue::from_static(etag));
        }
        pages().answer(&Method::GET, path, &headers)
    }

    #[test]
    fn the_root_is_the_index_and_nothing_else_falls_back_to_it() {
        assert_eq!(get("/", None).status(), StatusCode::OK);
        assert_eq!(get("/", None).headers()[header::CONTENT_TYPE], "text/html; charset=utf-8");
        assert_eq!(get("/somewhere", None).status(), StatusCode::NOT_FOUND);
        assert_eq!(pages().answer(&Method::POST, "/", &HeaderMap::new()).status(), StatusCode::NOT_FOUND);
    }

    #[test]
    fn people_are_shown_that_nothing_is_there_and_programs_are_not() {
        let ask = |method: Method, accept: &'static str| {
            let headers = HeaderMap::from_iter([(header::ACCEPT, HeaderValue::from_static(accept))]);
            pages().answer(&method, "/no/such/page", &headers)
        };
        let shown = ask(Method::GET, "application/xhtml+xml, text/html;q=0.9, */*;q=0.8");
        assert_eq!(shown.status(), StatusCode::NOT_FOUND);
        assert_eq!(shown.headers()[header::CONTENT_TYPE], "text/html; charset=utf-8");
        assert_eq!(shown.headers()[header::CACHE_CONTROL], "no-store");
        assert!(shown.headers().contains_key(header::CONTENT_SECURITY_POLICY));
        for (method, accept) in
            [(Method::GET, "*/*"), (Method::GET, "application/json"), (Method::POST, "text/html")]
        {
            let bare = ask(method, accept);
            assert_eq!(bare.status(), StatusCode::NOT_FOUND);
            assert!(bare.headers().is_empty(), "{accept}");
        }
    }

    #[test]
    fn no_page_may_run_inline_code() {
        let page = get("/", None);
        let policy = page.headers()[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
        assert!(policy.ends_with("frame-ancestors 'none'"), "{policy}");
        let framed = |sites| pages().framed_by(sites).policy.to_str().unwrap().to_owned();
        assert!(framed("http://127.0.0.1:1").ends_with("frame-ancestors http://127.0.0.1:1"));
        assert_eq!(framed("*; script-src *"), policy);
        assert_eq!(framed("a\nb"), policy);
        assert!(policy.contains("default-src 'self'") && policy.contains("connect-src 'self' ws: wss:"));
        assert!(!policy.contains("unsafe"));
    }

    #[test]
    fn a_known_version_is_not_sent_again_and_hashed_files_are_never_asked_for_again() {
        assert_eq!(get("/", None).headers()[header::ETAG], "\"v1\"");
        assert_eq!(get("/", Some("\"v0\"")).status(), StatusCode::OK);
        assert_eq!(get("/", Some("\"v0\", W/\"v1\"")).status(), StatusCode::NOT_MODIFIED);
        assert_eq!(get("/", None).headers()[header::CACHE_CONTROL], "no-cache");
        let script = get("/assets/index-DiwrgTda.js", None);
        assert_eq!(script.headers()[header::CACHE_CONTROL], "public, max-age=31536000, immutable");
    }
}
