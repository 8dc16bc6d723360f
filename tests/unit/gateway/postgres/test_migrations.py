from gateway.postgres.database import known_migrations


def test_versions_count_from_one_each_once() -> None:
    versions = [migration.version for migration in known_migrations()]
    assert versions[0] == 1
    assert versions == sorted(set(versions))
