//! A token file: lines of `token,user,uid,"group,group"`.

use std::collections::HashMap;

use crate::request::UserInfo;

/// Why a token file is refused.
#[derive(Debug, PartialEq, thiserror::Error)]
#[error("read the token file, line {line}: {reason}")]
pub struct StaticTokenError {
    line: usize,
    reason: &'static str,
}

/// The users of a token file.
#[derive(Default)]
pub struct StaticTokens {
    users: HashMap<String, UserInfo>,
}

impl StaticTokens {
    /// Reads the text of a token file.
    pub fn parse(text: &str) -> Result<StaticTokens, StaticTokenError> {
        let mut users = HashMap::new();
        for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let refuse = |reason| StaticTokenError { line: number + 1, reason };
            let fields = fields(line).ok_or_else(|| refuse("a quote is not closed"))?;
            let [token, username, uid, rest @ ..] = fields.as_slice() else {
                return Err(refuse("needs at least token, user name and user uid"));
            };
            if token.is_empty() {
                return Err(refuse("the token is empty"));
            }
            let groups = rest.first().into_iter().flat_map(|list| list.split(','));
            let groups = groups.map(str::trim).filter(|group| !group.is_empty());
            let user = UserInfo {
                username: username.clone(),
                uid: uid.clone(),
                groups: groups.map(str::to_owned).collect(),
                ..UserInfo::default()
            };
            users.insert(token.clone(), user);
        }
        Ok(StaticTokens { users })
    }

    pub(super) fn user(&self, token: &str) -> Option<UserInfo> {
        let mut users = self.users.iter();
        let found = users.find(|(known, _)| super::same_secret(known.as_bytes(), token.as_bytes()));
        found.map(|(_, user)| user.clone())
    }
}

/// The fields of a line of comma-separated values.
fn fields(line: &str) -> Option<Vec<String>> {
    let mut fields = vec![String::new()];
    let mut quoted = false;
    for letter in line.trim().chars() {
        match (letter, quoted) {
            ('"', _) => quoted = !quoted,
            (',', false) => fields.push(String::new()),
            _ => fields.last_mut()?.push(letter),
        }
    }
    let trimmed = fields.iter().map(|field| field.trim().to_owned()).collect();
    (!quoted).then_some(trimmed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        let tokens = StaticTokens::parse("t1,alice,1,\"a,b\"\n\nt2,bob,2\n").unwrap();
        assert_eq!(tokens.user("t1").unwrap().groups, ["a", "b"]);
        assert_eq!(tokens.user("t2").unwrap().username, "bob");
        assert_eq!(tokens.user("t"), None);
        let refused = |text: &str| StaticTokens::parse(text).err().unwrap().to_string();
        assert_eq!(
            refused("a,b"),
            "read the token file, line 1: needs at least token, user name and user uid"
        );
        assert_eq!(refused("a,b,c\n\"a,b,c"), "read the token file, line 2: a quote is not closed");
    }
}
