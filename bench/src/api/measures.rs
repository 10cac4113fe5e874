//! What is measured, upstream's figures (v1.36.2 with etcd 3.6, on two cores) and the bounds.

use anyhow::{Context, Result};

use super::driver::Record;
use crate::report::Figure;

/// Commands that run on one cluster, one after the other.
#[derive(Debug)]
pub struct Part {
    /// How it is asked for.
    pub name: &'static str,
    /// The commands.
    pub steps: &'static [Step],
    /// What is told of a restart at the end.
    pub restart: Option<Bound>,
}

/// One command of the driver, and what is taken from what it tells.
#[derive(Debug)]
pub struct Step {
    /// The command.
    pub command: &'static str,
    /// What is taken.
    pub takes: &'static [Take],
}

/// One figure.
#[derive(Debug)]
pub struct Take {
    /// Of this scenario.
    scenario: &'static str,
    what: What,
    bound: Bound,
}

/// Which figure.
#[derive(Clone, Copy, Debug)]
enum What {
    /// CPU seconds of the server for each thousand operations.
    Cpu,
    /// CPU seconds of the server for each operation.
    CpuEach,
    /// Operations a second.
    Rate,
    /// Of what the driver tells by this path.
    Told(&'static str),
    /// What should have come and did not.
    Missing,
    /// MiB at the end.
    Memory,
    /// KiB that were added for each operation.
    Added,
}

/// A figure's name, unit, bound and upstream's value.
#[derive(Clone, Copy, Debug)]
pub struct Bound {
    name: &'static str,
    unit: &'static str,
    limit: Limit,
    upstream: Option<f64>,
}

#[derive(Clone, Copy, Debug)]
enum Limit {
    AtMost(f64),
    AtLeast(f64),
}

impl Bound {
    const fn at_most(name: &'static str, unit: &'static str, limit: f64) -> Bound {
        Bound { name, unit, limit: Limit::AtMost(limit), upstream: None }
    }

    const fn at_least(name: &'static str, unit: &'static str, limit: f64) -> Bound {
        Bound { name, unit, limit: Limit::AtLeast(limit), upstream: None }
    }

    const fn against(self, upstream: f64) -> Bound {
        Bound { upstream: Some(upstream), ..self }
    }

