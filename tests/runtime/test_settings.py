"""Settings: what the environment may say, and what is answered when it is wrong."""

import ast
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from dotenv import dotenv_values
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr, ValidationError
from pydantic_core import PydanticUndefined

from runtime.errors import ConfigurationError
from runtime.platform.providers import OidcProvider
from runtime.settings import MOST_WORKERS, ApiSettings, Settings, load
from tests.conftest import PASSWORD, SECRET
from tests.running import ROOT

EXAMPLE = ROOT / ".env.example"
GOOGLE = "https://accounts.google.com"
URL = "postgresql://api:pw@db.example:6432/holdfast"


def provider(**others: object) -> str:
    """An OIDC provider as the environment has it, with these parts instead; None leaves one out."""
    parts = {"issuer": "https://issuer.example", "audience": "a", "scopes": ["ard:read"], **others}
    return json.dumps([{name: value for name, value in parts.items() if value is not None}])


# Every setting: the environment's text, and the value that the platform then has.
NAMES: dict[str, tuple[str, object]] = {
    "DATABASE_URL": (URL, SecretStr(URL)),
    "GCP_SQL_INSTANCE": ("project:us-central1:holdfast", "project:us-central1:holdfast"),
    "GCP_SQL_IP_TYPE": ("psc", "psc"),
    "CLOUD_SQL_ADMIN_ENDPOINT": ("http://127.0.0.1:9000/", "http://127.0.0.1:9000"),
    "DB_HOST": ("10.0.0.5", "10.0.0.5"),
    "DB_PORT": ("6432", 6432),
    "DB_NAME": ("other", "other"),
    "DB_USER": ("api", "api"),
    "DB_PASSWORD": (PASSWORD, SecretStr(PASSWORD)),
    "MIGRATION_DATABASE_URL": (URL, SecretStr(URL)),
    "JOBS_DATABASE_URL": (URL, SecretStr(URL)),
    "VERIFY_SQL_INSTANCE": ("example.com:project:us-central1:other", "example.com:project:us-central1:other"),
    "VERIFY_STALE_HOURS": ("36.5", 36.5),
    "VERIFY_RTO_SECONDS": ("900", 900.0),
    "VERIFY_VOLUME_DRIFT": ("0", 0.0),
    "VERIFY_MINIMUM_ROWS": ("experiments=10, ai_queries=0,", {"experiments": 10, "ai_queries": 0}),
    "DB_ROLE_MEMBERS": (
        "holdfast_app=a@p.iam, holdfast_jobs=j,holdfast_app=b,",
        {"holdfast_app": ("a@p.iam", "b"), "holdfast_jobs": ("j",)},
    ),
    "DB_POOL_MIN": ("2", 2),
    "DB_POOL_MAX": ("64", 64),
    "DB_POOL_TIMEOUT": ("1.5", 1.5),
    "DB_POOL_RECYCLE": ("60", 60.0),
    "REDIS_URL": ("rediss://:s3cret@cache:6380/1", SecretStr("rediss://:s3cret@cache:6380/1")),
    "ARCHIVE_URL": ("gs://archive", "gs://archive"),
    "LOG_LEVEL": ("WARNING", "WARNING"),
    "DEBUG": ("true", True),
    "REQUEST_TIMEOUT": ("5", 5.0),
    "SECRET_KEY": (SECRET, SecretStr(SECRET)),
    "API_HOST": ("0.0.0.0", "0.0.0.0"),  # noqa: S104  # what a container listens on
    "API_PORT": ("8080", 8080),
    "MAX_WORKERS": ("3", 3),
    "GOOGLE_CLOUD_PROJECT": ("holdfast-prod", "holdfast-prod"),
    "GOOGLE_CLOUD_REGION": ("us-central1", "us-central1"),
    "K_SERVICE": ("holdfast-api", "holdfast-api"),
    "CLOUD_MONITORING_ENDPOINT": ("127.0.0.1:9001", "127.0.0.1:9001"),
    "SECRET_MANAGER_ENDPOINT": ("http://[::1]:9000/secretmanager/", "http://[::1]:9000/secretmanager"),
    "ROTATED_SECRETS": (" holdfast-secret-key,,b_2 ", ("holdfast-secret-key", "b_2")),
    "SECRET_ROTATION_DAYS": ("30.5", 30.5),
    "METRICS_INSTANCE": ("a1b2", "a1b2"),
    "METRICS_DIR": ("/", Path("/")),
    "OIDC_PROVIDERS": (
        f'[{{"issuer": "{GOOGLE}", "audience": "a", "emails": {{"robot@p.iam.gserviceaccount.com": ["ard:write"]}}}}]',
        (OidcProvider(issuer=GOOGLE, audience="a", emails={"robot@p.iam.gserviceaccount.com": {"ard:write"}}),),
    ),
    "RATE_LIMIT": ("0", 0),
    "RATE_LIMIT_WINDOW": ("1", 1),
    "MAX_BODY_BYTES": ("1048576", 1_048_576),
    "CORS_ORIGINS": (
        " https://app.example, http://localhost:3000,,",
        ("https://app.example", "http://localhost:3000"),
    ),
}
# What says where the database is: one of them at a time.
PLACES = ("DATABASE_URL", "GCP_SQL_INSTANCE", "DB_HOST")

