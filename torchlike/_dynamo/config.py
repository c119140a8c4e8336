"""Switches of ``torch._dynamo``; they keep what a program sets and change nothing."""

from __future__ import annotations

suppress_errors = False
cache_size_limit = 8
recompile_limit = 8
accumulated_recompile_limit = 256
dynamic_shapes = True
assume_static_by_default = True
automatic_dynamic_shapes = True
capture_scalar_outputs = False
capture_dynamic_output_shape_ops = False
compiled_autograd = False
optimize_ddp = True
verbose = False
disable = False
error_on_recompile = False
fail_on_recompile_limit_hit = False
inline_inbuilt_nn_modules = True
force_parameter_static_shapes = True
