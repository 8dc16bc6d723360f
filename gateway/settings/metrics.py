"""What Prometheus may read."""

from pydantic import AliasChoices, Field

from gateway.settings.fields import Port, SettingsGroup


class MetricsSettings(SettingsGroup):
    """Figures."""

    prometheus_enabled: bool = Field(
        default=True,
        validation_alias=AliasChoices("PROMETHEUS_ENABLED", "ENABLE_METRICS"),
        description="false: no figures at /metrics, nor on PROMETHEUS_PORT.",
    )
    prometheus_port: Port | None = Field(
        None, description="Port of the gateway that serves the figures and nothing else; none when not set."
    )

    @property
    def figures_port(self) -> int | None:
        """The port that serves nothing but figures, where there is one."""
        return self.prometheus_port if self.prometheus_enabled else None
