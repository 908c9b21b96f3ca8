//! From an issuer's claims to a user.

use std::collections::BTreeMap;

use kd_cel::{Activation, Budget, PER_CALL_LIMIT, Program, Value as Cel};
use serde_json::{Value, json};

use crate::authz::user_value;
use crate::request::UserInfo;

/// What an issuer's tokens mean.
#[derive(Debug)]
pub(super) struct Mapping {
    pub(super) claim_rules: Vec<ClaimRule>,
    pub(super) username: Source,
    pub(super) groups: Option<Source>,
    pub(super) uid: Option<Source>,
    pub(super) extra: Vec<(String, Program)>,
    pub(super) user_rules: Vec<ExpressionRule>,
}

/// Where a value comes from.
#[derive(Debug)]
pub(super) enum Source {
    Claim { name: String, prefix: String },
    Expression(Program),
}

/// What must hold of the claims.
#[derive(Debug)]
pub(super) enum ClaimRule {
    Value { claim: String, value: String },
    Expression(Box<ExpressionRule>),
}

/// An expression that must hold, of the claims or of the user.
#[derive(Debug)]
pub(super) struct ExpressionRule {
    pub(super) program: Program,
    pub(super) expression: String,
    pub(super) message: String,
}

impl Mapping {
    /// The user, or why there is none.
    pub(super) fn user(&self, claims: &Value) -> Result<UserInfo, String> {
        let scope = Activation::new().with("claims", Cel::from_json(claims));
        for rule in &self.claim_rules {
            rule.check(claims, &scope)?;
        }
        let one = |source: &Source, what: &str| -> Result<String, String> {
            let mut texts = source.texts(claims, &scope, what)?;
            match (texts.len(), texts.pop()) {
                (1, Some(text)) => Ok(text),
                _ => Err(format!("oidc: {what} is not a string")),
            }
        };
        check_email(&self.username, claims)?;
        let username = one(&self.username, "username")?;
        if username.is_empty() {
            return Err("oidc: the username is empty".into());
        }
        let uid = self.uid.as_ref().map_or(Ok(String::new()), |source| one(source, "uid"))?;
        let groups = match &self.groups {
            // Those without groups have none.
            Some(Source::Claim { name, .. }) if claims[name].is_null() => Vec::new(),
            Some(source) => source.texts(claims, &scope, "groups")?,
            None => Vec::new(),
        };
        let mut extra = BTreeMap::new();
        for (key, program) in &self.extra {
            let values = texts_of(&evaluated(program, &scope)?)
                .ok_or_else(|| format!("oidc: extra {key:?} is not a string or a list of them"))?;
            let values: Vec<String> = values.into_iter().filter(|text| !text.is_empty()).collect();
            if !values.is_empty() {
                extra.insert(key.clone(), values);
            }
        }
        if let Some(id) = claims["jti"].as_str().filter(|id| !id.is_empty()) {
            let key = "authentication.kubernetes.io/credential-id";
            extra.insert(key.into(), vec![format!("JTI={id}")]);
        }
        let user = UserInfo { username, uid, groups, extra };
        self.check_user(&user)?;
        Ok(user)
    }

    fn check_user(&self, user: &UserInfo) -> Result<(), String> {
        if self.user_rules.is_empty() {
            return Ok(());
        }
        let mut shown = json!({"uid": "", "groups": [], "extra": {}});
        for (field, value) in user_value(user).as_object().into_iter().flatten() {
            shown[field] = value.clone();
        }
        let scope = Activation::new().with("user", Cel::from_json(&shown));
        for rule in &self.user_rules {
            if evaluated(&rule.program, &scope)?.as_bool() != Some(true) {
                let why = refusal(&rule.expression, &rule.message);
                return Err(format!("oidc: error evaluating user info validation rule: {why}"));
            }
        }
        Ok(())
    }
}

/// An address that its issuer did not check is nobody's name.
fn check_email(username: &Source, claims: &Value) -> Result<(), String> {
    let by_email = matches!(username, Source::Claim { name, .. } if name == "email");
    match &claims["email_verified"] {
        Value::Null | Value::Bool(true) => Ok(()),
        _ if !by_email => Ok(()),
        _ => Err("oidc: email not verified".into()),
    }
}

impl Source {
    fn texts(&self, claims: &Value, scope: &Activation, what: &str) -> Result<Vec<String>, String> {
        match self {
            Source::Claim { name, prefix } => {
                let value = &claims[name];
                if value.is_null() {
                    return Err(format!("oidc: parse {what} claims {name:?}: claim not present"));
                }
                let texts = texts_of(&Cel::from_json(value));
                let texts = texts
                    .ok_or_else(|| format!("oidc: parse {what} claim {name:?}: not a string"))?;
                Ok(texts.into_iter().map(|text| format!("{prefix}{text}")).collect())
            }
            Source::Expression(program) => texts_of(&evaluated(program, scope)?).ok_or_else(|| {
                format!("oidc: error evaluating {what} claim expression: not a string")
            }),
        }
    }
}

impl ClaimRule {
    fn check(&self, claims: &Value, scope: &Activation) -> Result<(), String> {
        match self {
            ClaimRule::Value { claim: name, value } => {
                let found = &claims[name];
                if found.is_null() {
                    return Err(format!("oidc: required claim {name} not present in ID token"));
                }
                match found == value.as_str() {
                    true => Ok(()),
                    false => Err(format!("oidc: required claim {name} value does not match")),
                }
            }
            ClaimRule::Expression(rule) => match evaluated(&rule.program, scope)?.as_bool() {
                Some(true) => Ok(()),
                _ => Err(format!(
                    "oidc: error evaluating claim validation expression: {}",
                    refusal(&rule.expression, &rule.message)
                )),
            },
        }
    }
}

fn refusal(expression: &str, message: &str) -> String {
    match message {
        "" => format!("validation expression '{expression}' failed"),
        message => format!("validation expression '{expression}' failed: {message}"),
    }
}

fn evaluated(program: &Program, scope: &Activation) -> Result<Cel, String> {
    let mut budget = Budget::new(PER_CALL_LIMIT);
    let value = program.evaluate(scope, &mut budget);
    value.map_err(|error| format!("oidc: error evaluating claim expression: {error}"))
}

/// A string, or a list of strings.
fn texts_of(value: &Cel) -> Option<Vec<String>> {
    if let Some(text) = value.as_str() {
        return Some(vec![text.to_owned()]);
    }
    if matches!(value, Cel::Null) {
        return Some(Vec::new());
    }
    value.as_list()?.iter().map(|text| text.as_str().map(str::to_owned)).collect()
}
