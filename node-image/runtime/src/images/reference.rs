//! Image references: `nginx` is `docker.io/library/nginx:latest`.

use oci_spec::distribution::Reference;

use crate::ImageError;

/// Parses and normalises a reference
/// (<https://github.com/distribution/reference>'s grammar; `latest` when neither tag nor digest is
/// given).
pub(super) fn parse(reference: &str) -> Result<Reference, ImageError> {
    reference.parse().map_err(|error: oci_spec::distribution::ParseError| ImageError::InvalidName {
        reference: reference.to_owned(),
        reason: error.to_string(),
    })
}

/// The repository, with its registry and without tag or digest.
pub(super) fn repository(reference: &Reference) -> String {
    format!("{}/{}", reference.registry(), reference.repository())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_names_mean_docker_hub() {
        let check = |text: &str, whole: &str| assert_eq!(parse(text).unwrap().whole(), whole);
        check("nginx", "docker.io/library/nginx:latest");
        check("nginx:1.25", "docker.io/library/nginx:1.25");
        check("user/app", "docker.io/user/app:latest");
        check("localhost:5000/app:v1", "localhost:5000/app:v1");
        check("registry.example/a/b/c", "registry.example/a/b/c:latest");
    }

    #[test]
    fn bad_names_are_told_apart() {
        for bad in ["", "Nginx", "nginx:", "a b", "nginx@sha256:12"] {
            assert!(matches!(parse(bad), Err(ImageError::InvalidName { .. })), "{bad:?}");
        }
    }
}
