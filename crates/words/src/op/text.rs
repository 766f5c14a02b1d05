//! A sentence in both report languages.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A text in English and Chinese. Reports are written in either; neither is a translation made later.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Text {
    /// In English.
    pub en: String,
    /// In Chinese.
    pub zh: String,
}

impl Text {
    /// The same statement in English and in Chinese.
    #[must_use]
    pub fn new(en: impl Into<String>, zh: impl Into<String>) -> Self {
        Text { en: en.into(), zh: zh.into() }
    }
}

/// Figures and names read the same in both languages.
impl From<String> for Text {
    fn from(text: String) -> Self {
        Text { zh: text.clone(), en: text }
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}
