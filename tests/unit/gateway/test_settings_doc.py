from gateway.cli.main import settings_table
from gateway.settings import Settings
from tests.stack import CHECKOUT


def test_the_documented_settings_are_those_of_the_class() -> None:
    documented = (CHECKOUT / "docs" / "settings.md").read_text(encoding="utf-8")
    table = list(settings_table())
    assert len(table) == len(Settings.model_fields) + 2
    assert documented.endswith("\n".join(table) + "\n"), (
        "run: maskwright settings, and put the table into docs/settings.md"
    )
