"""The steps of the pipelines: named tensors in, named tensors out; the same code in a Triton ensemble and in one process."""