Given = Callable[..., None]


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> Given:
    """Sets variables; None takes one away."""

    def give(**values: str | None) -> None:
        for name, value in {"DATABASE_URL": URL, "SECRET_KEY": SECRET, **values}.items():
            if value is None:
                monkeypatch.delenv(name, raising=False)
            else:
                monkeypatch.setenv(name, value)

    return give


def refusal() -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        load(ApiSettings)
    # The chain would print the values that the line leaves out.
    assert caught.value.__suppress_context__
    return str(caught.value).splitlines()


def test_the_table_of_settings_here_has_every_setting() -> None:
    assert set(NAMES) == {name.upper() for name in ApiSettings.model_fields}


@pytest.mark.parametrize("name", NAMES)
def test_a_setting_is_its_environment_variable(name: str, environment: Given) -> None:
    text, value = NAMES[name]
    environment(**({"DATABASE_URL": None, "DB_USER": "api"} if name in PLACES else {}) | {name: text})
    assert getattr(load(ApiSettings), name.lower()) == value


def test_an_empty_variable_is_one_that_is_not_set(environment: Given) -> None:
    environment(DB_PASSWORD="", DB_POOL_MAX="", GCP_SQL_INSTANCE="")
    loaded = load(ApiSettings)
    assert (loaded.db_password, loaded.db_pool_max, loaded.gcp_sql_instance) == (None, 30, None)


def test_what_is_not_asked_for_has_the_sources_values(environment: Given) -> None:
    environment()
    loaded = load(ApiSettings)
    assert (loaded.db_pool_min, loaded.db_pool_max) == (10, 30)
    assert (loaded.db_pool_timeout, loaded.db_pool_recycle) == (30, 3600)
    assert (loaded.log_level, loaded.debug) == ("INFO", False)


def test_neither_a_secret_nor_a_database_has_a_default() -> None:
    for name, field in ApiSettings.model_fields.items():
        if SecretStr in (field.annotation, *getattr(field.annotation, "__args__", ())):
            assert field.default in {None, PydanticUndefined}, name
    assert refusal() == ["SECRET_KEY: not set, and it has no default"]


def test_the_environment_wins_over_the_file_and_the_users_file_over_the_platforms(
    environment: Given, tmp_path: Path
) -> None:
    (tmp_path / ".holdfast").mkdir()
    (tmp_path / ".holdfast/env").write_text("LOG_LEVEL='ERROR'\nAPI_PORT='1'\nDB_NAME='platform'\n")
    (tmp_path / ".env").write_text("API_PORT=2\nDB_NAME=mine\n")
    environment(DB_NAME="environment")
    loaded = load(ApiSettings)
    assert (loaded.log_level, loaded.api_port, loaded.db_name) == ("ERROR", 2, "environment")


# --- What is refused -------------------------------------------------------------------------------------------------

