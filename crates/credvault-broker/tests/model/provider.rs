//! The provider, as hostile as its kind allows.

/// A refresh token: of which consent, and the how manieth.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Token {
    pub family: u8,
    pub number: u8,
}

/// What a provider does with a refresh token that was used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// It is dead, and sending it again ends the whole grant.
    Strict,
    /// The same, and other grants of the account may end with it.
    Siblings,
    /// It still works until its successor is used, and gives that same successor again.
    GraceSame,
    /// It still works until its successor is used, and gives another successor, which ends the one before.
    GraceNew,
    /// It stays as it is.
    Never,
}

impl Kind {
    pub const ALL: [Self; 5] = [Self::Strict, Self::Siblings, Self::GraceSame, Self::GraceNew, Self::Never];

    /// What `Renewal::repeatable` of the catalog says.
    pub fn repeatable(self) -> bool {
        !matches!(self, Self::Strict | Self::Siblings)
    }
}

/// What the provider knows of one consent.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Family {
    current: u8,
    previous: Option<u8>,
    revoked: bool,
    issued: u8,
}

impl Family {
    /// Renews with a token, or refuses it.
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

    /// Whether a token is dead.
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
