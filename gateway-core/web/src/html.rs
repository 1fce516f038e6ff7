//! HTML that can only be built safely: markup is what stands in this program's source, everything
//! else is escaped.

/// A piece of HTML.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Html(String);

impl Html {
    /// Nothing yet.
    #[must_use]
    pub fn new() -> Html {
        Html::default()
    }

    /// Adds markup from the source of this program; a value that came from outside is no
    /// `&'static str`.
    #[must_use]
    pub fn markup(mut self, markup: &'static str) -> Html {
        self.0.push_str(markup);
        self
    }

    /// Adds text, safe between tags and in a quoted attribute (HTML Living Standard, 13.1.2.3).
    /// Control characters, and those that turn the direction of the text around them (Unicode
    /// UAX 9), become U+FFFD: a service could otherwise show another name than it has.
    #[must_use]
    pub fn text(mut self, text: &str) -> Html {
        for c in text.chars() {
            match c {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                '\n' | '\t' => self.0.push(' '),
                '\u{200e}'
                | '\u{200f}'
                | '\u{061c}'
                | '\u{202a}'..='\u{202e}'
                | '\u{2066}'..='\u{2069}' => self.0.push('\u{fffd}'),
                c if c.is_control() => self.0.push('\u{fffd}'),
                c => self.0.push(c),
            }
        }
        self
    }

    /// Adds another piece.
    #[must_use]
    pub fn piece(mut self, piece: &Html) -> Html {
        self.0.push_str(&piece.0);
        self
    }

    /// Adds a piece for each item.
    #[must_use]
    pub fn each<T>(self, items: impl IntoIterator<Item = T>, piece: impl Fn(T) -> Html) -> Html {
        items
            .into_iter()
            .fold(self, |all, item| all.piece(&piece(item)))
    }

    /// The document.
    #[must_use]
    pub fn into_string(self) -> String {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn hostile_text_stays_text() {
        let text = Html::new().text("</td><script src='//x'>&\"\u{202e}\u{0}\u{1b}[2J");
        assert_eq!(
            text.into_string(),
            "&lt;/td&gt;&lt;script src=&#39;//x&#39;&gt;&amp;&quot;\u{fffd}\u{fffd}\u{fffd}[2J"
        );
    }

    #[test]
    fn other_languages_are_left_alone() {
        let text = Html::new().text("Küche 台所").into_string();
        assert_eq!(text, "Küche 台所");
    }

    proptest! {
        #[test]
        fn no_text_ends_what_is_around_it(text in any::<String>()) {
            let html = Html::new().text(&text).into_string();
            prop_assert!(!html.contains(['<', '>', '"', '\'']));
            prop_assert!(!html.chars().any(char::is_control));
        }
    }
}
