"""The settings of a stack: what is right is taken, and each impossible combination is refused in one line."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from infra.config import load
from infra.errors import ConfigError

PRODUCTION: dict[str, Any] = {
    "project": "holdfast-prod",
    "service": {"domain": "api.example.com"},
    "monitoring": {"emails": ["oncall@example.com"]},
}
DIGEST = "us-central1-docker.pkg.dev/p/holdfast/runtime@sha256:" + "0" * 64


def config(**changes: object) -> dict[str, Any]:
    """Production's, changed: `database__tier` is a setting of a section."""
    changed: dict[str, Any] = json.loads(json.dumps(PRODUCTION))
    for path, value in changes.items():
        *sections, name = path.split("__")
        place = changed
        for section in sections:
            place = place.setdefault(section, {})
        place[name] = value
    return changed


def refused(given: Mapping[str, object]) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        load(given)
    assert all(": " in line for line in caught.value.lines)
    return caught.value.lines


def test_production_is_the_default() -> None:
    stack = load(PRODUCTION)
    database = stack.database
    assert (stack.region, stack.dr_region) == ("us-central1", "us-east1")
    assert (database.edition, database.tier, database.availability) == ("ENTERPRISE", "db-custom-2-7680", "REGIONAL")
    assert (database.first_disk_gb, database.backups.start_time, database.backups.retained) == (100, "01:00", 7)
    assert (database.backups.point_in_time_recovery, database.backups.log_retention_days) == (True, 7)
    assert database.deletion_protected
    assert database.dr_replica
    assert not database.public_ip
    assert (stack.cache.tier, stack.cache.memory_gb, stack.cache.eviction) == ("STANDARD_HA", 5, "allkeys-lru")
    assert stack.audit.retention_days == 400
    assert stack.jobs.verify_backup.schedule == "0 3 * * 0"


def test_one_setting_brings_all_of_enterprise_plus() -> None:
    database = load(config(database__edition="ENTERPRISE_PLUS")).database
    assert (database.tier, database.data_cache, database.managed_pooling) == ("db-perf-optimized-N-2", True, True)
    assert load(config(database={"edition": "ENTERPRISE_PLUS", "data_cache": False})).database.data_cache is False


GOOD: dict[str, dict[str, object]] = {
    "Plus keeps 35 days of log": {
        "database": {"edition": "ENTERPRISE_PLUS", "backups": {"log_retention_days": 35, "retained": 35}}
    },
    "Plus with a read pool": {"database__edition": "ENTERPRISE_PLUS", "database__read_pool_nodes": 20},
    "another tier": {"database__tier": "db-custom-4-26624"},
    "an image and its canary": {
        "service__image": DIGEST,
        "service__canary_image": DIGEST.replace("0", "1"),
        "service__canary_percent": 10,
    },
    "denied for 90 days": {"database__maintenance": {"denied": {"start": "2026-11-01", "end": "2027-01-30"}}},
    "denied each year, over its end": {"database__maintenance": {"denied": {"start": "11-20", "end": "01-05"}}},
    "denied each year, from a leap day": {"database__maintenance": {"denied": {"start": "02-29", "end": "03-01"}}},
    "own flags, as YAML has them": {
        "database__flags": {"jit": False, "work_mem": 8192, "cloudsql.enable_pg_cron": True}
    },
    "as many connections as there are": {"service__max_instances": 12, "service__pool_max": 32, "service__workers": 4},
    "more connections by a flag": {"service__max_instances": 20, "database__flags": {"max_connections": "700"}},
    "what is another's": {"gcp:disablePartnerName": "true", "pulumi:tags": {}},
    "a job at another hour": {"jobs__partitions": {"schedule": "0 4 * * 1-5"}},
    "a migration once more": {"jobs__migrate": {"attempt": 2}},
    "a job with an option": {"jobs__partitions": {"options": ["--months-ahead=6"]}},
    "users of one's own": {
        "service__token_issuers": [
            {"issuer": "https://securetoken.google.com/p", "audience": "p", "scopes": ["utxoiq:read"]}
        ],
        "service__cors_origins": ["https://app.example.com"],
    },
    "a bastion": {"access": {"bastion": True, "operators": ["group:oncall@example.com"]}},
    "a development": {
        "production": False,
        "database": {"tier": "db-f1-micro", "availability": "ZONAL", "dr_replica": False},
        "service": {"max_instances": 1, "pool_max": 10, "load_balancer": False},
    },
}


