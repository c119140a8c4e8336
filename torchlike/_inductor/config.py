"""Switches of ``torch._inductor``; they keep what a program sets and change nothing."""

from __future__ import annotations

from types import SimpleNamespace

max_autotune = False
max_autotune_gemm = False
max_autotune_gemm_backends = "ATEN,TRITON,CPP"
coordinate_descent_tuning = False
epilogue_fusion = True
freezing = False
pattern_matcher = True
fx_graph_cache = True
force_disable_caches = False
post_grad_custom_pre_pass = None
post_grad_custom_post_pass = None
compile_threads = 1
debug = False
triton = SimpleNamespace(cudagraphs=False, unique_kernel_names=True, cudagraph_trees=True)
cpp = SimpleNamespace(threads=-1, simdlen=None, enable_kernel_profile=False, min_chunk_size=4096)
