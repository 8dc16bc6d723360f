"""Where a job's photo and parameters come from."""

from gateway.errors import Problem
from gateway.fetching.fetcher import Fetcher
from gateway.jobs.job import ImageReference, NewJob
from gateway.jobs.objects import Bucket, ObjectMissingError, parameters_key
from gateway.s3.images import S3Images


class Sources:
    """Every kind of source; `images` is None where there is no S3."""

    def __init__(self, photos: Bucket, fetcher: Fetcher, images: S3Images | None) -> None:
        self._photos = photos
        self._fetcher = fetcher
        self._images = images

    async def photo(self, image: ImageReference) -> bytes:
        """The encoded photo.

        Raises Problem: `object_missing`, `storage_unavailable`, or what the fetcher says of a URL.
        """
        if image.kind == "url":
            return await self._fetcher.fetch(image.location)
        if image.kind == "s3":
            return await self._foreign(image.location)
        return await self._kept(image.location, "The photo")

    async def parameters(self, request: NewJob) -> bytes:
        """The parameters, a JSON object. Raises Problem `object_missing`, `storage_unavailable`."""
        if not request.parameters_stored:
            return request.parameters.encode()
        return await self._kept(parameters_key(request.id), "The object with the parameters")

    async def _kept(self, key: str, what: str) -> bytes:
        try:
            return (await self._photos.get(key)).data
        except ObjectMissingError as error:
            raise Problem("object_missing", f"{what} that came with the job is not there any more.") from error

    async def _foreign(self, location: str) -> bytes:
        if self._images is None:
            raise Problem("invalid_parameters", "image: type s3 needs an S3 server; none is configured")
        return await self._images.get(location)
