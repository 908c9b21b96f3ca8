//! Authorization checks.

use std::sync::Arc;

use kd_cel::{
    AUTHORIZER, Activation, Authorizer, Budget, Decision, Environment, PathCheck, RESOURCE_CHECK,
    ResourceCheck, Value,
};

/// Allows what is called `allowed`, and answers what it was asked.
struct Echo;

impl Authorizer for Echo {
    fn check_path(&self, account: Option<(&str, &str)>, check: &PathCheck) -> Decision {
        let reason = format!("{account:?} {} {}", check.verb, check.path);
        Decision { allowed: check.path == "/allowed", reason, error: None }
    }

    fn check_resource(&self, account: Option<(&str, &str)>, check: &ResourceCheck) -> Decision {
        let reason = format!("{account:?} {} {}", check.verb, check.resource);
        let error = (check.group == "broken").then(|| "cannot tell".to_owned());
        Decision { allowed: check.name == "allowed" && check.namespace == "ns", reason, error }
    }
}

fn check(expression: &str, expect: Result<bool, &str>) {
    let environment = Environment::new()
        .variable("authorizer", AUTHORIZER)
        .variable("authorizer.requestResource", RESOURCE_CHECK);
    let program = environment.compile(expression).expect(expression);
    let own = ResourceCheck { resource: "own".into(), ..ResourceCheck::default() };
    let activation = Activation::new()
        .with("authorizer", Value::authorizer(Arc::new(Echo)))
        .with("authorizer.requestResource", Value::resource_check(Arc::new(Echo), own));
    let outcome = program.evaluate(&activation, &mut Budget::new(10_000_000));
    let found = outcome.map(|value| value.as_bool().expect(expression)).map_err(|e| e.to_string());
    assert_eq!(found, expect.map_err(str::to_owned), "{expression}");
}

#[test]
fn checks() {
    check("authorizer.path('/allowed').check('get').allowed()", Ok(true));
    check("authorizer.path('/x').check('get').reason() == 'None get /x'", Ok(true));
    check(
        "authorizer.group('').resource('pods').namespace('ns').name('allowed').check('get').allowed()",
        Ok(true),
    );
    check(
        "authorizer.serviceAccount('ns', 'sa').group('').resource('pods').subresource('log').check('get').reason() == 'Some((\"ns\", \"sa\")) get pods'",
        Ok(true),
    );
    check("authorizer.group('broken').resource('a').check('get').errored()", Ok(true));
    check(
        "authorizer.group('broken').resource('a').fieldSelector('a=b').labelSelector('c').check('get').error() == 'cannot tell'",
        Ok(true),
    );
    check("authorizer.path(' ').check('get').allowed()", Err("path must not be empty"));
    check(
        "authorizer.serviceAccount('ns', 'A').path('/').check('get').allowed()",
        Err("Invalid service account name"),
    );
    check("authorizer.requestResource.check('get').reason() == 'None get own'", Ok(true));
    // Two checks are affordable, three are not.
    let one = "authorizer.path('/allowed').check('get').allowed()";
    check(&[one; 2].join(" && "), Ok(true));
    check(&[one; 3].join(" && "), Err("operation cancelled: actual cost limit exceeded"));
}
