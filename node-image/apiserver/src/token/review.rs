//! TokenReview: whose token is this?

use kd_api::{Object, Status};
use serde_json::{Value, json};

use super::default_audiences;
use crate::authn::UnionAuthenticator;
use crate::authz::user_value;

/// Fills in the status of a posted TokenReview.
pub async fn review_token(
    authenticator: &UnionAuthenticator,
    mut review: Value,
) -> Result<Value, Status> {
    let token = review.str_at(&["spec", "token"]).to_owned();
    if token.is_empty() {
        return Err(Status::bad_request("token is required for TokenReview in authentication"));
    }
    let asked = review.list_at(&["spec", "audiences"]).iter();
    let asked: Vec<String> = asked.filter_map(Value::as_str).map(str::to_owned).collect();
    let audiences = if asked.is_empty() { default_audiences() } else { asked };
    review["status"] = match authenticator.authenticate_token(&token, &audiences).await {
        Ok(Some(verified)) => json!({
            "authenticated": true,
            "user": user_value(&verified.user),
            "audiences": verified.audiences,
        }),
        Ok(None) => json!({"user": {}}),
        Err(reason) => json!({"user": {}, "error": format!("[invalid bearer token, {reason}]")}),
    };
    Ok(review)
}
