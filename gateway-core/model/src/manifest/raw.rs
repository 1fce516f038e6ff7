//! The file as a tree with places: the stage before anything is believed.

use super::fault::{Faults, hint, shown};
use super::{LIST_MAX, MANIFEST_MAX, Manifest, ManifestErrors};
use core::ops::Range;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A manifest whose form was read and whose content was not.
#[derive(Debug)]
pub struct RawManifest<'t> {
    pub(super) root: Spanned<DeTable<'t>>,
    pub(super) faults: Faults,
}

impl<'t> RawManifest<'t> {
    /// Reads the form. Faults of form are kept and reported by [`RawManifest::check`] together
    /// with those of content. `file` is only named in them.
    #[must_use]
    pub fn parse(file: &str, text: &'t str) -> RawManifest<'t> {
        let mut faults = Faults::new(file, text);
        if text.len() > MANIFEST_MAX {
            let what = format!(
                "{} bytes are too many for a manifest; at most {MANIFEST_MAX}",
                text.len()
            );
            faults.syntax(None, &what);
            return RawManifest {
                root: Spanned::new(0..0, DeTable::new()),
                faults,
            };
        }
        let (root, errors) = DeTable::parse_recoverable(text);
        for error in errors {
            faults.syntax(error.span(), error.message());
        }
        RawManifest { root, faults }
    }

    /// Checks the content and ends this stage.
    ///
    /// # Errors
    /// Every fault of the file, of form and of content.
    pub fn check(self) -> Result<Manifest, ManifestErrors> {
        super::check::check(self)
    }
}

/// One table of the file while it is read. Each key that is asked for becomes a known one; what
/// is left over at [`Section::finish`] is a fault.
pub(super) struct Section<'t> {
    /// `resources.memory`; empty for the root.
    path: String,
    table: Option<&'t DeTable<'t>>,
    /// Where it stands; the whole file for a table that is not there.
    at: Range<usize>,
    known: Vec<&'static str>,
    /// Whether what stands in its place was reported: then nothing is missing in it.
    reported: bool,
}

/// A value and where it stands.
pub(super) type At<T> = (T, Range<usize>);

