"""Which models make the results."""

import asyncio
import time

from gateway import __version__
from gateway.cache.code import code_digest
from gateway.triton import Triton

_FRESH_S = 10.0
_PAUSE_S = 1.0
_TIMEOUT_S = 1.0


class ModelVersions:
    """The models that are ready, their versions and weights, and the code that they run, as one text.

    Triton is asked every few seconds, in the background; of its code it says nothing, so it is taken to be ours.

    While Triton is away, what it said last holds.
    """

    def __init__(self, triton: Triton) -> None:
        self._triton = triton
        self._said: str | None = None
        self._due_at = float("-inf")
        self._reading: asyncio.Task[None] | None = None

    async def current(self) -> str | None:
        """The text; None where Triton has not been heard of yet."""
        if time.monotonic() >= self._due_at and self._reading is None:
            self._reading = asyncio.create_task(self._read())
        if self._said is None and self._reading is not None:
            await asyncio.shield(self._reading)
        return self._said

    async def _read(self) -> None:
        try:
            models = await self._triton.models(_TIMEOUT_S)
            ready = [model for model in models if model.state == "READY"]
            weights = await asyncio.gather(*(self._triton.weights(model.name, _TIMEOUT_S) for model in ready))
            heard = bool(ready) and None not in weights
            if heard:
                made = sorted(
                    f"{model.name}:{model.version}:{said}" for model, said in zip(ready, weights, strict=True)
                )
                self._said = "\n".join((__version__, code_digest(), *made))
            self._due_at = time.monotonic() + (_FRESH_S if heard else _PAUSE_S)
        finally:
            self._reading = None
