import re
import string
from contextlib import suppress
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.postgres.address import AddressError, read_address
from gateway.postgres.connection import opening
from gateway.settings import Settings

ODD = "a@b#c/d"
TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), min_size=1)


def shown(text: str) -> dict[str, object]:
    """What an address says, without what is empty."""
    address = read_address(text)
    places = {"places": list(zip(address.hosts, address.ports, strict=True))}
    values = {**places, **address.parameters, "settings": dict(address.settings), "options": address.options}
    return {name: value for name, value in values.items() if value}


HOSTERS = {
    "Neon's command": (
        "psql 'postgresql://u:p@ep-a.neon.tech/db?sslmode=require'",
        {"database": "db", "sslmode": "require"},
    ),
    "a line of a file": ("export DATABASE_URL=postgres://u:p@h/db", {"places": [("h", 5432)], "database": "db"}),
    "Cloud SQL for pg8000": (
        "postgresql+pg8000://u:p@/db?unix_sock=/cloudsql/proj:eu-west1:main/.s.PGSQL.5433",
        {"places": [("/cloudsql/proj:eu-west1:main", 5433)]},
    ),
    "JDBC's names": (
        "jdbc:postgresql://h/db?user=u&ApplicationName=masks&connectTimeout=7",
        {"application_name": "masks", "connect_timeout": "7"},
    ),
    "a user's name like a scheme": ("user=postgres host=h", {"places": [("h", 5432)], "user": "postgres"}),
    "keywords in capitals": ("Host=h PORT=7 dbname=db", {"places": [("h", 7)], "database": "db"}),
    "Heroku": (
        "postgres://u:p@ec2-1.compute.amazonaws.com:5432/d1?sslmode=require",
        {"places": [("ec2-1.compute.amazonaws.com", 5432)], "sslmode": "require", "database": "d1"},
    ),
    "Neon": (
        "postgresql://u:p@ep-a-pooler.eu.neon.tech/db?sslmode=require&channel_binding=require",
        {"places": [("ep-a-pooler.eu.neon.tech", 5432)], "sslmode": "require"},
    ),
    "Neon without SNI": (
        "postgresql://u:p@ep-a.eu.neon.tech/db?options=endpoint%3Dep-a-123",
        {"options": "endpoint=ep-a-123"},
    ),
    "Supabase": (
        "postgresql://postgres.ref:p@aws-0-eu.pooler.supabase.com:6543/postgres?pgbouncer=true&connection_limit=1",
        {"user": "postgres.ref", "pgbouncer": "true"},
    ),
    "Cloud SQL": (
        "postgresql://u:p@/db?host=/cloudsql/proj:eu-west1:main",
        {"places": [("/cloudsql/proj:eu-west1:main", 5432)]},
    ),
    "Azure": (
        "host=x.postgres.database.azure.com port=6432 dbname=db user=me@x password='a\\'b c' sslmode=verify-full",
        {"places": [("x.postgres.database.azure.com", 6432)], "user": "me@x", "password": "a'b c"},
    ),
    "SQLAlchemy": ("postgresql+asyncpg://u:p@h/db?ssl=true", {"sslmode": "require"}),
    "JDBC": ("jdbc:postgresql://h:1/db?user=u&password=p&currentSchema=a,b", {"settings": {"search_path": "a,b"}}),
    "Prisma": ("postgresql://u:p@h/db?schema=Face", {"settings": {"search_path": '"Face"'}}),
    "several hosts": (
        "postgresql://u:p@a:1,b,[::1]:3/db?target_session_attrs=read-write",
        {"places": [("a", 1), ("b", 5432), ("::1", 3)], "target_session_attrs": "read-write"},
    ),
    "one port for all": ("host=a,b port=7", {"places": [("a", 7), ("b", 7)]}),
    "a socket": ("postgresql://%2Fvar%2Frun%2Fpostgresql/db", {"places": [("/var/run/postgresql", 5432)]}),
    "settings": (
        "postgresql://h/db?options=-c%20geqo%3Doff%20--work-mem%3D8MB%20-cx.y%3Da%5C%20b",
        {"settings": {"geqo": "off", "work_mem": "8MB", "x.y": "a b"}},
    ),
    "Node": ("postgres://u:p@h/db?sslmode=no-verify", {"sslmode": "require"}),
    "in quotes": ("'postgres://u:p@h/db'\n", {"user": "u", "password": "p", "database": "db"}),
}


@pytest.mark.parametrize(("text", "said"), HOSTERS.values(), ids=HOSTERS)
def test_hosters_addresses_are_read(text, said):
    assert said.items() <= shown(text).items()


@pytest.mark.parametrize(
    ("query", "passed_over"),
    [
        ("channel_binding=require", ("channel_binding",)),
        ("channel_binding=prefer&gssencmode=disable&sslsni=1&client_encoding=utf8", ()),
        ("keepalives=1&keepalives_idle=30", ("keepalives", "keepalives_idle")),
        ("target_session_attrs=standby", ("target_session_attrs",)),
        ("target_session_attrs=any", ()),
        (
            "connection_limit=1&pool_timeout=0&statement_cache_size=0",
            ("connection_limit", "pool_timeout", "statement_cache_size"),
        ),
        ("client_encoding=latin1", ("client_encoding",)),
        ("sslmode=require&connect_timeout=10&load_balance_hosts=random&application_name=x", ()),
    ],
)
def test_parameters_that_are_not_honoured_are_named(query, passed_over):
    assert read_address(f"postgresql://h/db?{query}").passed_over == passed_over


