"""Errors of the exporters package."""


class ExporterError(Exception):
    """The base of every error raised here. A user can be told about it in one sentence."""


class CatalogueError(ExporterError):
    """The catalogue file is not valid."""


class UnknownNameError(ExporterError):
    """A name that is not in the catalogue or among the recipes."""

    def __init__(self, names: list[str], known: list[str]) -> None:
        super().__init__(f"unknown name: {', '.join(names)}; known names: {', '.join(known)}")


class FetchError(ExporterError):
    """A file could not be fetched."""


class IntegrityError(FetchError):
    """A fetched file differs from the catalogued one."""


class TranslationError(ExporterError):
    """This translator cannot express a checkpoint in ONNX."""


class ParityError(ExporterError):
    """An exported model differs too much from its checkpoint."""


class WrongFileError(ExporterError):
    """A user's file is not what the command takes. The message says what it is, as in `it is …`."""
