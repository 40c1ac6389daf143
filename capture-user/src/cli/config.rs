//! The configuration file: options of the command line, by their long names.

use std::ffi::OsString;
use std::path::Path;

/// The options in a configuration file, as they would stand on the command line.
pub(super) fn options_of(path: &Path) -> Result<Vec<OsString>, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let table: toml::Table = text.parse().map_err(|error| format!("{}: {error}", path.display()))?;
    let mut options = Vec::new();
    for (key, value) in table {
        let values = match value {
            toml::Value::Array(values) => values,
            single => vec![single],
        };
        for value in values {
            let option = match value {
                toml::Value::Boolean(true) => format!("--{key}"),
                toml::Value::Boolean(false) => continue,
                toml::Value::String(text) => format!("--{key}={text}"),
                toml::Value::Integer(number) => format!("--{key}={number}"),
                toml::Value::Float(number) => format!("--{key}={number}"),
                other => return Err(format!("{}: {key}: {other} is no option's value", path.display())),
            };
            options.push(option.into());
        }
    }
    Ok(options)
}
