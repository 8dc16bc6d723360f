from gateway.http.openapi import tiny_png
from vision.photo import inspect


def test_the_example_is_a_photo_of_sixteen_pixels() -> None:
    info = inspect(tiny_png())
    assert (info.format, info.width, info.height) == ("png", 16, 16)