@pytest.mark.parametrize("changes", GOOD.values(), ids=GOOD)
def test_what_is_right_is_taken(changes: dict[str, object]) -> None:
    load(config(**changes))


BAD: dict[str, tuple[dict[str, object], str]] = {
    "custom tier with Plus": (
        {"database": {"edition": "ENTERPRISE_PLUS", "tier": "db-custom-2-7680"}},
        (
            "database.tier: db-custom-2-7680 is of ENTERPRISE, and edition is ENTERPRISE_PLUS; "
            "write db-perf-optimized-N-2, or edition: ENTERPRISE"
        ),
    ),
    "shared core with Plus": (
        {
            "production": False,
            "database": {"edition": "ENTERPRISE_PLUS", "tier": "db-f1-micro"},
            "service__pool_max": 10,
            "service__max_instances": 1,
        },
        (
            "database.tier: db-f1-micro is of ENTERPRISE, and edition is ENTERPRISE_PLUS; "
            "write db-perf-optimized-N-2, or edition: ENTERPRISE"
        ),
    ),
    "tier of Plus without it": (
        {"database__tier": "db-perf-optimized-N-4"},
        (
            "database.tier: db-perf-optimized-N-4 is of ENTERPRISE_PLUS, and edition is ENTERPRISE; "
            "write db-custom-2-7680, or edition: ENTERPRISE_PLUS"
        ),
    ),
    "no such tier": (
        {"database__tier": "db-custm-2-7680"},
        "database.tier: there is no tier 'db-custm-2-7680'; did you mean 'db-custom-2-7680'?",
    ),
    "log above the edition's": (
        {"database__backups": {"log_retention_days": 8, "retained": 8}},
        (
            "database.backups.log_retention_days: ENTERPRISE keeps at most 7 days of log, not 8; "
            "write 7, or edition: ENTERPRISE_PLUS"
        ),
    ),
    "log above all editions'": (
        {"database": {"edition": "ENTERPRISE_PLUS", "backups": {"log_retention_days": 36, "retained": 40}}},
        "database.backups.log_retention_days: 36 cannot be: input should be less than or equal to 35",
    ),
    "log longer than backups": (
        {"database": {"edition": "ENTERPRISE_PLUS", "backups": {"log_retention_days": 14}}},
        "database.backups.retained: 7 daily backups do not reach back over log_retention_days, 14; write at least 14",
    ),
    "disasters in the same region": (
        {"dr_region": "us-central1"},
        "dr_region: us-central1 is the primary's own region, and is lost with it; write another",
    ),
    "a name too short for service accounts": (
        {"name": "h"},
        "name: 'h' is not of the right form; write it as holdfast",
    ),
    "more than a budget tells": (
        {
            "budget": {"billing_account": "01AB23-CD45EF-678901"},
            "monitoring__emails": [f"{name}@example.com" for name in "abcdef"],
        },
        "monitoring.emails: a budget tells 5 at most; write a group's address in their place",
    ),
    "no such region": (
        {"region": "us-centrl1"},
        (
            "region: there is no region with Cloud SQL 'us-centrl1'; did you mean 'us-central1'? "
            "(infra/regions.py, as of 2026-11)"
        ),
    ),
    "recovery without backups": (
        {"production": False, "database": {"backups": {"enabled": False}}},
        (
            "database.backups.point_in_time_recovery: starts from a backup, and backups are off; "
            "write enabled: true, or point_in_time_recovery: false"
        ),
    ),
    "one zone in production": (
        {"database__availability": "ZONAL"},
        "database.availability: production is not without it; write REGIONAL, or production: false",
    ),
    "unprotected in production": (
        {"database__deletion_protected": False},
        "database.deletion_protected: production is not without it; write true, or production: false",
    ),
    "nobody is told in production": (
        {"monitoring__emails": []},
        "monitoring.emails: production is not without it; write who is told, or production: false",
    ),
    "a short audit in production": (
        {"audit__retention_days": 30},
        "audit.retention_days: production is not without it; write 400 or more, or production: false",
    ),
    "regional without recovery": (
        {"production": False, "database__backups": {"point_in_time_recovery": False}},
        (
            "database.availability: REGIONAL needs backups and point-in-time recovery; "
            "write backups.enabled and backups.point_in_time_recovery: true, or ZONAL"
        ),
    ),
    "a replica without backups": (
        {
            "production": False,
            "database": {"availability": "ZONAL", "backups": {"enabled": False, "point_in_time_recovery": False}},
        },
        "database.dr_replica: a replica is made from a backup, and backups are off; write backups.enabled: true",
    ),
    "public": (
        {"production": False, "database__public_ip": True},
        "database.public_ip: true would put the database on the internet; write false, and come in by holdfast connect",
    ),
    "a typo in a section's name": (
        {"databse": {}},
        "databse: there is no setting 'databse'; did you mean 'database'?",
    ),
    "a typo inside": (
        {"database__backups": {"retaned": 7}},
        "database.backups.retaned: there is no setting 'retaned'; did you mean 'retained'?",
    ),
    "a typo in what may be absent": (
        {"database__maintenance": {"denied": {"start": "01-01", "end": "01-02", "tme": "00:00"}}},
        "database.maintenance.denied.tme: there is no setting 'tme'; did you mean 'time'?",
    ),
    "a name near none": (
        {"budget": {"zzz": 1}},
        "budget.zzz: there is no setting 'zzz'; there are billing_account, monthly_usd, thresholds",
    ),
    "a typo in the namespace": (
        {"holdfst:region": "us-east4"},
        "holdfst:region: there is no namespace 'holdfst'; did you mean 'holdfast'?",
    ),
    "the provider told besides": (
        {"gcp:region": "us-east4"},
        "gcp:region: the program tells the provider; write holdfast:region",
    ),
    "no section": ({"cache": 5}, "cache: 5 is no section; write its settings below it, as KEY: VALUE"),
    "a broken section": (
        {"cache": '{"tier":'},
        "cache: '{\"tier\":' is no section; write its settings below it, as KEY: VALUE",
    ),
    "the cache where Google is": (
        {"network__service_cidr": "10.20.128.0/24"},
        "network.services_access_cidr: 10.20.0.0/16 overlaps service_cidr, 10.20.128.0/24; write a range of its own",
    ),
    "too small for Cloud Run": (
        {"network__service_cidr": "10.10.0.0/27"},
        "network.service_cidr: 10.10.0.0/27 is too small; write a /26 or larger",
    ),
    "not private": (
        {"network__bastion_cidr": "8.8.8.0/24"},
        "network.bastion_cidr: 8.8.8.0/24 is not private; write one of 10.0.0.0/8, 172.16.0.0/12 or 192.168.0.0/16",
    ),
    "Cloud SQL's own": (
        {"network__bastion_cidr": "172.17.1.0/24"},
        "network.bastion_cidr: 172.17.1.0/24 overlaps 172.17.0.0/16, which Cloud SQL uses inside; write another range",
    ),
    "no such flag": (
        {"database__flags": {"work_mm": "64"}},
        "database.flags.work_mm: there is no flag of Cloud SQL 'work_mm'; did you mean 'work_mem'?",
    ),
    "a flag of the benchmark": (
        {"database__flags": {"log_connections": False}},
        "database.flags.log_connections: is set to 'on' for every stack by infra/database_flags.py; take it out here",
    ),
    "no vacuum": (
        {"database__flags": {"autovacuum": "off"}},
        "database.flags.autovacuum: without it transaction ids run out and the database stops; take it out",
    ),
    "old passwords": (
        {"database__flags": {"password_encryption": "md5"}},
        (
            "database.flags.password_encryption: md5 passwords can be read from a backup; "
            "write 'scram-sha-256', or take it out"
        ),
    ),
    "how what is off works": (
        {"database__flags": {"cron.database_name": "holdfast"}},
        (
            "database.flags.cron.database_name: says how pg_cron works, which is off; "
            "set cloudsql.enable_pg_cron to 'on', or take it out"
        ),
    ),
    "fewer senders than slots": (
        {"database__flags": {"max_wal_senders": "5", "max_replication_slots": "10"}},
        "database.flags.max_wal_senders: 5 cannot serve max_replication_slots, 10; write at least 10",
    ),
    "connections in words": (
        {"database__flags": {"max_connections": "many"}},
        "database.flags.max_connections: 'many' is no number; write one, or take it out for the tier's own",
    ),
    "the data cache without Plus": (
        {"database__data_cache": True},
        "database.data_cache: only ENTERPRISE_PLUS has it; write edition: ENTERPRISE_PLUS, or data_cache: false",
    ),
    "pooling without Plus": (
        {"database__managed_pooling": True},
        (
            "database.managed_pooling: only ENTERPRISE_PLUS has it; "
            "write edition: ENTERPRISE_PLUS, or managed_pooling: false"
        ),
    ),
    "a read pool without Plus": (
        {"database__read_pool_nodes": 2},
        "database.read_pool_nodes: only ENTERPRISE_PLUS has it; write edition: ENTERPRISE_PLUS, or read_pool_nodes: 0",
    ),
    "no day of a final backup": (
        {"database__backups": {"final_backup_days": 0}},
        "database.backups.final_backup_days: 0 cannot be: input should be greater than or equal to 1",
    ),
    "too many of them": (
        {"database__backups": {"final_backup_days": 366}},
        "database.backups.final_backup_days: 366 cannot be: input should be less than or equal to 365",
    ),
    "no time of day": (
        {"database__backups": {"start_time": "1 am"}},
        "database.backups.start_time: '1 am' is no time of day; write HH:MM in UTC, as 01:00",
    ),
    "denied too long": (
        {"database__maintenance": {"denied": {"start": "2026-11-01", "end": "2027-01-31"}}},
        "database.maintenance.denied.end: 2026-11-01 to 2027-01-31 is 91 days; Google denies at most 90",
    ),
    "denied backwards": (
        {"database__maintenance": {"denied": {"start": "2026-11-02", "end": "2026-11-01"}}},
        "database.maintenance.denied.end: 2026-11-01 is not after start, 2026-11-02; write a later day",
    ),
    "denied half each year": (
        {"database__maintenance": {"denied": {"start": "2026-11-02", "end": "12-01"}}},
        (
            "database.maintenance.denied.end: 12-01 and start, 2026-11-02, differ in form; "
            "write both with a year, or both without"
        ),
    ),
    "denied on no day": (
        {"database__maintenance": {"denied": {"start": "02-30", "end": "03-01"}}},
        "database.maintenance.denied.start: '02-30' is no day; write YYYY-MM-DD, or MM-DD for each year",
    ),
    "a disk below its beginning": (
        {"database__disk_limit_gb": 50},
        "database.disk_limit_gb: 50 is below first_disk_gb, 100; write more, or 0",
    ),
    "the bucket before the job": (
        {"storage__metrics_backstop_days": 365},
        "storage.metrics_backstop_days: 365 cannot be: input should be greater than or equal to 395",
    ),
    "replicas of a small cache": (
        {"cache": {"memory_gb": 1, "read_replicas": 1}},
        "cache.read_replicas: need STANDARD_HA and 5 GB at least; write tier and memory_gb so, or read_replicas: 0",
    ),
    "more connections than there are": (
        {"service__max_instances": 13},
        (
            "service.max_instances: 13 instances with pool_max 30, jobs with 7 and 5 in reserve are 402 connections, "
            "and db-custom-2-7680 takes 400; write max_instances: 12 at most, a smaller pool_max or a larger tier"
        ),
    ),
    "a pool that one instance cannot have": (
        {
            "production": False,
            "database": {"tier": "db-f1-micro", "availability": "ZONAL"},
            "service": {"load_balancer": False, "max_instances": 1},
        },
        (
            "service.max_instances: 1 instances with pool_max 30, jobs with 7 and 5 in reserve are 42 connections, "
            "and db-f1-micro takes 25; write max_instances: 1 and pool_max: 13 at most, or a larger tier"
        ),
    ),
    "more workers than connections": (
        {"service": {"domain": "api.example.com", "pool_min": 1, "pool_max": 2, "workers": 3}},
        "service.workers: 3 cannot share pool_max, 2; write at most 2",
    ),
    "an image by its tag": (
        {"service__image": "us-central1-docker.pkg.dev/p/holdfast/runtime:latest"},
        (
            "service.image: 'us-central1-docker.pkg.dev/p/holdfast/runtime:latest' is not of the right form; "
            "write it as us-central1-docker.pkg.dev/PROJECT/holdfast-images/runtime@sha256:DIGEST"
        ),
    ),
    "half a canary": (
        {"service__canary_percent": 10},
        "service.canary_percent: a canary has both canary_image and a share of the traffic; write both, or neither",
    ),
    "a balancer without a name": (
        {"service": {}},
        "service.domain: the load balancer's certificate is for one; write it, or load_balancer: false",
    ),
    "everybody at Google": (
        {
            "service__token_issuers": [
                {"issuer": "https://accounts.google.com", "audience": "p", "scopes": ["utxoiq:read"]}
            ]
        },
        (
            "service.token_issuers.0.issuer: https://accounts.google.com gives anyone in the world a token; "
            "write your own project's"
        ),
    ),
    "every site": (
        {"service__cors_origins": ["*"]},
        "service.cors_origins.0: '*' is not of the right form; write it as https://app.example.com",
    ),
    "a word for an option": (
        {"jobs__partitions": {"options": ["apply"]}},
        "jobs.partitions.options.0: 'apply' is not of the right form; write it as --apply",
    ),
    "an address and no list": (
        {"monitoring__emails": "oncall@example.com"},
        "monitoring.emails: 'oncall@example.com' is no list; write [oncall@example.com]",
    ),
    "a word for a number": (
        {"service__max_instances": "many"},
        "service.max_instances: 'many' is no whole number; write one",
    ),
    "a number for a word": ({"labels": {"team": 1}}, "labels.team: 1 is no text; write it in quotes"),
    "perhaps": ({"analytics": "maybe"}, "analytics: 'maybe' is neither true nor false; write one of them"),
    "a label in capitals": (
        {"labels": {"Team": "a"}},
        "labels.Team: 'Team' is not of the right form; write it as team-a",
    ),
    "three CPUs": ({"service__cpus": 3}, "service.cpus: Cloud Run has no 3 CPUs; write one of 1, 2, 4, 8"),
    "memory that few CPUs have not": (
        {"service__memory_mb": 16384},
        "service.memory_mb: Cloud Run gives 2 CPUs 512 to 8192 MB, not 16384; write that",
    ),
    "no schedule": (
        {"jobs__partitions": {"schedule": "0 25 * * *"}},
        (
            "jobs.partitions.schedule: '0 25 * * *' is no schedule; "
            "write MINUTE HOUR DAY MONTH WEEKDAY in UTC, as '0 3 * * 0'"
        ),
    ),
    "an address that is none": (
        {"monitoring__emails": ["oncall"]},
        "monitoring.emails.0: 'oncall' is not of the right form; write it as oncall@example.com",
    ),
    "a bastion for nobody": (
        {"access__bastion": True},
        "access.bastion: nobody may use it; write operators, as group:oncall@example.com, or bastion: false",
    ),
    "an operator twice": (
        {"access__operators": ["user:a@example.com", "group:b@example.com", "user:a@example.com"]},
        "access.operators: user:a@example.com is there twice; write each once",
    ),
}