REFUSED: dict[str, tuple[dict[str, str | None], str]] = {
    "no database": ({"DATABASE_URL": None}, "DATABASE_URL: not set; set it, or DB_HOST and DB_USER"),
    "URL and host": ({"DB_HOST": "10.0.0.5"}, "DB_HOST: set together with DATABASE_URL"),
    "URL and instance": ({"GCP_SQL_INSTANCE": "p:r:i"}, "GCP_SQL_INSTANCE: set together with DATABASE_URL"),
    "instance and host": (
        {"DATABASE_URL": None, "GCP_SQL_INSTANCE": "p:r:i", "DB_HOST": "h"},
        "DB_HOST: set together with GCP_SQL_INSTANCE",
    ),
    "host without user": ({"DATABASE_URL": None, "DB_HOST": "h"}, "DB_USER: not set, and DB_HOST needs it"),
    "instance without user": (
        {"DATABASE_URL": None, "GCP_SQL_INSTANCE": "p:r:i"},
        "DB_USER: not set, and GCP_SQL_INSTANCE needs it",
    ),
    "no URL": ({"DATABASE_URL": "db.example"}, "DATABASE_URL: is not a URL"),
    "another database's URL": ({"DATABASE_URL": "mysql://u:p@h/d"}, "DATABASE_URL: starts with 'mysql'"),
    "URL without database": ({"DATABASE_URL": "postgresql://u:p@h"}, "DATABASE_URL: names no database"),
    "URL with a word for a port": ({"JOBS_DATABASE_URL": "postgresql://u:p@h:x/d"}, "JOBS_DATABASE_URL: is not a URL"),
    "migration URL": ({"MIGRATION_DATABASE_URL": "sqlite:///d"}, "MIGRATION_DATABASE_URL: starts with 'sqlite'"),
    "instance without region": (
        {"DATABASE_URL": None, "DB_USER": "u", "GCP_SQL_INSTANCE": "p:i"},
        "GCP_SQL_INSTANCE: ",
    ),
    "port 0": ({"DB_PORT": "0"}, "DB_PORT: "),
    "port 65536": ({"API_PORT": "65536"}, "API_PORT: "),
    "port in words": ({"API_PORT": "http"}, "API_PORT: "),
    "short secret": ({"SECRET_KEY": "x" * 31}, "SECRET_KEY: "),
    "no secret": ({"SECRET_KEY": None}, "SECRET_KEY: not set, and it has no default"),
    "log level": ({"LOG_LEVEL": "verbose"}, "LOG_LEVEL: "),
    "unknown group": ({"DB_ROLE_MEMBERS": "holdfast_admin=me"}, "DB_ROLE_MEMBERS: write ROLE=USER"),
    "group without member": ({"DB_ROLE_MEMBERS": "holdfast_app="}, "DB_ROLE_MEMBERS: write ROLE=USER"),
    "member without group": ({"DB_ROLE_MEMBERS": "me"}, "DB_ROLE_MEMBERS: write ROLE=USER"),
    "pool upside down": ({"DB_POOL_MIN": "31"}, "DB_POOL_MIN: 31 is more than DB_POOL_MAX, 30"),
    "pool of none": ({"DB_POOL_MAX": "0"}, "DB_POOL_MAX: "),
    "no time to wait": ({"DB_POOL_TIMEOUT": "0"}, "DB_POOL_TIMEOUT: "),
    "more workers than connections": (
        {"MAX_WORKERS": "31"},
        "MAX_WORKERS: 31 workers cannot share DB_POOL_MAX, 30",
    ),
    "cache": ({"REDIS_URL": "http://cache"}, "REDIS_URL: is not a URL"),
    "cache without host": ({"REDIS_URL": "redis://"}, "REDIS_URL: is not a URL"),
    "cache with a word for a port": ({"REDIS_URL": "redis://cache:x"}, "REDIS_URL: is not a URL"),
    "plain endpoint": (
        {"CLOUD_SQL_ADMIN_ENDPOINT": "http://sql.example"},
        "CLOUD_SQL_ADMIN_ENDPOINT: write https://HOST",
    ),
    "endpoint with a path": (
        {"CLOUD_SQL_ADMIN_ENDPOINT": "https://h/sql/v1"},
        "CLOUD_SQL_ADMIN_ENDPOINT: write https://",
    ),
    **{
        f"a Monitoring at {place}": (
            {"CLOUD_MONITORING_ENDPOINT": place},
            "CLOUD_MONITORING_ENDPOINT: write HOST:PORT of this machine",
        )
        for place in (
            "monitoring.googleapis.com:443",
            "10.0.0.1:80",
            "127.0.0.1",
            "127.0.0.1:1/x",
            "u@127.0.0.1:1",
            "x",
        )
    },
    "a Secret Manager without TLS": (
        {"SECRET_MANAGER_ENDPOINT": "http://secrets.example"},
        "SECRET_MANAGER_ENDPOINT: write https://HOST",
    ),
    "a secret's path": ({"ROTATED_SECRETS": "a,projects/p/secrets/b"}, "ROTATED_SECRETS: "),
    "archive": ({"ARCHIVE_URL": "/tmp/archive"}, "ARCHIVE_URL: write gs://BUCKET"),  # noqa: S108  # no file
    **{
        name: ({"OIDC_PROVIDERS": text}, f"OIDC_PROVIDERS: {line}")
        for name, (text, line) in {
            "providers that are no JSON": ("https://issuer.example", "is not JSON; write "),
            "one provider that is no list": (provider()[1:-1], "Input should be "),
            "a provider without an audience": (provider(audience=None), "0.audience: not set"),
            "a provider of any audience": (provider(audience=""), "0.audience: "),
            "a provider that gives nothing": (provider(scopes=[]), "https://issuer.example gives nothing: add scopes "),
            "an e-mail that is given nothing": (provider(emails={"a@b": []}), "https://issuer.example has an e-mail"),
            "an unknown scope": (provider(scopes=["ard:delete"]), "0.scopes.0: unknown scope; there are ard:read"),
            "an e-mail's unknown scope": (provider(emails={"a@b": ["all"]}), "0.emails.a@b.0: unknown scope"),
            "an issuer without TLS": (provider(issuer="http://issuer.example"), "0.issuer: write https://HOST"),
            "an issuer that is no URL": (provider(issuer="issuer.example"), "0.issuer: write https://HOST"),
            "an issuer with a query": (provider(issuer="https://issuer.example/?a=b"), "0.issuer: an issuer has no"),
            "an issuer too long to store": (provider(issuer="https://i.example/" + "x" * 255), "0.issuer: "),
            "keys without TLS": (provider(jwks_uri="http://issuer.example/keys"), "0.jwks_uri: write https://HOST"),
            "everyone of Google": (provider(issuer=GOOGLE), f"{GOOGLE} gives anyone in the world a token"),
            "everyone of Google, in capitals": (provider(issuer=f"{GOOGLE.upper()}/"), GOOGLE.upper()),
            "a misspelt part": (provider(scope=["ard:read"]), "0.scope: Extra inputs"),
            "an issuer twice": (f"[{provider()[1:-1]}, {provider()[1:-1]}]", "https://issuer.example is there twice"),
        }.items()
    },
    "less than no requests": ({"RATE_LIMIT": "-1"}, "RATE_LIMIT: "),
    "a window of no time": ({"RATE_LIMIT_WINDOW": "0"}, "RATE_LIMIT_WINDOW: "),
    "no bodies": ({"MAX_BODY_BYTES": "0"}, "MAX_BODY_BYTES: "),
    "every site": ({"CORS_ORIGINS": "https://app.example,*"}, "CORS_ORIGINS: '*' would let sites of others"),
    "a site without a scheme": ({"CORS_ORIGINS": "app.example"}, "CORS_ORIGINS: write an origin"),
    "a page": ({"CORS_ORIGINS": "https://app.example/"}, "CORS_ORIGINS: write an origin"),
    "sites of a pattern": ({"CORS_ORIGINS": "https://*.example"}, "CORS_ORIGINS: '*' would let sites of others"),
    "a file": ({"CORS_ORIGINS": "null"}, "CORS_ORIGINS: write an origin"),
    "a project with a slash": ({"GOOGLE_CLOUD_PROJECT": "projects/p"}, "GOOGLE_CLOUD_PROJECT: "),
    "truth": ({"DEBUG": "perhaps"}, "DEBUG: "),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_wrong_setting_stops_the_start_with_a_line_that_names_it(case: str, environment: Given) -> None:
    values, line = REFUSED[case]
    environment(**values)
    found = refusal()
    assert len(found) == 1
    assert found[0].startswith(line)


def test_every_wrong_setting_has_its_line(environment: Given) -> None:
    environment(API_PORT="0", SECRET_KEY="short", DB_POOL_MAX="many")
    assert {line.partition(":")[0] for line in refusal()} == {"API_PORT", "SECRET_KEY", "DB_POOL_MAX"}


SECRETS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=4, max_size=30)
BROKEN_URLS = (
    "postgresql://u:{}/holdfast",  # the host was forgotten, and the password stands where a port is
    "postgresql://u:{}@h:port/holdfast",
    "postgresql://u:{}@h",
    "mysql://u:{}@h/holdfast",
    "//u:{}@h/holdfast",
    "{}",
    "postgresql://u:pw@[::1:{}/holdfast",
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(secret=SECRETS)
@example(secret="hunter2")
@example(secret="Tr0ub4dor&3")
def test_no_line_repeats_a_secret(secret: str, environment: Given) -> None:
    marked = f"⟪{secret}⟫"
    for form in BROKEN_URLS:
        # A word inside the message is not a leak of this value; the marked one is.
        for text in (form.format(marked), form.format(marked.encode().hex())):
            environment(
                DATABASE_URL=text,
                JOBS_DATABASE_URL=text,
                REDIS_URL=text.replace("postgresql", "redis"),
                SECRET_KEY="⟪short⟫",
                DB_PORT="⟪",
            )
            said = "\n".join(refusal())
            assert "⟪" not in said
            assert marked.encode().hex() not in said


def test_a_program_that_does_not_use_load_leaks_nothing_either(environment: Given) -> None:
    environment(DATABASE_URL="postgresql://u:pass-phrase@h", SECRET_KEY="short-secret", DB_PORT="0")
    with pytest.raises(ValidationError) as caught:
        ApiSettings()
    assert not [secret for secret in ("pass-phrase", "short-secret") if secret in str(caught.value)]


def test_loaded_secrets_are_not_shown(environment: Given) -> None:
    environment(DB_PASSWORD="pass-phrase", REDIS_URL="redis://:cache-pass@h")
    shown = repr(load(ApiSettings))
    for secret in ("pass-phrase", "cache-pass", SECRET, ":pw@"):
        assert secret not in shown


# --- Where the database is ------------------------------------------------------------------------------------------


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100, deadline=None)
@given(password=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=40))
@example(password=PASSWORD)
def test_a_password_survives_the_way_through_a_url(password: str, environment: Given) -> None:
    environment(DATABASE_URL=None, DB_HOST="db.example", DB_USER="api", DB_PASSWORD=password)
    from_parts = load(ApiSettings).url
    environment(DATABASE_URL=from_parts.render_as_string(hide_password=False), DB_HOST=None)
    loaded = load(ApiSettings)
    assert (from_parts.password, loaded.url.password) == (password, password)
    assert (loaded.url.host, loaded.url.port, loaded.url.database) == ("db.example", 5432, "holdfast")


