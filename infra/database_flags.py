"""What the database is told: the flags of the CIS benchmark and of checkov, and each waiver in writing."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from infra.names import unknown


@dataclass(frozen=True)
class Flag:
    """A flag that every instance has.

    Args:
        name: PostgreSQL's or Google's.
        value: what it is set to.
        rules: those of CIS 4 and of checkov that ask for it.
        why: what it is for.
        waiver: why it is not what the rules ask for, where it is not.
    """

    name: str
    value: str
    rules: tuple[str, ...]
    why: str
    waiver: str | None = None

    @property
    def is_googles(self) -> bool:
        """Whether PostgreSQL itself does not know it."""
        return "." in self.name


FLAGS = (
    Flag("cloudsql.iam_authentication", "on", (), "services log in as their service account, without a password"),
    Flag("cloudsql.enable_pgaudit", "on", ("CIS 6.2.8", "CKV_GCP_110"), "loads the extension that audits statements"),
    Flag(
        "pgaudit.log", "ddl,role", ("CIS 6.2.8",), "the extension alone logs nothing: changes of schema, roles, grants"
    ),
    Flag("log_error_verbosity", "default", ("CIS 6.2.1",), "what an error says in the log"),
    Flag("log_connections", "on", ("CIS 6.2.2", "CKV_GCP_52"), "who came"),
    Flag("log_disconnections", "on", ("CIS 6.2.3", "CKV_GCP_53"), "who left, and after how long"),
    Flag("log_statement", "ddl", ("CIS 6.2.4", "CKV_GCP_111"), "changes of the schema"),
    Flag("log_min_messages", "warning", ("CIS 6.2.5", "CKV_GCP_55"), "how bad a message must be"),
    Flag("log_min_error_statement", "error", ("CIS 6.2.6", "CKV_GCP_109"), "the statement that failed"),
    Flag(
        "log_min_duration_statement",
        "200",
        ("CIS 6.2.7", "CKV_GCP_57"),
        "the slow-query log, in ms",
        waiver="The rules ask for -1, lest a statement's values reach the log. The platform is required to log what "
        "takes longer than 200 ms; values are bound parameters, and log_parameter_max_length keeps them out.",
    ),
    Flag("log_parameter_max_length", "0", (), "no bound value in the slow-query log: see the waiver above"),
    Flag("log_checkpoints", "on", ("CKV_GCP_51",), "what checkpoints cost"),
    Flag("log_lock_waits", "on", ("CKV_GCP_54",), "who waits for whom, after deadlock_timeout"),
    Flag("log_temp_files", "0", ("CKV_GCP_56",), "each query that spills to the disk"),
    Flag("log_hostname", "on", ("CKV_GCP_108",), "the name of the host beside its address"),
    Flag("log_executor_stats", "off", ("CKV2_GCP_14",), "costly, and says where nothing is asked"),
    Flag("log_parser_stats", "off", ("CKV2_GCP_15",), "the same"),
    Flag("log_planner_stats", "off", ("CKV2_GCP_16",), "the same"),
    Flag("log_statement_stats", "off", ("CKV2_GCP_17",), "the same"),
)
DEFAULTS: Mapping[str, str] = {flag.name: flag.value for flag in FLAGS}

# Of https://cloud.google.com/sql/docs/postgres/flags, as of 2026-11: what a stack may set besides.
_LISTED = """
autovacuum autovacuum_analyze_scale_factor autovacuum_analyze_threshold autovacuum_freeze_max_age
autovacuum_max_workers autovacuum_multixact_freeze_max_age autovacuum_naptime autovacuum_vacuum_cost_delay
autovacuum_vacuum_cost_limit autovacuum_vacuum_insert_scale_factor autovacuum_vacuum_insert_threshold
autovacuum_vacuum_scale_factor autovacuum_vacuum_threshold autovacuum_work_mem checkpoint_completion_target
checkpoint_timeout checkpoint_warning commit_delay commit_siblings constraint_exclusion cpu_index_tuple_cost
cpu_operator_cost cpu_tuple_cost cursor_tuple_fraction deadlock_timeout default_statistics_target
default_transaction_isolation effective_cache_size effective_io_concurrency from_collapse_limit
gin_fuzzy_search_limit gin_pending_list_limit hash_mem_multiplier hot_standby_feedback
huge_pages idle_in_transaction_session_timeout idle_session_timeout jit join_collapse_limit lock_timeout
log_autovacuum_min_duration log_min_duration_sample log_recovery_conflict_waits log_replication_commands
log_statement_sample_rate log_transaction_sample_rate logical_decoding_work_mem maintenance_io_concurrency
maintenance_work_mem max_connections max_locks_per_transaction max_logical_replication_workers
max_parallel_maintenance_workers max_parallel_workers max_parallel_workers_per_gather
max_pred_locks_per_transaction max_prepared_transactions max_replication_slots max_standby_archive_delay
max_standby_streaming_delay max_sync_workers_per_subscription max_wal_senders max_wal_size max_worker_processes
min_parallel_index_scan_size min_parallel_table_scan_size min_wal_size parallel_setup_cost parallel_tuple_cost
password_encryption plan_cache_mode random_page_cost seq_page_cost shared_buffers
statement_timeout synchronous_commit tcp_keepalives_count tcp_keepalives_idle tcp_keepalives_interval
temp_buffers temp_file_limit track_activity_query_size track_commit_timestamp track_functions track_io_timing
vacuum_cost_delay vacuum_cost_limit vacuum_failsafe_age vacuum_freeze_min_age vacuum_freeze_table_age
wal_buffers wal_compression wal_receiver_timeout wal_sender_timeout work_mem
cloudsql.allow_passwordless_local_connections cloudsql.enable_auto_explain cloudsql.enable_pg_cron
cloudsql.enable_pg_hint_plan cloudsql.enable_pg_wait_sampling cloudsql.enable_pglogical cloudsql.logical_decoding
cloudsql.pg_shadow_select_role cron.database_name cron.log_run cron.log_statement cron.max_running_jobs
pg_stat_statements.max pg_stat_statements.track pg_stat_statements.track_utility pgaudit.log_catalog
pgaudit.log_client pgaudit.log_level pgaudit.log_parameter pgaudit.log_relation pgaudit.log_rows
pgaudit.log_statement pgaudit.log_statement_once pgaudit.role
"""
SUPPORTED = frozenset(_LISTED.split())
# Of what PostgreSQL keeps for superusers, of which Cloud SQL's own agent is one.
SUPERUSER_CONNECTIONS = 3


def faults(own: Mapping[str, str]) -> Iterator[str]:
    """What is wrong with a stack's own flags: `NAME: why; what to write instead`."""
    for name, value in own.items():
        if name in DEFAULTS:
            yield f"{name}: is set to {DEFAULTS[name]!r} for every stack by infra/database_flags.py; take it out here"
        elif name not in SUPPORTED:
            yield f"{name}: {unknown('flag of Cloud SQL', name, SUPPORTED | DEFAULTS.keys())}"
        elif not value:
            yield f"{name}: has no value; write one, or take it out"
    if own.get("autovacuum") == "off":
        yield "autovacuum: without it transaction ids run out and the database stops; take it out"
    if own.get("password_encryption", "scram-sha-256") != "scram-sha-256":
        yield "password_encryption: md5 passwords can be read from a backup; write 'scram-sha-256', or take it out"
    if own.get("cloudsql.enable_pg_cron", "off") == "off" and (
        cron := [name for name in own if name.startswith("cron.")]
    ):
        yield f"{cron[0]}: says how pg_cron works, which is off; set cloudsql.enable_pg_cron to 'on', or take it out"
    most, slots = own.get("max_wal_senders", ""), own.get("max_replication_slots", "")
    if most.isdigit() and slots.isdigit() and int(most) < int(slots):
        yield f"max_wal_senders: {most} cannot serve max_replication_slots, {slots}; write at least {slots}"
    connections = own.get("max_connections")
    if connections is not None and not (connections.isascii() and connections.isdigit() and int(connections) > 0):
        yield f"max_connections: {connections!r} is no number; write one, or take it out for the tier's own"
