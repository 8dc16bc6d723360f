from deploy.embedded.triton import models_loading

LOG = """\
2026-11-30T08:27:49Z I 5536 model_lifecycle.cc:472] "loading: detect_lite:1"
2026-11-30T08:27:49Z I 5536 model_lifecycle.cc:472] "loading: body_masks_lite:1"
2026-11-30T08:27:49Z I 5536 model_lifecycle.cc:472] "loading: privacy_blur_lite:1"
2026-11-30T08:27:59Z I 5536 model_lifecycle.cc:839] "successfully loaded 'detect_lite'"
2026-11-30T08:27:59Z E 5536 model_lifecycle.cc:642] "failed to load 'privacy_blur_lite' version 1: Internal: no"
"""


def test_a_model_counts_as_loading_until_the_log_says_loaded_or_failed() -> None:
    assert models_loading(LOG) == ["body_masks_lite"]
    assert models_loading("") == []