def test_a_cloud_sql_instance_is_the_proxys_socket_for_libpq(environment: Given) -> None:
    environment(DATABASE_URL=None, GCP_SQL_INSTANCE="p:us-central1:i", DB_USER="sa@p.iam", DB_PORT="6432")
    loaded = load(ApiSettings)
    assert loaded.uses_iam_authentication
    _, keywords = loaded.url.get_dialect()().create_connect_args(loaded.url)
    assert keywords == {
        "host": "/cloudsql/p:us-central1:i",
        "port": "5432",
        "user": "sa@p.iam",
        "dbname": "holdfast",
    }


@pytest.mark.parametrize(("duty", "name"), [("migration", "MIGRATION_DATABASE_URL"), ("jobs", "JOBS_DATABASE_URL")])
def test_a_duty_has_its_own_login_where_one_is_given(duty: str, name: str, environment: Given) -> None:
    environment()
    assert load(Settings).url_for(duty) == load(Settings).url
    environment(**{name: "postgres://other:pw@h/d"})
    assert load(Settings).url_for(duty).username == "other"
    assert load(Settings).url.username == "api"


def test_a_dutys_url_without_a_host_is_of_the_cloud_sql_instance(environment: Given) -> None:
    told = {"DATABASE_URL": None, "GCP_SQL_INSTANCE": "p:us-central1:i", "DB_USER": "sa@p.iam"}
    duties = {"MIGRATION_DATABASE_URL": "postgresql://other:pw@/d", "JOBS_DATABASE_URL": "postgresql://other:pw@h:1/d"}
    environment(**told, **duties)
    loaded = load(Settings)
    _, keywords = loaded.url.get_dialect()().create_connect_args(loaded.url_for("migration"))
    assert keywords == {
        "host": "/cloudsql/p:us-central1:i",
        "port": "5432",
        "user": "other",
        "password": "pw",
        "dbname": "d",
    }
    assert loaded.url_for("jobs").host == "h"
    environment(**told, MIGRATION_DATABASE_URL="postgresql://other:pw@/d?host=/cloudsql/p:r:other")
    assert load(Settings).url_for("migration").query == {"host": "/cloudsql/p:r:other"}