@pytest.mark.parametrize(("changes", "line"), BAD.values(), ids=BAD)
def test_what_cannot_be_is_refused_in_one_line(changes: dict[str, object], line: str) -> None:
    assert refused(config(**changes)) == (line,)


def test_several_faults_are_told_at_once() -> None:
    lines = refused({"holdfst:x": 1, "region": "mars-1", "cache": {"tier": "BASIK"}, "service": {"workers": 0}})
    assert [line.partition(":")[0] for line in lines] == [
        "holdfst",
        "project",
        "region",
        "cache.tier",
        "service.workers",
    ]
    assert lines[1] == "project: is not set, and it has no default; write it"
    assert lines[3] == "cache.tier: 'BASIK' cannot be: input should be 'STANDARD_HA' or 'BASIC'"


def test_production_says_all_that_it_misses() -> None:
    changes = {"database__availability": "ZONAL", "cache__tier": "BASIC", "service__min_instances": 0}
    assert [line.partition(":")[0] for line in refused(config(**changes))] == [
        "database.availability",
        "cache.tier",
        "service.min_instances",
    ]


def test_pulumi_hands_everything_over_as_text() -> None:
    given = config(production=False, labels={"team": "a"}, database__flags={"jit": "off"})
    as_text = {
        f"holdfast:{key}": value if isinstance(value, str) else json.dumps(value) for key, value in given.items()
    }
    assert load(as_text) == load(given)


def test_a_job_that_is_changed_keeps_the_rest() -> None:
    job = load(config(jobs__partitions={"schedule": "0 4 * * *"})).jobs.partitions
    assert (job.command, job.schedule, job.retries) == ("partitions", "0 4 * * *", 3)


def test_settings_cannot_be_changed_afterwards() -> None:
    stack = load(PRODUCTION)
    with pytest.raises(ValueError, match="frozen"):
        stack.region = "us-east4"  # type: ignore[misc]
