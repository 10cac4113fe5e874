//! OpenAPI v2 and v3, as the table of kinds generates them.

use machinery::Status;

use crate::core::Core;
use crate::handler::Arrived;
use crate::http::Response;

/// Answers a request below `/openapi`; `None` where there is nothing.
pub fn answer(_core: &Core, _request: &Arrived) -> Option<Result<Response, Status>> {
    None
}
