//! The file, and what is refused of it.

use std::sync::Arc;

use kd_api::{FieldError, Path};
use kd_cel::{Environment, Program, Type};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde::Deserialize;

use super::claims::{ClaimRule, ExpressionRule, Mapping, Source};
use crate::configuration::{self, ConfigurationError};

const KIND: &str = "AuthenticationConfiguration";
/// As upstream bounds it.
const ISSUERS_MAX: usize = 64;
const DISCOVERY: &str = "/.well-known/openid-configuration";

/// Who is believed besides the cluster itself.
#[derive(Clone, Debug, Default)]
pub struct AuthenticationConfiguration {
    pub(super) issuers: Vec<IssuerConfiguration>,
    pub(crate) anonymous: Option<Anonymous>,
}

/// Which paths need no identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Anonymous {
    All,
    Paths(Vec<String>),
}

impl Anonymous {
    pub(crate) fn allows(&self, path: &str) -> bool {
        match self {
            Anonymous::All => true,
            Anonymous::Paths(paths) => paths.iter().any(|known| known == path),
        }
    }
}

/// For whom tokens are; one is enough.
#[derive(Clone, Debug)]
pub(super) struct Audiences(pub(super) Vec<String>);

/// An issuer and what its tokens say.
#[derive(Clone, Debug)]
pub(super) struct IssuerConfiguration {
    pub(super) url: String,
    pub(super) discovery_url: String,
    pub(super) authorities: Vec<u8>,
    pub(super) audiences: Audiences,
    pub(super) mapping: Arc<Mapping>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    jwt: Vec<Jwt>,
    anonymous: Option<AnonymousFields>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AnonymousFields {
    enabled: bool,
    #[serde(default)]
    conditions: Vec<Condition>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Condition {
    path: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Jwt {
    issuer: IssuerFields,
    #[serde(default)]
    claim_validation_rules: Vec<ClaimRuleFields>,
    claim_mappings: MappingFields,
    #[serde(default)]
    user_validation_rules: Vec<UserRuleFields>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[derive(Default)]
struct IssuerFields {
    url: String,
    #[serde(rename = "discoveryURL")]
    discovery_url: String,
    certificate_authority: String,
    audiences: Vec<String>,
    audience_match_policy: String,
    egress_selector_type: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[derive(Default)]
struct ClaimRuleFields {
    claim: String,
    required_value: String,
    expression: String,
    message: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MappingFields {
    username: SourceFields,
    #[serde(default)]
    groups: SourceFields,
    #[serde(default)]
    uid: SourceFields,
    #[serde(default)]
    extra: Vec<ExtraFields>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct SourceFields {
    claim: String,
    prefix: Option<String>,
    expression: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ExtraFields {
    key: String,
    value_expression: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UserRuleFields {
    expression: String,
    #[serde(default)]
    message: String,
}

impl AuthenticationConfiguration {
    /// Reads a file.
    pub fn parse(text: &str) -> Result<AuthenticationConfiguration, ConfigurationError> {
        let group = "apiserver.config.k8s.io";
        let file: File = configuration::read(KIND, group, &["v1", "v1beta1"], text)?;
        let mut reading = Reading::default();
        let path = Path::new("jwt");
        if file.jwt.len() > ISSUERS_MAX {
            reading.errors.push(FieldError::too_many(path.clone(), file.jwt.len(), ISSUERS_MAX));
        }
        let mut issuers: Vec<IssuerConfiguration> = Vec::new();
        for (index, jwt) in file.jwt.into_iter().enumerate() {
            let path = path.index(index);
            if issuers.iter().any(|other| other.url == jwt.issuer.url) {
                let url = path.child("issuer").child("url");
                reading.errors.push(FieldError::duplicate(url, jwt.issuer.url.as_str()));
            }
            issuers.push(reading.jwt(jwt, &path));
        }
        let anonymous = file.anonymous.map(|anonymous| reading.anonymous(anonymous));
        ConfigurationError::unless_none(KIND, &reading.errors)?;
        Ok(AuthenticationConfiguration { issuers, anonymous })
    }
}

#[derive(Default)]
struct Reading {
    errors: Vec<FieldError>,
}

impl Reading {
    fn refuse(&mut self, path: Path, value: &str, why: &str) {
        self.errors.push(FieldError::invalid(path, value, why));
    }

    /// A name made of an address needs a look at whether the issuer has verified that.
    fn verified_email(&mut self, jwt: &Jwt, path: &Path) {
        let (mappings, name) = (&jwt.claim_mappings, &jwt.claim_mappings.username.expression);
        let rules = jwt.claim_validation_rules.iter().map(|rule| &rule.expression);
        let extras = mappings.extra.iter().map(|extra| &extra.value_expression);
        let mut all = rules.chain(extras).chain([name]);
        let uses_email = name.replace("claims.email_verified", "").contains("claims.email");
        if uses_email && !all.any(|text| text.contains("claims.email_verified")) {
            let why = "claims.email_verified must be used in claimMappings.username.expression or \
                       claimMappings.extra[*].valueExpression or \
                       claimValidationRules[*].expression when claims.email is used in \
                       claimMappings.username.expression";
            self.refuse(path.child("username").child("expression"), name, why);
        }
    }

    fn anonymous(&mut self, fields: AnonymousFields) -> Anonymous {
        let path = Path::new("anonymous").child("conditions");
        if !fields.enabled && !fields.conditions.is_empty() {
            self.refuse(path, "", "enabled should be set to true when conditions are defined");
        }
        match (fields.enabled, fields.conditions.is_empty()) {
            (true, true) => Anonymous::All,
            _ => Anonymous::Paths(fields.conditions.into_iter().map(|c| c.path).collect()),
        }
    }

    fn jwt(&mut self, jwt: Jwt, path: &Path) -> IssuerConfiguration {
        self.issuer(&jwt.issuer, &path.child("issuer"));
        let environment = || Environment::new().variable("claims", claims_type());
        let of_user = Environment::new().variable("user", user_type());
        self.verified_email(&jwt, &path.child("claimMappings"));
        let rules = path.child("claimValidationRules");
        let claim_rules = jwt.claim_validation_rules.into_iter().enumerate();
        let claim_rules = claim_rules
            .filter_map(|(i, rule)| self.claim_rule(rule, &environment(), &rules.index(i)));
        let claim_rules = claim_rules.collect();
        let rules = path.child("userValidationRules");
        let user_rules =
            jwt.user_validation_rules.into_iter().enumerate().filter_map(|(i, rule)| {
                let path = rules.index(i).child("expression");
                let program = self.compile(&of_user, &rule.expression, &[Type::Bool], &path)?;
                Some(ExpressionRule { program, expression: rule.expression, message: rule.message })
            });
        let user_rules = user_rules.collect();
        let mappings = path.child("claimMappings");
        let text = [Type::String];
        let texts = [Type::String, Type::list(Type::String)];
        let fields = jwt.claim_mappings;
        let path = mappings.child("username");
        if fields.username.claim.is_empty() && fields.username.expression.is_empty() {
            self.errors.push(FieldError::required(path.clone(), "claim or expression is required"));
        }
        let username = self.prefixed_source(fields.username, &environment(), &text, &path);
        let path = mappings.child("groups");
        let groups = self.prefixed_source(fields.groups, &environment(), &texts, &path);
        let uid = self.source(fields.uid, &environment(), &text, &mappings.child("uid"));
        let listed = mappings.child("extra");
        let extra = fields.extra.into_iter().enumerate().filter_map(|(i, extra)| {
            let path = listed.index(i);
            if !extra.key.contains('/') || extra.key.to_lowercase() != extra.key {
                self.refuse(
                    path.child("key"),
                    &extra.key,
                    "must be a lowercase domain-prefixed path",
                );
            }
            let path = path.child("valueExpression");
            let program = self.compile(&environment(), &extra.value_expression, &texts, &path)?;
            Some((extra.key, program))
        });
        let extra = extra.collect();
        let username =
            username.unwrap_or(Source::Claim { name: String::new(), prefix: String::new() });
        let discovery_url = match jwt.issuer.discovery_url.as_str() {
            "" => format!("{}{DISCOVERY}", jwt.issuer.url.trim_end_matches('/')),
            url => url.to_owned(),
        };
        IssuerConfiguration {
            url: jwt.issuer.url,
            discovery_url,
            authorities: jwt.issuer.certificate_authority.into_bytes(),
            audiences: Audiences(jwt.issuer.audiences),
            mapping: Arc::new(Mapping { claim_rules, username, groups, uid, extra, user_rules }),
        }
    }

    fn issuer(&mut self, issuer: &IssuerFields, path: &Path) {
        let url = path.child("url");
        if issuer.url.is_empty() {
            self.errors.push(FieldError::required(url, "URL is required"));
        } else if !issuer.url.starts_with("https://") {
            self.refuse(url, &issuer.url, "URL scheme must be https");
        } else if issuer.url.contains(['?', '#', '@']) {
            self.refuse(url, &issuer.url, "URL must not contain a user, query or fragment");
        }
        let discovery = path.child("discoveryURL");
        if !issuer.discovery_url.is_empty() && !issuer.discovery_url.starts_with("https://") {
            self.refuse(discovery, &issuer.discovery_url, "URL scheme must be https");
        } else if !issuer.discovery_url.is_empty() && issuer.discovery_url == issuer.url {
            self.refuse(
                discovery,
                &issuer.discovery_url,
                "discoveryURL must be different from URL",
            );
        }
        let audiences = path.child("audiences");
        if issuer.audiences.is_empty() {
            let why = "at least one jwt.issuer.audiences is required";
            self.errors.push(FieldError::required(audiences.clone(), why));
        }
        if issuer.audiences.iter().any(String::is_empty) {
            self.errors.push(FieldError::required(audiences, "audience can't be empty"));
        }
        let policy = path.child("audienceMatchPolicy");
        match issuer.audience_match_policy.as_str() {
            "MatchAny" => {}
            "" if issuer.audiences.len() <= 1 => {}
            other => {
                let why = "audienceMatchPolicy must be MatchAny for multiple audiences";
                self.refuse(policy, other, why);
            }
        }
        if !issuer.egress_selector_type.is_empty() {
            let path = path.child("egressSelectorType");
            self.refuse(path, &issuer.egress_selector_type, "there are no egress selectors");
        }
        let pem = issuer.certificate_authority.as_bytes();
        let readable = !pem.is_empty()
            && CertificateDer::pem_slice_iter(pem).all(|certificate| certificate.is_ok())
            && CertificateDer::pem_slice_iter(pem).next().is_some();
        if !pem.is_empty() && !readable {
            let path = path.child("certificateAuthority");
            self.refuse(
                path,
                "<omitted>",
                "data does not contain any valid RSA or ECDSA certificates",
            );
        }
    }

    fn claim_rule(
        &mut self,
        rule: ClaimRuleFields,
        environment: &Environment,
        path: &Path,
    ) -> Option<ClaimRule> {
        match (rule.claim.is_empty(), rule.expression.is_empty()) {
            (false, true) => {
                Some(ClaimRule::Value { claim: rule.claim, value: rule.required_value })
            }
            (true, false) => {
                let path = path.child("expression");
                let program = self.compile(environment, &rule.expression, &[Type::Bool], &path)?;
                let (expression, message) = (rule.expression, rule.message);
                let rule = ExpressionRule { program, expression, message };
                Some(ClaimRule::Expression(Box::new(rule)))
            }
            (true, true) => {
                let why = "claim or expression is required";
                self.errors.push(FieldError::required(path.clone(), why));
                None
            }
            (false, false) => {
                self.refuse(path.clone(), &rule.claim, "claim and expression can't both be set");
                None
            }
        }
    }

    /// Names and groups of issuers must say that they are not the cluster's own.
    fn prefixed_source(
        &mut self,
        fields: SourceFields,
        environment: &Environment,
        types: &[Type],
        path: &Path,
    ) -> Option<Source> {
        if !fields.claim.is_empty() && fields.prefix.is_none() {
            let why = "prefix is required when claim is set. It can be set to an empty string to \
                       disable prefixing";
            self.errors.push(FieldError::required(path.child("prefix"), why));
        }
        self.source(fields, environment, types, path)
    }

    fn source(
        &mut self,
        fields: SourceFields,
        environment: &Environment,
        types: &[Type],
        path: &Path,
    ) -> Option<Source> {
        match (fields.claim.is_empty(), fields.expression.is_empty()) {
            (true, true) => None,
            (false, false) => {
                self.refuse(path.clone(), "", "claim and expression can't both be set");
                None
            }
            (false, true) => Some(Source::Claim {
                name: fields.claim,
                prefix: fields.prefix.unwrap_or_default(),
            }),
            (true, false) => {
                if fields.prefix.is_some_and(|prefix| !prefix.is_empty()) {
                    self.refuse(
                        path.child("prefix"),
                        "",
                        "prefix can't be set when expression is set",
                    );
                }
                let path = path.child("expression");
                self.compile(environment, &fields.expression, types, &path).map(Source::Expression)
            }
        }
    }

    fn compile(
        &mut self,
        environment: &Environment,
        text: &str,
        types: &[Type],
        path: &Path,
    ) -> Option<Program> {
        let program = match environment.compile(text) {
            Ok(program) => program,
            Err(error) => {
                self.refuse(path.clone(), text, &format!("compilation failed: {error}"));
                return None;
            }
        };
        let found = program.result_type();
        if *found == Type::Dyn || types.contains(found) {
            return Some(program);
        }
        let wanted: Vec<String> = types.iter().map(ToString::to_string).collect();
        self.refuse(path.clone(), text, &format!("must evaluate to {}", wanted.join(" or ")));
        None
    }
}

fn claims_type() -> Type {
    Type::map(Type::String, Type::Dyn)
}

fn user_type() -> Type {
    let texts = || Type::list(Type::String);
    let fields = [
        ("username", Type::String),
        ("uid", Type::String),
        ("groups", texts()),
        ("extra", Type::map(Type::String, texts())),
    ];
    Type::object("kubernetes.UserInfo", fields)
}