@pytest.mark.parametrize(("cores", "connections", "workers"), [(4, "30", 4), (96, "30", 30), (96, "90", MOST_WORKERS)])
def test_by_default_there_is_a_worker_a_core_as_far_as_the_connections_reach(
    cores: int, connections: str, workers: int, environment: Given, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _pid: set(range(cores)))
    environment(DB_POOL_MAX=connections)
    assert load(ApiSettings).max_workers == workers


# --- .env.example ---------------------------------------------------------------------------------------------------


def example_lines() -> dict[str, str]:
    """Every setting that the example shows, commented out or not."""
    found = re.findall(r"^#?([A-Z][A-Z_]*)=(.*)$", EXAMPLE.read_text(), re.MULTILINE)
    assert len(found) == len(dict(found)), "a setting stands there twice"
    return dict(found)


def test_the_example_has_every_setting_and_no_other() -> None:
    assert set(example_lines()) == {name.upper() for name in ApiSettings.model_fields}


def test_a_plain_copy_of_the_example_holds_no_secret_and_says_what_is_to_fill_in(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(EXAMPLE.read_text())
    assert not any(dotenv_values(EXAMPLE).values())
    assert refusal() == ["SECRET_KEY: not set, and it has no default"]
    filled = EXAMPLE.read_text().replace("\nSECRET_KEY=", f"\nSECRET_KEY={SECRET}")
    (tmp_path / ".env").write_text(filled)
    assert refusal()[0].startswith("DATABASE_URL: not set")
    (tmp_path / ".env").write_text(filled.replace("\nDATABASE_URL=", f"\nDATABASE_URL={URL}"))
    assert load(ApiSettings).url.host == "db.example"


@pytest.mark.parametrize("name", NAMES)
def test_a_line_of_the_example_can_be_uncommented_and_shows_the_default(
    name: str, environment: Given, tmp_path: Path
) -> None:
    text = example_lines()[name]
    environment(**({"DATABASE_URL": None, "DB_USER": "api"} if name in {"DB_HOST", "GCP_SQL_INSTANCE"} else {}))
    (tmp_path / ".env").write_text(f"{name}={text}\n")
    value = getattr(load(ApiSettings), name.lower())
    default = ApiSettings.model_fields[name.lower()].default
    if text and default is not None and default is not PydanticUndefined:
        assert value == default


# --- The one place --------------------------------------------------------------------------------------------------


def reads_of_the_environment(source: str) -> list[int]:
    return [
        node.lineno
        for node in ast.walk(ast.parse(source))
        if (isinstance(node, ast.Attribute) and node.attr in {"environ", "environb", "getenv", "getenvb"})
        or (isinstance(node, ast.alias) and node.name in {"environ", "environb", "getenv", "getenvb"})
    ]


def test_the_search_for_reads_of_the_environment_finds_each_form() -> None:
    for form in ("import os\nos.environ['A']", "import os\nos.getenv('A')", "from os import environ"):
        assert reads_of_the_environment(form)


def test_nothing_in_the_runtime_but_the_settings_reads_the_environment() -> None:
    sources = sorted((ROOT / "runtime").rglob("*.py"))
    assert len(sources) > 20
    found = {
        str(path.relative_to(ROOT)): lines
        for path in sources
        if path.name != "settings.py" and (lines := reads_of_the_environment(path.read_text()))
    }
    assert found == {}
