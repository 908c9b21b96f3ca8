//! Whether the rules of a CustomResourceDefinition compile, and whether they cost too much.

use kd_api::{FieldError, FieldErrorType, Path};
use kd_cel::{Program, Schema};
use serde_json::Value;

use super::{Compiled, RULES, flag, list, text, types_of};

/// The most that one rule may cost by estimate.
const RULE_COST_MAX: u64 = 10_000_000;
/// The most that all rules of a schema may cost by estimate.
const SCHEMA_COST_MAX: u64 = 100_000_000;
/// How many of the most expensive rules are told when all cost too much.
const EXPENSIVE_MAX: usize = 4;
/// Factors beyond this are not told.
const FACTOR_SHOWN_MAX: f64 = 100.0;
/// Factors below this are told exactly.
const FACTOR_ROUNDED_MIN: f64 = 1.5;

/// What is wrong with the rules of a definition; schemas that `old` had are not judged again.
pub(crate) fn errors(new: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let versions = list(&new["spec"], "versions");
    let path = Path::new("spec");
    let schema_of = |version: &Value| version["schema"]["openAPIV3Schema"].clone();
    let alike = versions.windows(2).all(|pair| schema_of(&pair[0]) == schema_of(&pair[1]));
    let mut errors = Vec::new();
    for (index, version) in versions.iter().enumerate().take(if alike { 1 } else { usize::MAX }) {
        let schema = schema_of(version);
        let before = old.map_or(&[][..], |old| list(&old["spec"], "versions"));
        let before = before.iter().find(|before| before["name"] == version["name"]);
        if before.is_some_and(|before| schema_of(before) == schema) {
            continue;
        }
        let path = match alike {
            true => path.child("validation"),
            false => path.child("versions").index(index).child("schema"),
        };
        let path = path.child("openAPIV3Schema");
        let mut check = Check { errors: Vec::new(), costs: Vec::new() };
        check.schema(&schema, &path, &Above { root: true, count: Some(1), uncorrelatable: None });
        check.total(&path);
        errors.append(&mut check.errors);
    }
    errors
}

/// What the place of a schema means for it.
struct Above {
    root: bool,
    /// How many values of the schema there may be; none if nothing limits it.
    count: Option<u64>,
    /// The nearest list or map around it whose elements have no history.
    uncorrelatable: Option<Path>,
}

struct Check {
    errors: Vec<FieldError>,
    costs: Vec<(Path, u64)>,
}

impl Check {
    fn schema(&mut self, schema: &Value, path: &Path, above: &Above) {
        self.rules(schema, path, above);
        let under = |factor: Option<u64>, correlates: bool| Above {
            root: false,
            count: above.count.zip(factor).map(|(count, factor)| count.saturating_mul(factor)),
            uncorrelatable: match correlates {
                true => above.uncorrelatable.clone(),
                false => above.uncorrelatable.clone().or_else(|| Some(path.clone())),
            },
        };
        let limit = |key: &str| schema.get(key).and_then(Value::as_f64).map(|n| n.max(0.0) as u64);
        let is_atomic = text(schema, "x-kubernetes-map-type") == "atomic";
        let properties = schema.get("properties").and_then(Value::as_object);
        let fields = under(Some(1), !is_atomic);
        for (name, inner) in properties.into_iter().flatten() {
            self.schema(inner, &path.child("properties").key(name), &fields);
        }
        if let Some(inner) = schema.get("additionalProperties").filter(|inner| inner.is_object()) {
            let values = under(limit("maxProperties"), !is_atomic);
            self.schema(inner, &path.child("additionalProperties"), &values);
        }
        if let Some(inner) = schema.get("items").filter(|inner| inner.is_object()) {
            let is_map = text(schema, "x-kubernetes-list-type") == "map";
            self.schema(inner, &path.child("items"), &under(limit("maxItems"), is_map));
        }
    }

    fn rules(&mut self, schema: &Value, path: &Path, above: &Above) {
        let rules = list(schema, RULES);
        if rules.is_empty() {
            return;
        }
        let path = path.child(RULES);
        let Some(types) = types_of(schema, above.root) else {
            let detail =
                "internal error: failed to retrieve type information for x-kubernetes-validations";
            return self.errors.push(FieldError {
                error_type: FieldErrorType::Internal,
                field: path,
                bad_value: Value::Null,
                detail: detail.into(),
            });
        };
        for (index, rule) in rules.iter().enumerate() {
            let path = path.index(index);
            let compiled = Compiled::of(rule, &types);
            self.rule(rule, &compiled, &types, &path, above);
            match &compiled.message {
                Some(Ok(program)) => {
                    let place = path.child("messageExpression");
                    self.cost("estimated messageExpression cost", place, program.cost_max());
                }
                Some(Err(why)) => {
                    let place = path.child("messageExpression");
                    self.errors.push(FieldError::invalid(place, rule.clone(), why.clone()));
                }
                None => {}
            }
        }
    }

    fn rule(
        &mut self,
        rule: &Value,
        compiled: &Compiled,
        types: &Schema,
        path: &Path,
        above: &Above,
    ) {
        let place = path.child("rule");
        let program: &Program = match &compiled.rule {
            Ok(program) => program,
            Err(why) => {
                return self.errors.push(FieldError::invalid(place, rule.clone(), why.clone()));
            }
        };
        let count = above.count.unwrap_or_else(|| types.count_max());
        let cost = program.cost_max().saturating_mul(count);
        self.cost("estimated rule cost", place.clone(), cost);
        if !program.uses("oldSelf") {
            if rule.get("optionalOldSelf").is_some() {
                let why = "may not be set if oldSelf is not used in rule";
                let found = flag(rule, "optionalOldSelf");
                let place = path.child("optionalOldSelf");
                self.errors.push(FieldError::invalid(place, found, why));
            }
        } else if let Some(around) = &above.uncorrelatable {
            let why = format!(
                "oldSelf cannot be used on the uncorrelatable portion of the schema within {around}"
            );
            self.errors.push(FieldError::invalid(place, text(rule, "rule"), why));
        }
    }

    fn cost(&mut self, name: &str, place: Path, cost: u64) {
        if cost > RULE_COST_MAX {
            let why = too_much(name, cost, RULE_COST_MAX);
            self.errors.push(FieldError::forbidden(place.clone(), why));
        }
        self.costs.push((place, cost));
    }

    fn total(&mut self, path: &Path) {
        let total = self.costs.iter().fold(0u64, |sum, (_, cost)| sum.saturating_add(*cost));
        if total <= SCHEMA_COST_MAX {
            return;
        }
        self.costs.sort_by_key(|(_, cost)| std::cmp::Reverse(*cost));
        let text = "contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema";
        for (place, _) in self.costs.iter().take(EXPENSIVE_MAX) {
            self.errors.push(FieldError::forbidden(place.clone(), text));
        }
        let name = "x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema";
        let why = too_much(name, total, SCHEMA_COST_MAX);
        self.errors.push(FieldError::forbidden(path.clone(), why));
    }
}

fn too_much(name: &str, cost: u64, limit: u64) -> String {
    let factor = cost as f64 / limit as f64;
    let factor = match factor {
        more if more > FACTOR_SHOWN_MAX => "more than 100x".to_owned(),
        little if little < FACTOR_ROUNDED_MIN => format!("{little:.6}x"),
        factor => format!("{factor:.1}x"),
    };
    format!(
        "{name} exceeds budget by factor of {factor} (try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and strings are declared)"
    )
}