impl<'t> Section<'t> {
    pub(super) fn root(raw: &'t Spanned<DeTable<'t>>) -> Section<'t> {
        Section {
            path: String::new(),
            table: Some(raw.get_ref()),
            at: 0..0,
            known: Vec::new(),
            reported: false,
        }
    }

    pub(super) fn key(&self, key: &str) -> String {
        match (self.path.as_str(), key) {
            ("", key) => key.to_owned(),
            (path, "") => path.to_owned(),
            (path, key) => format!("{path}.{key}"),
        }
    }

    fn find(&mut self, key: &'static str) -> Option<&'t Spanned<DeValue<'t>>> {
        self.known.push(key);
        self.table?.get(key)
    }

    /// The table under `key`; an empty one, whose place is this one's, where there is none.
    pub(super) fn section(&mut self, faults: &mut Faults, key: &'static str) -> Section<'t> {
        let value = self.find(key);
        let table = value.and_then(|value| match value.get_ref().as_table() {
            Some(table) => Some(table),
            None => {
                let text = format!("{} is no section; write [{}]", kind(value), self.key(key));
                faults.say(&value.span(), &self.key(key), &text);
                None
            }
        });
        Section {
            path: self.key(key),
            table,
            at: value.map_or(self.at.clone(), Spanned::span),
            known: Vec::new(),
            reported: value.is_some() && table.is_none(),
        }
    }

    /// Whether the file has it.
    pub(super) fn is_there(&self) -> bool {
        self.table.is_some()
    }

    /// The value under `key`, read by `parse`; `None` where there is none or it is faulty.
    pub(super) fn optional<T>(
        &mut self,
        faults: &mut Faults,
        key: &'static str,
        parse: impl FnOnce(&DeValue<'_>) -> Result<T, String>,
    ) -> Option<At<T>> {
        let value = self.find(key)?;
        match parse(value.get_ref()) {
            Ok(good) => Some((good, value.span())),
            Err(text) => {
                faults.say(&value.span(), &self.key(key), &text);
                None
            }
        }
    }

    /// As [`Section::optional`]; that there is none is a fault too.
    pub(super) fn required<T>(
        &mut self,
        faults: &mut Faults,
        key: &'static str,
        example: &str,
        parse: impl FnOnce(&DeValue<'_>) -> Result<T, String>,
    ) -> Option<At<T>> {
        let missing = self.table.is_none_or(|table| !table.contains_key(key));
        if missing && !self.reported && !faults.is_malformed() {
            let text = format!("is missing; write {key} = {example} in [{}]", self.path);
            faults.say(&self.at, &self.key(key), &text);
        }
        self.optional(faults, key, parse)
    }

    /// Each element of the list under `key`, read by `parse`; faulty ones are reported one by one.
    pub(super) fn list<T>(
        &mut self,
        faults: &mut Faults,
        key: &'static str,
        mut parse: impl FnMut(&DeValue<'_>) -> Result<T, String>,
    ) -> Vec<At<T>> {
        let mut good = Vec::new();
        for (n, element) in self.elements(faults, key).enumerate() {
            match parse(element.get_ref()) {
                Ok(value) => good.push((value, element.span())),
                Err(text) => {
                    let key = format!("{}[{n}]", self.key(key));
                    faults.say(&element.span(), &key, &text);
                }
            }
        }
        good
    }

    /// The tables of `[[key]]`.
    pub(super) fn sections(&mut self, faults: &mut Faults, key: &'static str) -> Vec<Section<'t>> {
        let mut good = Vec::new();
        for (n, element) in self.elements(faults, key).enumerate() {
            let path = format!("{}[{n}]", self.key(key));
            match element.get_ref().as_table() {
                Some(table) => good.push(Section {
                    path,
                    table: Some(table),
                    at: element.span(),
                    known: Vec::new(),
                    reported: false,
                }),
                None => {
                    let text = format!(
                        "{} is no section; write [[{}]]",
                        kind(element),
                        self.key(key)
                    );
                    faults.say(&element.span(), &path, &text);
                }
            }
        }
        good
    }

    fn elements(
        &mut self,
        faults: &mut Faults,
        key: &'static str,
    ) -> impl Iterator<Item = &'t Spanned<DeValue<'t>>> + use<'t> {
        let value = self.find(key);
        let list = value.and_then(|value| match value.get_ref().as_array() {
            Some(list) => Some(list),
            None => {
                let text = format!("{} is no list; write [...]", kind(value));
                faults.say(&value.span(), &self.key(key), &text);
                None
            }
        });
        if let (Some(value), Some(list)) = (value, list)
            && list.len() > LIST_MAX
        {
            let text = format!("{} elements are too many; at most {LIST_MAX}", list.len());
            faults.say(&value.span(), &self.key(key), &text);
        }
        list.into_iter().flat_map(|list| list.iter()).take(LIST_MAX)
    }

    /// Each key and value of the table, for a section whose keys are the author's own.
    pub(super) fn entries(&self) -> Vec<(At<&'t str>, &'t Spanned<DeValue<'t>>)> {
        let entries = self.table.into_iter().flat_map(|table| table.iter());
        entries
            .map(|(key, value)| ((key.get_ref().as_ref(), key.span()), value))
            .collect()
    }

    /// Where the section stands.
    pub(super) fn place(&self) -> &Range<usize> {
        &self.at
    }

    /// Reports every key that nobody asked for.
    pub(super) fn finish(self, faults: &mut Faults) {
        for ((key, at), value) in self.entries() {
            if !self.known.contains(&key) {
                let what = if value.get_ref().is_table() {
                    "section"
                } else {
                    "key"
                };
                let text = format!("unknown {what} {}; {}", shown(key), hint(key, &self.known));
                let owner = self.key("");
                faults.say(
                    &at,
                    if owner.is_empty() { "manifest" } else { &owner },
                    &text,
                );
            }
        }
    }
}

/// What a value is, for "... is no list".
pub(super) fn kind(value: &Spanned<DeValue<'_>>) -> String {
    format!("this {}", value.get_ref().type_str())
}
