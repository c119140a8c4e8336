"""The memory behind tensors as Python code sees it: bytes, typed elements, and tensors laid over them."""
