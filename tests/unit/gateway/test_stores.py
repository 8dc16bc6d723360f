import pytest

from gateway.settings import Settings, SettingsError
from gateway.stores import durable, open_stores

DSN, S3, KAFKA = "postgresql://app@127.0.0.1/app", "127.0.0.1:9000", "127.0.0.1:9092"
NOTHING = {"postgres_dsn": "", "minio_endpoint": "", "kafka_bootstrap_servers": "", "db_use_database": True}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, False),
        ({"minio_endpoint": S3}, False),
        ({"postgres_dsn": DSN, "minio_endpoint": S3}, True),
        ({"postgres_dsn": DSN, "minio_endpoint": S3, "kafka_bootstrap_servers": KAFKA}, True),
        ({"postgres_dsn": DSN, "db_use_database": False}, False),
    ],
)
def test_jobs_outlive_the_process_where_there_is_a_database(given: dict[str, object], *, expected: bool) -> None:
    assert durable(Settings(**{**NOTHING, **given})) is expected


@pytest.mark.parametrize(
    ("given", "missing"),
    [
        ({"postgres_dsn": DSN}, "MINIO_ENDPOINT"),
        ({"kafka_bootstrap_servers": KAFKA}, "POSTGRES_DSN"),
        ({"kafka_bootstrap_servers": KAFKA, "postgres_dsn": DSN, "db_use_database": False}, "DB_USE_DATABASE is false"),
    ],
)
async def test_half_a_configuration_is_refused(given: dict[str, object], missing: str) -> None:
    with pytest.raises(SettingsError, match=missing):
        async with open_stores(Settings(**{**NOTHING, **given})):
            pass