@pytest.mark.parametrize(
    ("text", "says"),
    [
        *((f"postgresql://app:ses{mark}ame@host/db", "percent-encoded") for mark in "@#/?[%"),
        ("postgresql://app:12#34@host/db", "percent-encoded"),
        ("postgresql://app:12/34@host/db", "percent-encoded"),
        ("postgresql://app:12?34@host/db", "percent-encoded"),
        ("mysql://app:sesame@host/db", "not a URL"),
        ("sesame", "keywords"),
        ("postgresql://::1/db", "brackets"),
        ("postgresql://h:99999/db", "port"),
        ("postgresql://h/db?port=x", "port"),
        ("host=a,b,c port=1,2", "2 ports for 3 hosts"),
        ("host=@abstract dbname=db", "abstract"),
        ("host=/" + "long/" * 30, "107 bytes"),
        ("postgresql://h/db?sslmode=sometimes", "verify-full"),
        ("postgresql://h/db?service=nowhere", "service"),
        ("host='open", "keywords"),
        ("postgresql://u:p@h/d%00b", "NUL"),
    ],
)
def test_an_address_that_cannot_be_used_is_told_without_its_secrets(text, says, monkeypatch):
    monkeypatch.setenv("PGSERVICEFILE", "/nowhere")
    with pytest.raises(AddressError, match=re.escape(says)) as caught:
        read_address(text)
    assert not re.search("ses|ame@|34", str(caught.value))


@given(user=TEXT, password=TEXT, database=TEXT)
def test_any_name_and_password_can_be_percent_encoded(user: str, password: str, database: str):
    encoded = (quote(part, safe="") for part in (user, password, database))
    address = read_address("postgresql://{}:{}@host/{}".format(*encoded))
    assert [address.parameters[name] for name in ("user", "password", "database")] == [user, password, database]


@given(st.dictionaries(st.sampled_from(["user", "password", "database", "host"]), TEXT.filter(str.strip)))
def test_any_value_can_be_quoted(values: dict[str, str]):
    values.pop("host", None)
    marks = {name: value.replace("\\", "\\\\").replace("'", "\\'") for name, value in values.items()}
    text = " ".join(f"{name}='{value}'" for name, value in marks.items())
    if text:
        assert dict(read_address(text).parameters) == values


@given(st.text(string.printable))
def test_no_text_is_a_traceback(text: str):
    for start in ("", "postgresql://", "host="):
        with suppress(AddressError):
            assert read_address(start + text).ports is not None


@pytest.mark.parametrize(
    ("host", "place"),
    [
        ("db", ("db", 5433)),
        ("10.0.0.7", ("10.0.0.7", 5433)),
        ("db:6000", ("db", 6000)),
        ("::1", ("::1", 5433)),
        ("[::1]", ("::1", 5433)),
        ("[fe80::2]:6000", ("fe80::2", 6000)),
        ("/var/run/postgresql", ("/var/run/postgresql", 5433)),
    ],
)
def test_db_host_is_any_kind_of_host(host, place):
    made = Settings(db_host=host, db_port=5433, db_password=ODD).postgres_dsn.get_secret_value()
    address = read_address(made)
    assert list(zip(address.hosts, address.ports, strict=True)) == [place]
    assert address.get("password") == ODD


def test_an_address_that_is_printed_holds_no_password():
    assert "sesame" not in repr(read_address("postgresql://app:sesame@host/db?sslpassword=sesame"))


def test_a_postgres_service_fills_in_missing_parts(tmp_path, monkeypatch):
    file = tmp_path / "services"
    file.write_text("[faces]\nhost=db.example\nport=6000\ndbname=faces\nuser=them\n")
    monkeypatch.setenv("PGSERVICEFILE", str(file))
    assert shown("postgresql://me@/?service=faces") == {
        "places": [("db.example", 6000)],
        "database": "faces",
        "user": "me",
        "service": "faces",
    }


def test_settings_of_a_session_are_made_in_each_transaction_behind_a_pooler():
    address = read_address("postgresql://h/db?pgbouncer=true&options=-c%20a.b%3Dit's")
    assert opening(address).startswith("SELECT set_config('a.b', 'it''s', true), set_config('jit', 'off', true)")
    assert opening(read_address("postgresql://h/db?options=-c%20a.b%3D1")) == ""


@pytest.mark.parametrize(
    "text",
    [
        "Server=h;Database=db;Port=5432;User Id=u;Password=sesame;Ssl Mode=Require;",
        "Host=h;Port=5432;Username=u;Password=sesame;Database=db",
        "Server=h Uid=u Pwd=sesame",
    ],
)
def test_an_address_for_another_driver_is_refused_instead_of_meaning_localhost(text: str) -> None:
    with pytest.raises(AddressError, match="nor keywords such as host=") as caught:
        read_address(text)
    assert "sesame" not in str(caught.value)


@pytest.mark.parametrize("parameter", ["pool-timeout=10", "x.y=1", "connect_timeout=1.5", "connect_timeout=10s"])
def test_a_parameter_of_another_form_is_passed_over_and_named(parameter: str) -> None:
    assert read_address(f"postgresql://u:p@h/db?{parameter}").passed_over == (parameter.split("=", maxsplit=1)[0],)
