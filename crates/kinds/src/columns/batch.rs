//! The columns of the tables of batch, autoscaling, policy, scheduling, node and coordination.

use super::{age, name, plain, wide};
use crate::Column;

/// Columns of the table.
pub(crate) const JOB: &[Column] = &[
    name(0),
    plain("Status", "string", "Status of the job."),
    plain(
        "Completions",
        "string",
        "The number of pods which reached phase Succeeded. The value increases monotonically for a given spec. However, it may decrease in reaction to scale down of elastic indexed jobs.",
    ),
    plain("Duration", "string", "Time required to complete the job."),
    age(),
    wide("Containers", "string", "Names of each container in the template."),
    wide("Images", "string", "Images referenced by each container in the template."),
    wide(
        "Selector",
        "string",
        "A label query over pods that should match the pod count. Normally, the system sets this field for you. More info: https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#label-selectors",
    ),
];

/// Columns of the table.
pub(crate) const CRON_JOB: &[Column] = &[
    name(0),
    plain("Schedule", "string", "The schedule in Cron format, see https://en.wikipedia.org/wiki/Cron."),
    plain(
        "Timezone",
        "string",
        "The time zone name for the given schedule, see https://en.wikipedia.org/wiki/List_of_tz_database_time_zones. If not specified, this will default to the time zone of the kube-controller-manager process. The set of valid time zone names and the time zone offset is loaded from the system-wide time zone database by the API server during CronJob validation and the controller manager during execution. If no system-wide time zone database can be found a bundled version of the database is used instead. If the time zone name becomes invalid during the lifetime of a CronJob or due to a change in host configuration, the controller will stop creating new new Jobs and will create a system event with the reason UnknownTimeZone. More information can be found in https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/#time-zones",
    ),
    plain(
        "Suspend",
        "boolean",
        "This flag tells the controller to suspend subsequent executions, it does not apply to already started executions.  Defaults to false.",
    ),
    plain("Active", "integer", "A list of pointers to currently running jobs."),
    plain(
        "Last Schedule",
        "string",
        "Information when was the last time the job was successfully scheduled.",
    ),
    age(),
    wide("Containers", "string", "Names of each container in the template."),
    wide("Images", "string", "Images referenced by each container in the template."),
    wide(
        "Selector",
        "string",
        "A label query over pods that should match the pod count. Normally, the system sets this field for you. More info: https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#label-selectors",
    ),
];

/// Columns of the table.
pub(crate) const HORIZONTAL_POD_AUTOSCALER: &[Column] = &[
    name(0),
    plain(
        "Reference",
        "string",
        "scaleTargetRef points to the target resource to scale, and is used to the pods for which metrics should be collected, as well as to actually change the replica count.",
    ),
    plain(
        "Targets",
        "string",
        "metrics contains the specifications for which to use to calculate the desired replica count (the maximum replica count across all metrics will be used).  The desired replica count is calculated multiplying the ratio between the target value and the current value by the current number of pods.  Ergo, metrics used must decrease as the pod count is increased, and vice-versa.  See the individual metric source types for more information about how each type of metric must respond. If not set, the default metric will be set to 80% average CPU utilization.",
    ),
    plain(
        "MinPods",
        "string",
        "minReplicas is the lower limit for the number of replicas to which the autoscaler can scale down.  It defaults to 1 pod.  minReplicas is allowed to be 0 if the alpha feature gate HPAScaleToZero is enabled and at least one Object or External metric is configured.  Scaling is active as long as at least one metric value is available.",
    ),
    plain(
        "MaxPods",
        "string",
        "maxReplicas is the upper limit for the number of replicas to which the autoscaler can scale up. It cannot be less that minReplicas.",
    ),
    plain(
        "Replicas",
        "string",
        "currentReplicas is current number of replicas of pods managed by this autoscaler, as last seen by the autoscaler.",
    ),
    age(),
];

/// Columns of the table.
pub(crate) const SCALE: &[Column] = &[
    plain(
        "Name",
        "string",
        "Name must be unique within a namespace. Is required when creating resources, although some resources may allow a client to request the generation of an appropriate name automatically. Name is primarily intended for creation idempotence and configuration definition. Cannot be updated. More info: https://kubernetes.io/docs/concepts/overview/working-with-objects/names#names",
    ),
    plain("Desired", "integer", "replicas is the desired number of instances for the scaled object."),
    plain(
        "Available",
        "integer",
        "replicas is the actual number of observed instances of the scaled object.",
    ),
    age(),
];

/// Columns of the table.
pub(crate) const POD_DISRUPTION_BUDGET: &[Column] = &[
    name(0),
    plain("Min Available", "string", "The minimum number of pods that must be available."),
    plain("Max Unavailable", "string", "The maximum number of pods that may be unavailable."),
    plain("Allowed Disruptions", "integer", "Calculated number of pods that may be disrupted at this time."),
    age(),
];

/// Columns of the table.
pub(crate) const PRIORITY_CLASS: &[Column] = &[
    name(0),
    plain(
        "Value",
        "integer",
        "value represents the integer value of this priority class. This is the actual priority that pods receive when they have the name of this class in their pod spec.",
    ),
    plain(
        "Global-Default",
        "boolean",
        "globalDefault specifies whether this PriorityClass should be considered as the default priority for pods that do not have any priority class. Only one PriorityClass can be marked as `globalDefault`. However, if more than one PriorityClasses exists with their `globalDefault` field set to true, the smallest value of such global default PriorityClasses will be used as the default priority.",
    ),
    age(),
    plain(
        "PreemptionPolicy",
        "string",
        "preemptionPolicy is the Policy for preempting pods with lower priority. One of Never, PreemptLowerPriority. Defaults to PreemptLowerPriority if unset.",
    ),
];

/// Columns of the table.
pub(crate) const RUNTIME_CLASS: &[Column] = &[name(0), plain("Handler", "string", ""), age()];

/// Columns of the table.
pub(crate) const LEASE: &[Column] = &[
    name(0),
    plain(
        "Holder",
        "string",
        "holderIdentity contains the identity of the holder of a current lease. If Coordinated Leader Election is used, the holder identity must be equal to the elected LeaseCandidate.metadata.name field.",
    ),
    age(),
];
