"""The steps of the pipelines: named tensors in, named tensors out, in a Triton ensemble and in one process alike."""
