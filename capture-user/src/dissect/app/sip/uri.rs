//! Addresses in SIP messages: who is meant (a person, to be shown as people are) and where (kept).

use crate::dissect::app::People;

/// Bytes of an address that records show.
const MAX_SHOWN: usize = 256;

/// A `sip:`, `sips:` or `tel:` address, without parameters and headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Uri<'a> {
    pub scheme: &'a str,
    /// Who, without a password.
    pub user: Option<&'a str>,
    /// Where, with the port; empty in a `tel:` address.
    pub host: &'a str,
}

impl<'a> Uri<'a> {
    /// Reads the address in the value of a From, To or Contact field: in angle brackets after a display name, or bare.
    pub fn in_field(value: &'a str) -> Option<Self> {
        match value.rsplit_once('<') {
            Some((_, bracketed)) => Self::parse(bracketed.split('>').next()?),
            None => Self::parse(value.trim()),
        }
    }

    /// Reads an address.
    pub fn parse(text: &'a str) -> Option<Self> {
        let (scheme, rest) = text.split_once(':')?;
        if scheme.eq_ignore_ascii_case("tel") {
            let number = rest.split([';', '?']).next()?;
            return Some(Self { scheme, user: Some(number), host: "" });
        }
        let is_scheme = !scheme.is_empty() && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'+');
        if !is_scheme {
            return None;
        }
        // A user part may hold ; and ?, a host may not, so the last @ before the host decides.
        let (user, host) = match rest.rsplit_once('@') {
            Some((user, host)) => (Some(user.split(':').next().unwrap_or(user)), host),
            None => (None, rest),
        };
        let host = host.split([';', '?', '>', ' ']).next()?;
        Some(Self { scheme, user, host })
    }

    /// As a record may show it.
    pub fn shown(&self, people: &People) -> String {
        let user = self.user.map(|user| people.show(&clip(user)));
        self.with_user(user.as_deref())
    }

    /// Without saying who: for lines that know nothing of the settings for names.
    pub fn anonymous(&self) -> String {
        self.with_user(self.user.map(|_| "~"))
    }

    fn with_user(&self, user: Option<&str>) -> String {
        let (scheme, host) = (self.scheme, clip(self.host));
        match user {
            Some(user) if host.is_empty() => format!("{scheme}:{user}"),
            Some(user) => format!("{scheme}:{user}@{host}"),
            None => format!("{scheme}:{host}"),
        }
    }

    /// What makes it an address of Vivox, the voice service: channels are users `confctl-…`, accounts are users
    /// `.issuer.name.`.
    pub fn vivox(&self) -> Option<Vivox> {
        let user = self.user.unwrap_or_default();
        let name = self.host.split(':').next().unwrap_or_default().to_ascii_lowercase();
        if user.starts_with("confctl-") {
            Some(Vivox::Channel)
        } else if name == "vivox.com" || name.ends_with(".vivox.com") {
            Some(Vivox::Host)
        } else if is_account(user) {
            Some(Vivox::Account)
        } else {
            None
        }
    }
}

/// Why an address is one of Vivox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Vivox {
    Channel,
    Account,
    Host,
}

impl Vivox {
    pub const fn why(self) -> &'static str {
        match self {
            Self::Channel => "a user that begins with confctl- names a Vivox channel",
            Self::Account => "a user of the form .issuer.name. is a Vivox account",
            Self::Host => "the host is in vivox.com",
        }
    }
}

/// `.issuer.name.`: dots at both ends and at least one between two names.
fn is_account(user: &str) -> bool {
    let inner = user.strip_prefix('.').and_then(|user| user.strip_suffix('.'));
    inner.and_then(|inner| inner.split_once('.')).is_some_and(|(issuer, name)| !issuer.is_empty() && !name.is_empty())
}

/// As much of a text as records show.
pub(super) fn clip(text: &str) -> String {
    text.chars().take(MAX_SHOWN).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(value: &str) -> Option<String> {
        Uri::in_field(value).map(|uri| uri.shown(&People::SHOWN))
    }

    #[test]
    fn only_who_and_where_remain() {
        for (value, expected) in [
            ("\"B, <Blu>\"<sip:732@127.0.0.1:5060>;tag=0", "sip:732@127.0.0.1:5060"),
            ("sip:34903@csp.example.net;tag=7", "sip:34903@csp.example.net"),
            (r#"\"arik\" <sip:816666@voip.example.net>;tag=6433ef9"#, "sip:816666@voip.example.net"),
            ("<sips:a;x=1:secret@[2001:db8::1]:5061;transport=tcp?to=b>", "sips:a;x=1@[2001:db8::1]:5061"),
            ("<tel:+358-555;phone-context=x>", "tel:+358-555"),
            ("sip:example.com", "sip:example.com"),
        ] {
            assert_eq!(shown(value).as_deref(), Some(expected), "{value}");
        }
        assert_eq!(shown("nobody"), None);
    }

    #[test]
    fn people_are_hidden_and_hosts_are_not() {
        let people = People::hashed([7; 16]);
        let hidden = Uri::in_field("\"Alice\" <sip:alice@example.com>").expect("an address").shown(&people);
        assert!(
            hidden.starts_with("sip:~") && hidden.ends_with("@example.com") && !hidden.contains("alice"),
            "{hidden}"
        );
        assert_eq!(Uri::parse("sip:alice@example.com").expect("an address").anonymous(), "sip:~@example.com");
    }

    #[test]
    fn vivox_forms() {
        for (address, expected) in [
            ("sip:confctl-g-blizz.team1@voice.example.com", Some(Vivox::Channel)),
            ("sip:.blizz.player-7.@voice.example.com", Some(Vivox::Account)),
            ("sip:x@mt1p.www.vivox.com:5060", Some(Vivox::Host)),
            ("sip:x@notvivox.com", None),
            ("sip:.a.@example.com", None),
            ("sip:j.doe@example.com", None),
        ] {
            assert_eq!(Uri::parse(address).and_then(|uri| uri.vivox()), expected, "{address}");
        }
    }
}
