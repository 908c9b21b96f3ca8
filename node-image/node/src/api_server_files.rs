//! The API server's configuration files: from their texts to its settings.

use std::sync::Arc;

use kd_apiserver::{
    AuditConfig, AuditPolicy, AuthenticationConfiguration, AuthorizationConfiguration, Config,
    ConfigurationError, Encryption,
};
use kd_contract::{AUDIT_LOG, ApiServerFiles};
use kd_store::Seal;

/// Why an API server would not take these files.
pub fn check(files: &ApiServerFiles) -> Result<(), String> {
    Settings::of(files).map(drop).map_err(|error| error.to_string())
}

/// What the files say.
pub(crate) struct Settings {
    audit_policy: Option<AuditPolicy>,
    authentication: Option<AuthenticationConfiguration>,
    authorization: Option<AuthorizationConfiguration>,
    encryption: Option<Encryption>,
}

impl Settings {
    pub(crate) fn of(files: &ApiServerFiles) -> Result<Settings, ConfigurationError> {
        let ApiServerFiles { audit_policy, authentication, authorization, encryption, kubeconfigs } =
            files;
        let authentication = authentication.as_deref().map(AuthenticationConfiguration::parse);
        let authorization = authorization.as_deref();
        let authorization =
            authorization.map(|text| AuthorizationConfiguration::parse(text, kubeconfigs));
        Ok(Settings {
            audit_policy: audit_policy.as_deref().map(AuditPolicy::parse).transpose()?,
            authentication: authentication.transpose()?,
            authorization: authorization.transpose()?,
            encryption: encryption.as_deref().map(Encryption::parse).transpose()?,
        })
    }

    /// Puts them into an API server's settings.
    pub(crate) fn configure(self, config: &mut Config) {
        let audit = |policy| AuditConfig { policy, log: AUDIT_LOG.into() };
        config.audit = self.audit_policy.map(audit);
        config.authentication = self.authentication;
        config.authorization = self.authorization;
    }

    /// What encrypts the store's values.
    pub(crate) fn seal(&self) -> Option<Arc<dyn Seal>> {
        let encryption = self.encryption.clone()?;
        Some(Arc::new(encryption))
    }
}
