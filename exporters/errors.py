"""Errors of the exporters package."""


class ExporterError(Exception):
    """Anything a user can be told about in one sentence: the base of every error raised here."""


class CatalogueError(ExporterError):
    """The catalogue file is not valid."""


class UnknownNameError(ExporterError):
    """A name that is not in the catalogue or among the recipes."""

    def __init__(self, names: list[str], known: list[str]) -> None:
        super().__init__(f"unknown name: {', '.join(names)}; known names: {', '.join(known)}")


class FetchError(ExporterError):
    """A file could not be fetched."""


class IntegrityError(FetchError):
    """A fetched file is not the catalogued one."""


class TranslationError(ExporterError):
    """A checkpoint cannot be expressed in ONNX by this translator."""


class ParityError(ExporterError):
    """An exported model differs from its checkpoint by more than the bar."""
