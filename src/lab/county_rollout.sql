-- What the counties share, for the scenario county-rollout, in a schema that is there.

-- The state-wide counters, through which everybody writes. Room for HOT updates.
CREATE TABLE pgjam_lab.state_counter (
    counter_id    integer PRIMARY KEY,
    decided       bigint NOT NULL DEFAULT 0,
    received      bigint NOT NULL DEFAULT 0,
    synced        bigint NOT NULL DEFAULT 0,
    last_reported timestamptz
) WITH (fillfactor = 10);

CREATE TABLE pgjam_lab.permission (
    agency_id  integer,
    clerk_id   integer,
    may_decide boolean NOT NULL,
    PRIMARY KEY (agency_id, clerk_id)
);

CREATE TABLE pgjam_lab.audit_entry (
    audit_id   bigint GENERATED ALWAYS AS IDENTITY,
    counter_id integer NOT NULL,
    clerk_id   integer NOT NULL,
    at         timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE pgjam_lab.intake_case (
    case_id   bigint GENERATED ALWAYS AS IDENTITY,
    agency_id integer NOT NULL,
    clerk_id  integer NOT NULL
);
CREATE INDEX ON pgjam_lab.intake_case (agency_id, case_id);

INSERT INTO pgjam_lab.permission
SELECT agency_id, clerk_id, true
FROM generate_series(1, 12) AS agency_id, generate_series(1, 100) AS clerk_id;

ANALYZE pgjam_lab.permission;
