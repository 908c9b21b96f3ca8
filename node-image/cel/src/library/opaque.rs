//! The values that only libraries make.

use std::net::IpAddr;
use std::sync::Arc;

use super::authorizer::{
    AuthorizerValue, DecisionValue, GroupCheck, PathCheckValue, ResourceCheckValue,
};
use super::cidr::Cidr;
use super::format::Format;
use super::quantity::Quantity;
use super::semver::Version;
use super::url::Url;
use crate::types::opaque;

/// A value of a library type.
#[derive(Clone, Debug)]
#[allow(private_interfaces, reason = "what is inside is the libraries' own")]
pub enum Opaque {
    /// `kubernetes.authorization.Authorizer`
    Authorizer(AuthorizerValue),
    /// `net.CIDR`
    Cidr(Cidr),
    /// `kubernetes.authorization.Decision`
    Decision(Arc<DecisionValue>),
    /// `kubernetes.NamedFormat`
    Format(&'static Format),
    /// `kubernetes.authorization.GroupCheck`
    GroupCheck(Arc<GroupCheck>),
    /// `net.IP`
    Ip(IpAddr),
    /// `kubernetes.authorization.PathCheck`
    PathCheck(Arc<PathCheckValue>),
    /// `kubernetes.Quantity`
    Quantity(Quantity),
    /// `kubernetes.authorization.ResourceCheck`
    ResourceCheck(Arc<ResourceCheckValue>),
    /// `kubernetes.Semver`
    Semver(Arc<Version>),
    /// `kubernetes.URL`
    Url(Arc<Url>),
}

impl Opaque {
    /// The full name of the type.
    pub(crate) fn type_name(&self) -> &'static str {
        match self {
            Opaque::Authorizer(_) => opaque::AUTHORIZER,
            Opaque::Cidr(_) => opaque::CIDR,
            Opaque::Decision(_) => opaque::DECISION,
            Opaque::Format(_) => opaque::FORMAT,
            Opaque::GroupCheck(_) => opaque::GROUP_CHECK,
            Opaque::Ip(_) => opaque::IP,
            Opaque::PathCheck(_) => opaque::PATH_CHECK,
            Opaque::Quantity(_) => opaque::QUANTITY,
            Opaque::ResourceCheck(_) => opaque::RESOURCE_CHECK,
            Opaque::Semver(_) => opaque::SEMVER,
            Opaque::Url(_) => opaque::URL,
        }
    }

    /// What costs count: the bytes of an address, 1 for the rest.
    pub(crate) fn size(&self) -> u64 {
        match self {
            Opaque::Ip(IpAddr::V4(_)) => 4,
            Opaque::Ip(IpAddr::V6(_)) => 16,
            Opaque::Cidr(cidr) => u64::from(cidr.prefix).div_ceil(8),
            _ => 1,
        }
    }

    pub(crate) fn equals(&self, other: &Opaque) -> bool {
        match (self, other) {
            (Opaque::Cidr(a), Opaque::Cidr(b)) => a == b,
            (Opaque::Format(a), Opaque::Format(b)) => a.name == b.name,
            (Opaque::Ip(a), Opaque::Ip(b)) => a == b,
            (Opaque::Quantity(a), Opaque::Quantity(b)) => a.nano == b.nano,
            (Opaque::Semver(a), Opaque::Semver(b)) => a.compare(b).is_eq(),
            (Opaque::Url(a), Opaque::Url(b)) => a.text == b.text,
            (Opaque::Authorizer(a), Opaque::Authorizer(b)) => a.is_same(b),
            (Opaque::Decision(a), Opaque::Decision(b)) => a == b,
            (Opaque::GroupCheck(a), Opaque::GroupCheck(b)) => Arc::ptr_eq(a, b),
            (Opaque::PathCheck(a), Opaque::PathCheck(b)) => Arc::ptr_eq(a, b),
            (Opaque::ResourceCheck(a), Opaque::ResourceCheck(b)) => Arc::ptr_eq(a, b),
            _ => false,
        }
    }
}
