//! A few waits, a deadlock and a cancellation, as each format tells of them.

pub(super) const STATEMENT: &str = "UPDATE counter\n\n   SET said = 'a \"quoted\" thing, 2026-11-23 14:03:06.000 UTC [9] LOG:  process 9 acquired ShareLock on transaction 1 after 9.000 ms'";

/// An entry in each format.
#[derive(Clone, Copy)]
pub(super) struct Told {
    pub(super) time: &'static str,
    pub(super) pid: u32,
    pub(super) severity: &'static str,
    pub(super) state: &'static str,
    pub(super) message: &'static str,
    pub(super) detail: &'static str,
    pub(super) context: &'static str,
    pub(super) statement: &'static str,
}

impl Told {
    pub(super) fn csv(&self) -> String {
        let quoted = |text: &str| match text {
            "" => String::new(),
            text => format!("\"{}\"", text.replace('"', "\"\"")),
        };
        let Self { time, pid, .. } = self;
        format!(
            "2026-11-23 {time} UTC,\"app\",\"db\",{pid},\"10.0.0.1:5432\",65f1.{pid:x},1,\"UPDATE\",\
             2026-11-23 14:00:00 UTC,3/7,764,{},{},{},{},,,,{},{},,,\"decision\",\"client backend\",,0\n",
            self.severity,
            self.state,
            quoted(self.message),
            quoted(self.detail),
            quoted(self.context),
            quoted(self.statement),
        )
    }

    pub(super) fn json(&self) -> String {
        let mut object = serde_json::json!({
            "timestamp": format!("2026-11-23 {} UTC", self.time),
            "user": "app", "dbname": "db", "pid": self.pid, "remote_host": "10.0.0.1",
            "remote_port": 5432, "error_severity": self.severity, "state_code": self.state,
            "application_name": "decision", "backend_type": "client backend", "query_id": 0,
        });
        let texts = [
            ("message", self.message),
            ("detail", self.detail),
            ("context", self.context),
            ("statement", self.statement),
        ];
        for (key, text) in texts.into_iter().filter(|(_, text)| !text.is_empty()) {
            object[key] = text.into();
        }
        format!("{object}\n")
    }

    pub(super) fn stderr(&self) -> String {
        let mut lines = String::new();
        let texts = [
            (self.severity, self.message),
            ("DETAIL", self.detail),
            ("CONTEXT", self.context),
            ("STATEMENT", self.statement),
        ];
        for (label, text) in texts.into_iter().filter(|(_, text)| !text.is_empty()) {
            let text = text.replace('\n', "\n\t");
            let Self { time, pid, .. } = self;
            let line = format!("2026-11-23 {time} UTC [{pid}] {label}:  {text}\n");
            lines.push_str(&line);
        }
        lines
    }
}

pub(super) const STILL: Told = Told {
    time: "14:03:06.250",
    pid: 7,
    severity: "LOG",
    state: "00000",
    message: "process 7 still waiting for ShareLock on transaction 764 after 1000.069 ms",
    detail: "Process holding the lock: 8. Wait queue: 7, 9.",
    context: "while updating tuple (0,5) in relation \"counter\"",
    statement: STATEMENT,
};

pub(super) const ACQUIRED: Told = Told {
    time: "14:03:08.750",
    message: "process 7 acquired ShareLock on transaction 764 after 3500.123 ms",
    detail: "",
    ..STILL
};

pub(super) const DEADLOCK: Told = Told {
    time: "14:03:20.500",
    severity: "ERROR",
    state: "40P01",
    message: "deadlock detected",
    detail: "Process 7 waits for ShareLock on transaction 770; blocked by process 8.\n\
             Process 8 waits for ExclusiveLock on tuple (0,1) of relation 16389 of database 5; blocked by process 7.\n\
             Process 7: UPDATE counter SET n = 1\n\
             Process 8: UPDATE counter SET n = 2 WHERE id = 'x'",
    statement: "UPDATE counter SET n = 1",
    ..STILL
};

/// All that is told in the tests below, in order.
pub(super) const STORY: [Told; 7] = [
    Told {
        message: "checkpoint starting: time",
        detail: "",
        context: "",
        statement: "",
        time: "14:03:05.000",
        ..STILL
    },
    STILL,
    ACQUIRED,
    Told {
        time: "14:03:10.000",
        message: "process 9 avoided deadlock for AccessShareLock on relation 16389 of database 5 by rearranging queue order after 1000.001 ms",
        detail: "Processes holding the lock: 7, 8. Wait queue: 9.",
        context: "",
        pid: 9,
        ..STILL
    },
    Told {
        time: "14:03:11.000",
        message: "canceling statement due to lock timeout",
        severity: "ERROR",
        state: "55P03",
        detail: "",
        context: "",
        pid: 9,
        ..STILL
    },
    Told {
        time: "14:03:20.499",
        message: "process 7 detected deadlock while waiting for ShareLock on transaction 770 after 1000.300 ms",
        detail: "Process holding the lock: 8. Wait queue: .",
        ..STILL
    },
    DEADLOCK,
];

pub(super) fn all(form: fn(&Told) -> String) -> String {
    STORY.iter().map(form).collect()
}
