"""Where catalogued files come from."""

from typing import Annotated

from pydantic import Field

from exporters.sources.npm import NpmSource
from exporters.sources.url import UrlSource
from exporters.sources.wheel import WheelSource

Source = Annotated[WheelSource | NpmSource | UrlSource, Field(discriminator="type")]
