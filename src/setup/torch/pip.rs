//! What pip is set to, so that a mirror, a proxy and a company's certificates count here as they do there.
//!
//! Decides which of pip's settings are read. Files are read by pip itself, where an interpreter has it; without one the environment counts alone.

use std::path::PathBuf;

use crate::child::{Program, finish};

/// Where pip looks where it is told nothing.
const PYPI: &str = "https://pypi.org/simple";

/// pip answers in a second; a machine under load takes longer.
const LONGEST: std::time::Duration = std::time::Duration::from_secs(60);

/// The settings that say where packages come from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Pip {
    /// Simple indexes, in the order in which they are asked.
    pub indexes: Vec<String>,
    /// Folders and pages with links to wheels, which are looked at first.
    pub links: Vec<String>,
    /// A file of certificates that are trusted instead of the system's.
    pub certificates: Option<PathBuf>,
    /// The proxy, where pip is told one; those of the environment count anyway.
    pub proxy: Option<String>,
}

impl Pip {
    /// As pip of this interpreter would be set, and as the environment says.
    pub(super) fn read(python: &str) -> Self {
        let listed = finish(&Program::new(python, ["-m", "pip", "config", "list"]), LONGEST);
        let listed = listed.ok().filter(|output| output.status.success()).map(|output| output.text().into_owned());
        let environment = |name: &str| std::env::var(name).ok().filter(|value| !value.trim().is_empty());
        Pip::of(listed.as_deref().unwrap_or_default(), &environment)
    }

    /// `listed` is what `pip config list` prints: lines such as `global.index-url='https://…'`. The environment outdoes it.
    fn of(listed: &str, environment: &dyn Fn(&str) -> Option<String>) -> Self {
        let filed = |key: &str| {
            // What is set for `install` or `download` outdoes `global`; `:env:` is read below, from where it comes.
            ["install", "download", "global"].into_iter().find_map(|section| {
                let lines = listed.lines().filter_map(|line| line.split_once('='));
                let mut values = lines.filter(|(name, _)| *name == format!("{section}.{key}"));
                values.next().map(|(_, value)| unquoted(value))
            })
        };
        let setting = |key: &str| {
            environment(&format!("PIP_{}", key.to_uppercase().replace('-', "_")))
                .or_else(|| filed(key))
                .unwrap_or_default()
        };
        let words = |key: &str| setting(key).split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let alone = |key: &str| Some(setting(key)).filter(|value| !value.is_empty());
        let mut indexes = Vec::new();
        if !["1", "true", "yes", "on"].contains(&setting("no-index").to_lowercase().as_str()) {
            indexes.push(alone("index-url").unwrap_or_else(|| PYPI.to_owned()));
            indexes.extend(words("extra-index-url"));
        }
        let certificates =
            alone("cert").or_else(|| environment("REQUESTS_CA_BUNDLE")).or_else(|| environment("SSL_CERT_FILE"));
        Pip {
            indexes,
            links: words("find-links"),
            certificates: certificates.map(PathBuf::from),
            proxy: alone("proxy"),
        }
    }
}

/// As Python writes a string: in quotes of either kind; `\n` stands between the values of a list.
fn unquoted(value: &str) -> String {
    let value = value.trim();
    let inner = ['\'', '"'].into_iter().find_map(|quote| value.strip_prefix(quote)?.strip_suffix(quote));
    inner.unwrap_or(value).replace("\\n", " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_and_the_environment_say_where_packages_are() {
        let nothing = |_: &str| None;
        assert_eq!(Pip::of("", &nothing), Pip { indexes: vec![PYPI.to_owned()], ..Pip::default() });
        let listed = ":env:.index-url='https://not.read/'\nglobal.index-url='https://mirror/simple/'\n\
                      global.cert='/etc/ca.pem'\nglobal.extra-index-url='\\nhttps://one/\\nhttps://two/'\n";
        let pip = Pip::of(listed, &nothing);
        assert_eq!(pip.indexes, ["https://mirror/simple/", "https://one/", "https://two/"]);
        assert_eq!(pip.certificates, Some(PathBuf::from("/etc/ca.pem")));
        let environment = |name: &str| match name {
            "PIP_INDEX_URL" => Some("https://env/simple".to_owned()),
            "PIP_FIND_LINKS" => Some("/opt/wheels file:///srv".to_owned()),
            "PIP_CERT" => Some("/env.pem".to_owned()),
            "PIP_PROXY" => Some("http://proxy:3128".to_owned()),
            _ => None,
        };
        let pip = Pip::of(listed, &environment);
        assert_eq!((pip.indexes[0].as_str(), pip.indexes.len()), ("https://env/simple", 3));
        assert_eq!(pip.links, ["/opt/wheels", "file:///srv"]);
        assert_eq!((pip.certificates, pip.proxy.as_deref()), (Some("/env.pem".into()), Some("http://proxy:3128")));
        let offline = |name: &str| (name == "PIP_NO_INDEX").then(|| "1".to_owned());
        assert_eq!(Pip::of(listed, &offline).indexes, [""; 0]);
    }
}
