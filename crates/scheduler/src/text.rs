//! Small texts in slim readings.

use serde::Deserialize;
use smol_str::SmolStr;

/// A text that is small most of the time.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Text(pub SmolStr);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl serde::de::Visitor<'_> for Visitor {
            type Value = Text;

            fn expecting(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                out.write_str("a text")
            }

            fn visit_str<E>(self, text: &str) -> Result<Text, E> {
                Ok(Text(SmolStr::new(text)))
            }
        }

        deserializer.deserialize_str(Visitor)
    }
}

/// Texts by name, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Texts(Vec<(SmolStr, SmolStr)>);

impl Texts {
    /// Name and text.
    pub fn iter(&self) -> impl Iterator<Item = (&SmolStr, &SmolStr)> {
        self.0.iter().map(|(name, text)| (name, text))
    }
}

impl<'de> Deserialize<'de> for Texts {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let map = std::collections::BTreeMap::<Text, Text>::deserialize(deserializer)?;
        Ok(Texts(map.into_iter().map(|(name, text)| (name.0, text.0)).collect()))
    }
}
