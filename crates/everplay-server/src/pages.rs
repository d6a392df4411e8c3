//! The arcade, built by `cargo xtask build` into `web/dist` and embedded from there.

use everplay::{Page, Pages};
use rust_embed::{EmbeddedFile, RustEmbed};
use std::borrow::Cow;

#[derive(RustEmbed)]
#[folder = "../../web/dist"]
struct Dist;

/// The page as it was built, or one that says how to build it.
pub(crate) fn arcade() -> Pages {
    Pages::new(|path| match Dist::get(path) {
        Some(file) => Some(page(file)),
        None if path == "index.html" => {
            Some(Page { bytes: Cow::Borrowed(UNBUILT.as_bytes()), version: "unbuilt".into() })
        }
        None => None,
    })
}

fn page(file: EmbeddedFile) -> Page {
    let hash = file.metadata.sha256_hash();
    let version = hash[..12].iter().map(|byte| format!("{byte:02x}")).collect();
    Page { bytes: file.data, version }
}

const UNBUILT: &str = "\
<!doctype html>
<html lang=\"en\">
<meta charset=\"utf-8\">
<meta name=\"viewport\" content=\"width=device-width\">
<title>Everplay</title>
<h1>The server runs</h1>
<p>Its page was not built yet. Stop the server and run <code>cargo xtask play</code>, or <code>cargo xtask build</code>
and start it again. Game clients can connect already.</p>
</html>
";
