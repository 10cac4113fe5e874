//! The kinds of `batch`: what runs to an end.

pub mod cron;
pub mod cron_job;
pub mod job;
mod job_indexes;
mod job_policies;
mod job_status;
