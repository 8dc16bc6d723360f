"""The one configuration class, in groups that say what each is about."""

from gateway.settings.environment import variable_names
from gateway.settings.fields import SettingsError
from gateway.settings.settings import Settings

__all__ = ["Settings", "SettingsError", "variable_names"]
