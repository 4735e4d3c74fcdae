//! The provider, which is as hostile as its kind allows.

/// A refresh token: the consent that it belongs to, and its number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Token {
    pub family: u8,
    pub number: u8,
}

/// What a provider does with a refresh token that was used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// It is dead. Sending it again ends the whole grant.
    Strict,
    /// As [`Kind::Strict`], and other grants of the account may end, too.
    Siblings,
    /// It works until its successor is used, and gives the same successor again.
    GraceSame,
    /// It works until its successor is used, and gives another successor, which ends the one before.
    GraceNew,
    /// It is not replaced.
    Never,
}

impl Kind {
    pub const ALL: [Self; 5] = [Self::Strict, Self::Siblings, Self::GraceSame, Self::GraceNew, Self::Never];

    /// As `RefreshPolicy::repeatable` of the catalog.
    pub fn repeatable(self) -> bool {
        !matches!(self, Self::Strict | Self::Siblings)
    }
}

/// What the provider stores of one consent.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Family {
    current: u8,
    previous: Option<u8>,
    revoked: bool,
    issued: u8,
}

impl Family {
    /// Gives the token that follows this one, or refuses.
    pub fn renew(&mut self, kind: Kind, token: Token) -> Option<Token> {
        if self.would_refuse(kind, token) {
            self.revoked = true;
            return None;
        }
        let again = token.number != self.current;
        if kind != Kind::Never && !(again && kind == Kind::GraceSame) {
            self.issued += 1;
            self.previous = Some(token.number);
            self.current = self.issued;
        }
        Some(Token { number: self.current, ..token })
    }

    /// Whether a token is dead at the provider.
    pub fn would_refuse(&self, kind: Kind, token: Token) -> bool {
        let taken =
            token.number == self.current || (kind.repeatable() && self.previous == Some(token.number));
        self.revoked || !taken
    }

    /// Whether the whole grant has ended.
    pub fn is_revoked(&self) -> bool {
        self.revoked
    }

    /// The account's owner removes the app at the provider.
    pub fn revoke(&mut self) {
        self.revoked = true;
    }
}
