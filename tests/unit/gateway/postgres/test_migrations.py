from gateway.postgres.migrations import known_migrations


def test_versions_count_from_one() -> None:
    versions = [migration.version for migration in known_migrations()]
    assert versions == list(range(1, len(versions) + 1))