    /// The figure of a value.
    pub fn of(&self, value: f64) -> Figure {
        let figure = match self.limit {
            Limit::AtMost(limit) => Figure::at_most(self.name, value, self.unit, limit),
            Limit::AtLeast(limit) => Figure::at_least(self.name, value, self.unit, limit),
        };
        match self.upstream {
            Some(upstream) => figure.against("upstream", upstream),
            None => figure,
        }
    }
}

impl Take {
    /// The figure, from what was told. Nothing counts where a request failed.
    pub fn figure(&self, records: &[Record]) -> Result<Figure> {
        let record = records.iter().find(|record| record.is(self.scenario));
        let record = record.with_context(|| format!("apibench told nothing of {}", self.scenario))?;
        record.check()?;
        let value = match self.what {
            What::Cpu => record.of_server("cpu_s_per_1k")?,
            What::CpuEach => record.of_server("cpu_s_per_1k")? / 1000.0,
            What::Rate => record.number("ops_per_s")?,
            What::Told(path) => record.number(path)?,
            What::Missing => record.number("extra/expected")? - record.number("extra/delivered")?,
            What::Memory => record.of_server("rss_kib_end")? / 1024.0,
            What::Added => {
                let added = record.of_server("rss_kib_end")? - record.of_server("rss_kib_start")?;
                added / record.number("ops")?
            }
        };
        Ok(self.bound.of(value))
    }
}

const fn take(scenario: &'static str, what: What, bound: Bound) -> Take {
    Take { scenario, what, bound }
}

const fn cpu(scenario: &'static str, name: &'static str, limit: f64, upstream: f64) -> Take {
    take(scenario, What::Cpu, Bound::at_most(name, "s/1000", limit).against(upstream))
}

const fn list(scenario: &'static str, name: &'static str, limit: f64, upstream: f64) -> Take {
    take(scenario, What::CpuEach, Bound::at_most(name, "s", limit).against(upstream))
}

const fn first_byte(scenario: &'static str, name: &'static str, upstream: f64) -> Take {
    let bound = Bound::at_most(name, "ms", 10.0).against(upstream);
    take(scenario, What::Told("extra/first_byte_ms/max"), bound)
}

/// Everything.
pub const ALL: &[Part] = &[OBJECTS, KUBELETS, LISTS, WATCHES, OVERLOAD];

const OBJECTS: Part = Part {
    name: "objects",
    steps: &[
        Step {
            command: "create -n 10000 -c 32 --get --delete",
            takes: &[
                cpu("create", "create: CPU", 0.27, 2.69),
                take("create", What::Rate, Bound::at_least("create: rate", "/s", 5_000.0).against(632.0)),
                take(
                    "create",
                    What::Told("lat_ms/p99"),
                    Bound::at_most("create: p99", "ms", 20.0).against(150.0),
                ),
                cpu("get", "get: CPU", 0.05, 0.76),
                cpu("delete", "delete: CPU", 0.3, 3.08),
            ],
        },
        Step { command: "mixed -t 12 -c 32", takes: &[cpu("mixed", "mixed: CPU", 0.27, 2.71)] },
    ],
    restart: None,
};

const KUBELETS: Part = Part {
    name: "kubelets",
    steps: &[Step {
        command: "kubelets -k 1000 --factor 4 -t 10 --closed 6 --proto",
        takes: &[
            take(
                "kubelets.connect",
                What::Added,
                Bound::at_most("memory of a connection", "KiB", 12.0).against(25.0),
            ),
            take(
                "kubelets.watch",
                What::Added,
                Bound::at_most("memory of a watch", "KiB", 20.0).against(90.0),
            ),
            cpu("kubelets.lease-max", "lease renewal: CPU", 0.1, 1.05),
        ],
    }],
    restart: None,
};

const LISTS: Part = Part {
    name: "lists",
    steps: &[
        Step { command: "create -n 10000 -c 32 --proto --namespaces 10", takes: &[] },
        Step {
            command: "create -n 40000 -c 32 --proto --namespaces 10 --prefix more",
            takes: &[take(
                "create",
                What::Memory,
                Bound::at_most("memory, 50,500 pods", "MiB", 700.0).against(3_450.0),
            )],
        },
        Step {
            command: "list -r 3 --modes json,proto,table,watchlist,watchlist-proto,meta,paged,json-gzip",
            takes: &[
                list("list/json", "list JSON: CPU", 0.5, 7.7),
                first_byte("list/json", "list JSON: first byte", 280.0),
                list("list/proto", "list protobuf: CPU", 0.4, 3.7),
                first_byte("list/proto", "list protobuf: first byte", 620.0),
                list("list/table", "list table: CPU", 0.5, 5.1),
                first_byte("list/table", "list table: first byte", 3_570.0),
                list("list/watchlist", "stream JSON: CPU", 0.6, 10.5),
                first_byte("list/watchlist", "stream JSON: first byte", 30.0),
                first_byte("list/watchlist-proto", "stream protobuf: first byte", 20.0),
                first_byte("list/meta", "list metadata: first byte", 1_510.0),
                first_byte("list/paged", "list in pages: first byte", 70.0),
                first_byte("list/json-gzip", "list gzip: first byte", 250.0),
                take(
                    "list/json-gzip",
                    What::Memory,
                    Bound::at_most("memory after lists", "MiB", 700.0).against(5_535.0),
                ),
            ],
        },
    ],
    restart: Some(Bound::at_most("restart, 50,500 pods", "s", 1.0).against(10.0)),
};

const WATCHES: Part = Part {
    name: "watches",
    steps: &[
        Step {
            command: "watch -w 200 -u 100 -t 8",
            takes: &[
                cpu("watch", "watch JSON: CPU", 0.015, 0.05),
                take(
                    "watch",
                    What::Told("lat_ms/p99"),
                    Bound::at_most("watch JSON: delivery p99", "ms", 10.0).against(159.0),
                ),
                take("watch", What::Missing, Bound::at_most("watch JSON: lost", "events", 0.0)),
            ],
        },
        Step {
            command: "watch -w 200 -u 100 -t 8 --proto",
            takes: &[
                cpu("watch", "watch protobuf: CPU", 0.015, 0.052),
                take(
                    "watch",
                    What::Told("lat_ms/p99"),
                    Bound::at_most("watch protobuf: delivery p99", "ms", 10.0).against(182.0),
                ),
            ],
        },
    ],
    restart: None,
};

const OVERLOAD: Part = Part {
    name: "overload",
    steps: &[Step {
        command: "watch -w 1000 -u 100 -t 8",
        takes: &[take("watch", What::Missing, Bound::at_most("overload: lost", "events", 0.0))],
    }],
    restart: None,
};
