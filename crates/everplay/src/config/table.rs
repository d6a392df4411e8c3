//! The settings as a page of the documentation.

use super::SETTINGS;
use std::fmt::Write;

/// The text of `docs/configuration.md`: every setting with its key, variable, default and meaning.
pub fn markdown() -> String {
    let mut page = String::from(INTRODUCTION);
    for setting in SETTINGS {
        let default = (setting.default)();
        let default = if default.is_empty() { "empty".to_owned() } else { format!("`{default}`") };
        let help = setting.help.lines().map(str::trim).collect::<Vec<_>>().join(" ");
        let (key, env, flag, takes) =
            (setting.key, setting.env, setting.flag(), setting.takes.replace('|', "\\|"));
        writeln!(page, "| `{key}` | `--{flag}` | `{env}` | {takes} | {default} | {help} |")
            .expect("writing to a string does not fail");
    }
    page
}

const INTRODUCTION: &str = "\
# Configuration

<!-- Written by `everplay config --markdown`; a test compares. -->

Each setting has a key for the configuration file, a flag and an environment variable, with one meaning.
A flag wins over the environment, the environment over the file, the file over the default.

The file is TOML, one `key = value` a line, and is named with `--config FILE` or `EVERPLAY_CONFIG`:

```toml
port = 8080
data_dir = \"/var/lib/everplay\"
shutdown_deadline = \"20s\"
```

`everplay config` prints what is in force and where each value comes from. A key or variable that does not exist, and a
value that does not fit, end the start with a message that names it.

Times are written `250ms`, `10s`, `5m`, `2h`; sizes `4096`, `64KiB`, `1MiB`.

| key | flag | environment | takes | default | meaning |
|---|---|---|---|---|---|
";
