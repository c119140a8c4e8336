"""Recurrent layers (whole sequences, many layers, both directions) and their cells (one step)."""

from __future__ import annotations

import math
import numbers
import warnings
import weakref
from typing import Any

import torchlike as torch
from torchlike._tensor.tensor import Tensor
from torchlike.nn import init
from torchlike.nn.parameter import Parameter
from torchlike.nn.utils.rnn import PackedSequence

from ._deprecated import deprecated
from .module import Module

__all__ = ["GRU", "LSTM", "RNN", "GRUCell", "LSTMCell", "RNNBase", "RNNCell", "RNNCellBase"]

PROJ_SIZE_UNSUPPORTED = "proj_size argument is only supported for LSTM, not RNN or GRU"

_GATES = {"LSTM": 4, "GRU": 3, "RNN_TANH": 1, "RNN_RELU": 1}


def _kernel(name: str) -> Any:
    from torchlike._ops import rnn

    return getattr(rnn, name)


def _apply_permutation(tensor: Tensor, permutation: Tensor, dim: int = 1) -> Tensor:
    return tensor.index_select(dim, permutation)


@deprecated("`apply_permutation` is deprecated, please use `tensor.index_select(dim, permutation)` instead")
def apply_permutation(tensor: Tensor, permutation: Tensor, dim: int = 1) -> Tensor:
    """``tensor`` with the entries of ``dim`` in the order ``permutation``."""
    return _apply_permutation(tensor, permutation, dim)


class RNNBase(Module):
    """What `RNN`, `LSTM` and `GRU` share: parameters of all layers and directions, and checks of their inputs.

    Args:
        mode: ``"RNN_TANH"``, ``"RNN_RELU"``, ``"LSTM"`` or ``"GRU"``.
        input_size: features of the input.
        hidden_size: features of the hidden state.
        num_layers: number of layers, each fed by the one before. Default: 1.
        bias: whether there are biases. Default: ``True``.
        batch_first: whether sequences are (batch, time, feature) rather than (time, batch, feature).
        dropout: probability of dropping elements of the output of every layer but the last. Default: 0.
        bidirectional: also run over the reversed sequence. Default: ``False``.
        proj_size: size to which hidden states of an LSTM are projected; 0 for none. Default: 0.
        device: device of the parameters.
        dtype: element type of the parameters.

    Raises:
        TypeError, ValueError: an argument has the wrong type or is out of range.
    """

    __constants__ = [
        "mode",
        "input_size",
        "hidden_size",
        "num_layers",
        "bias",
        "batch_first",
        "dropout",
        "bidirectional",
        "proj_size",
    ]
    __jit_unused_properties__ = ["all_weights"]
    mode: str
    input_size: int
    hidden_size: int
    num_layers: int
    bias: bool
    batch_first: bool
    dropout: float
    bidirectional: bool
    proj_size: int

    def __init__(
        self,
        mode: str,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.mode = mode
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.bias = bias
        self.batch_first = batch_first
        self.dropout = float(dropout)
        self.bidirectional = bidirectional
        self.proj_size = proj_size
        self._flat_weight_refs: list[Any] = []
        self._check_arguments(dropout)

        directions = 2 if bidirectional else 1
        gate_size = _GATES[mode] * hidden_size
        state_size = proj_size if proj_size > 0 else hidden_size
        self._flat_weights_names: list[str] = []
        self._all_weights: list[list[str]] = []
        for layer in range(num_layers):
            layer_input_size = input_size if layer == 0 else state_size * directions
            sizes: dict[str, tuple[int, ...]] = {
                "weight_ih": (gate_size, layer_input_size),
                "weight_hh": (gate_size, state_size),
                "bias_ih": (gate_size,),
                "bias_hh": (gate_size,),
                "weight_hr": (proj_size, hidden_size),
            }
            for names in self._names_of_layer(layer):
                for name in names:
                    size = sizes[name[: name.index("_l")]]
                    setattr(self, name, Parameter(torch.empty(size, device=device, dtype=dtype)))
                self._flat_weights_names.extend(names)
                self._all_weights.append(names)
        self._init_flat_weights()
        self.reset_parameters()

    def _check_arguments(self, dropout: Any) -> None:
        if not isinstance(dropout, numbers.Number) or isinstance(dropout, bool) or not 0 <= dropout <= 1:  # type: ignore[operator]
            raise ValueError(
                "dropout should be a number in range [0, 1] representing the probability of an element being zeroed"
            )
        if dropout > 0 and self.num_layers == 1:  # type: ignore[operator]
            warnings.warn(
                "dropout option adds dropout after all but last "
                "recurrent layer, so non-zero dropout expects "
                f"num_layers greater than 1, but got dropout={dropout} and "
                f"num_layers={self.num_layers}",
                stacklevel=4,
            )
        for name in ("bias", "batch_first"):
            if not isinstance(getattr(self, name), bool):
                raise TypeError(f"{name} should be of type bool, got: {type(getattr(self, name)).__name__}")
        for name in ("input_size", "hidden_size"):
            size = getattr(self, name)
            if not isinstance(size, int):
                raise TypeError(f"{name} should be of type int, got: {type(size).__name__}")
            if size <= 0:
                raise ValueError(f"{name} must be greater than zero")
        if self.num_layers <= 0:
            raise ValueError("num_layers must be greater than zero")
        if self.proj_size < 0:
            raise ValueError("proj_size should be a positive integer or zero to disable projections")
        if self.proj_size >= self.hidden_size:
            raise ValueError("proj_size has to be smaller than hidden_size")
        if self.mode not in _GATES:
            raise ValueError("Unrecognized RNN mode: " + self.mode)

    def _names_of_layer(self, layer: int) -> list[list[str]]:
        """Names of the parameters of a layer, for each direction."""
        kinds = ["weight_ih", "weight_hh"]
        if self.bias:
            kinds += ["bias_ih", "bias_hh"]
        if self.proj_size > 0:
            kinds.append("weight_hr")
        suffixes = ("", "_reverse") if self.bidirectional else ("",)
        return [[f"{kind}_l{layer}{suffix}" for kind in kinds] for suffix in suffixes]

    # The kernels take all parameters as one flat list, which is kept beside the parameters.

    def _init_flat_weights(self) -> None:
        self._flat_weights = [getattr(self, name, None) for name in self._flat_weights_names]
        self._flat_weight_refs = [None if w is None else weakref.ref(w) for w in self._flat_weights]
        self.flatten_parameters()

    def flatten_parameters(self) -> None:
        """Has no effect: XLA lays parameters out as it needs them."""

    def __setattr__(self, attr: str, value: Any) -> None:
        names = self.__dict__.get("_flat_weights_names", ())
        if attr in names and "_flat_weights" in self.__dict__:
            self._flat_weights[names.index(attr)] = value
        super().__setattr__(attr, value)

    def _apply(self, fn: Any, recurse: bool = True) -> Any:
        self._flat_weight_refs = []
        applied = super()._apply(fn, recurse)
        self._init_flat_weights()  # Conversion may have replaced the parameters.
        return applied

    def _weights_have_changed(self) -> bool:
        """Whether a parameter was replaced behind `__setattr__`, by ``functional_call`` for instance."""
        for ref, name in zip(self._flat_weight_refs, self._flat_weights_names, strict=True):
            weight = getattr(self, name, None)
            if weight is not None and ref is not None and ref() is not weight:
                return True
        return False

    def _update_flat_weights(self) -> None:
        if self._weights_have_changed():
            self._init_flat_weights()

    @property
    def all_weights(self) -> list[list[Any]]:
        """The parameters, one list for each layer and direction."""
        return [[getattr(self, name) for name in names] for names in self._all_weights]

    def reset_parameters(self) -> None:
        """Draw all parameters from ``U(-b, b)`` with ``b = 1 / sqrt(hidden_size)``."""
        bound = 1.0 / math.sqrt(self.hidden_size) if self.hidden_size > 0 else 0
        for weight in self.parameters():
            init.uniform_(weight, -bound, bound)

    def __getstate__(self) -> dict[str, Any]:
        self._update_flat_weights()
        state = super().__getstate__()
        del state["_flat_weight_refs"]  # Weak references cannot be pickled.
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        if "all_weights" in state:
            self._all_weights = state["all_weights"]
        self.__dict__.setdefault("proj_size", 0)
        if not isinstance(self._all_weights[0][0], str):  # Old files hold the parameters themselves.
            self._all_weights = [names for layer in range(self.num_layers) for names in self._names_of_layer(layer)]
            self._flat_weights_names = [name for names in self._all_weights for name in names]
            self._flat_weights = [getattr(self, name, None) for name in self._flat_weights_names]
        self._flat_weight_refs = [None if w is None else weakref.ref(w) for w in self._flat_weights]

    def _replicate_for_data_parallel(self) -> Any:
        replica = super()._replicate_for_data_parallel()
        replica._flat_weights = replica._flat_weights[:]
        replica._flat_weights_names = replica._flat_weights_names[:]
        return replica

    # Checks

    def check_input(self, input: Tensor, batch_sizes: Tensor | None) -> None:
        """Raise unless the input, (time, batch, feature) or packed, fits the parameters."""
        weights: list[Any] = self._flat_weights
        dtype = weights[0].dtype
        if input.dtype != dtype and not torch.is_autocast_enabled():
            raise ValueError(
                f"RNN input dtype ({input.dtype}) does not match weight dtype ({dtype}). "
                f"Convert input: input.to({dtype}), or convert model: model.to({input.dtype})"
            )
        expected_dim = 3 if batch_sizes is None else 2
        if input.dim() != expected_dim:
            raise RuntimeError(f"input must have {expected_dim} dimensions, got {input.dim()}")
        if self.input_size != input.size(-1):
            raise RuntimeError(
                f"input.size(-1) must be equal to input_size. Expected {self.input_size}, got {input.size(-1)}"
            )

    def _state_shape(self, input: Tensor, batch_sizes: Tensor | None, size: int) -> tuple[int, int, int]:
        if batch_sizes is not None:
            batch = int(batch_sizes[0])
        else:
            batch = input.size(0 if self.batch_first else 1)
        return self.num_layers * (2 if self.bidirectional else 1), batch, size

    def get_expected_hidden_size(self, input: Tensor, batch_sizes: Tensor | None) -> tuple[int, int, int]:
        """Shape of the hidden state for this input."""
        return self._state_shape(input, batch_sizes, self.proj_size or self.hidden_size)

    def check_hidden_size(
        self, hx: Tensor, expected_hidden_size: tuple[int, int, int], msg: str = "Expected hidden size {}, got {}"
    ) -> None:
        """Raise unless the hidden state has the expected shape."""
        if hx.size() != expected_hidden_size:
            raise RuntimeError(msg.format(expected_hidden_size, list(hx.size())))

    def check_forward_args(self, input: Tensor, hidden: Any, batch_sizes: Tensor | None) -> None:
        """Raise unless input and hidden state fit the parameters."""
        self.check_input(input, batch_sizes)
        self.check_hidden_size(hidden, self.get_expected_hidden_size(input, batch_sizes))

    def permute_hidden(self, hx: Any, permutation: Tensor | None) -> Any:
        """The hidden state with the batch in another order."""
        return hx if permutation is None else _apply_permutation(hx, permutation)

    # Running. A state is one tensor, or for an LSTM a pair; these three are what differs.

    def _kernel_name(self) -> str:
        return self.mode.lower()

    def _zero_state(self, input: Tensor, batch_sizes: Tensor | None) -> Any:
        shape = self.get_expected_hidden_size(input, batch_sizes)
        return torch.zeros(shape, dtype=input.dtype, device=input.device)

    def _batched_state(self, hx: Any, is_batched: bool) -> Any:
        """The given state with a batch dimension."""
        if is_batched:
            if hx.dim() != 3:
                raise RuntimeError(f"For batched 3-D input, hx should also be 3-D but got {hx.dim()}-D tensor")
            return hx
        if hx.dim() != 2:
            raise RuntimeError(f"For unbatched 2-D input, hx should also be 2-D but got {hx.dim()}-D tensor")
        return hx.unsqueeze(1)

    def _state_of(self, result: Any, is_batched: bool) -> Any:
        return result[1] if is_batched else result[1].squeeze(1)

    def forward(self, input: Any, hx: Any = None) -> Any:
        """Run over a sequence.

        Args:
            input: (time, batch, feature), (batch, time, feature) with ``batch_first``, (time, feature), or a
                `PackedSequence`.
            hx: initial state of shape (layers x directions, batch, hidden_size), zero by default; for an LSTM a pair
                (hidden, cell).

        Returns the outputs of the last layer for all times, packed if the input was, and the last state.
        """
        self._update_flat_weights()
        if isinstance(input, PackedSequence):
            return self._forward_packed(input, hx)
        if input.dim() not in (2, 3):
            what = "tensor " if self.mode.startswith("RNN") else ""
            raise ValueError(f"{self._family()}: Expected input to be 2D or 3D, got {input.dim()}D {what}instead")
        is_batched = input.dim() == 3
        batch_dim = 0 if self.batch_first else 1
        if not is_batched:
            input = input.unsqueeze(batch_dim)
        hx = self._zero_state(input, None) if hx is None else self._batched_state(hx, is_batched)
        self.check_forward_args(input, hx, None)
        result = _kernel(self._kernel_name())(
            input,
            hx,
            self._flat_weights,
            self.bias,
            self.num_layers,
            self.dropout,
            self.training,
            self.bidirectional,
            self.batch_first,
        )
        output = result[0] if is_batched else result[0].squeeze(batch_dim)
        return output, self._state_of(result, is_batched)

    def _forward_packed(self, packed: PackedSequence, hx: Any) -> Any:
        data, batch_sizes, sorted_indices, unsorted_indices = packed
        if hx is None:
            hx = self._zero_state(data, batch_sizes)
        else:
            hx = self.permute_hidden(hx, sorted_indices)
        self.check_forward_args(data, hx, batch_sizes)
        result = _kernel(self._kernel_name())(
            data,
            batch_sizes,
            hx,
            self._flat_weights,
            self.bias,
            self.num_layers,
            self.dropout,
            self.training,
            self.bidirectional,
        )
        output = PackedSequence(result[0], batch_sizes, sorted_indices, unsorted_indices)
        return output, self.permute_hidden(self._state_of(result, True), unsorted_indices)

    def _family(self) -> str:
        """Name of the kind of layer in messages, whatever a subclass is called."""
        return self.mode.partition("_")[0]

    def extra_repr(self) -> str:
        items = [f"{self.input_size}, {self.hidden_size}"]
        if self.proj_size != 0:
            items.append(f"proj_size={self.proj_size}")
        if self.num_layers != 1:
            items.append(f"num_layers={self.num_layers}")
        if self.bias is not True:
            items.append(f"bias={self.bias}")
        if self.batch_first is not False:
            items.append(f"batch_first={self.batch_first}")
        if self.dropout != 0:
            items.append(f"dropout={self.dropout}")
        if self.bidirectional is not False:
            items.append(f"bidirectional={self.bidirectional}")
        return ", ".join(items)


class RNN(RNNBase):
    """Elman network, ``h_t = tanh(W_ih x_t + b_ih + W_hh h_(t-1) + b_hh)``.

    Args:
        input_size: features of the input.
        hidden_size: features of the hidden state.
        num_layers: number of layers, each fed by the one before. Default: 1.
        nonlinearity: ``"tanh"`` or ``"relu"``. Default: ``"tanh"``.
        bias: whether there are biases. Default: ``True``.
        batch_first: whether sequences are (batch, time, feature) rather than (time, batch, feature).
        dropout: probability of dropping elements of the output of every layer but the last. Default: 0.
        bidirectional: also run over the reversed sequence. Default: ``False``.
        device: device of the parameters.
        dtype: element type of the parameters.

    Attributes:
        weight_ih_l[k]: of shape (hidden_size, input_size), for k > 0 (hidden_size, directions x hidden_size).
        weight_hh_l[k]: of shape (hidden_size, hidden_size).
        bias_ih_l[k], bias_hh_l[k]: of shape (hidden_size,).
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if "proj_size" in kwargs:
            raise ValueError(PROJ_SIZE_UNSUPPORTED)
        if len(args) > 3:
            nonlinearity = args[3]
            args = args[:3] + args[4:]
        else:
            nonlinearity = kwargs.pop("nonlinearity", "tanh")
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(f"Unknown nonlinearity '{nonlinearity}'. Select from 'tanh' or 'relu'.")
        super().__init__(f"RNN_{nonlinearity.upper()}", *args, **kwargs)
        self.nonlinearity = nonlinearity

    def forward(self, input: Any, hx: Tensor | None = None) -> Any:
        """Run over a sequence (see `RNNBase.forward`); returns the outputs and the last hidden state."""
        if self.mode not in ("RNN_TANH", "RNN_RELU"):
            raise AssertionError(f"mode must be RNN_TANH or RNN_RELU, got {self.mode}")
        return super().forward(input, hx)


class LSTM(RNNBase):
    """Long short-term memory.

    With gates ``i, f, o`` and candidate ``g``, each a function of ``W_ih x_t + b_ih + W_hh h_(t-1) + b_hh``:
    ``c_t = f c_(t-1) + i g`` and ``h_t = o tanh(c_t)``. Rows of the weights are in the order ``i, f, g, o``.

    Args:
        input_size: features of the input.
        hidden_size: features of the states.
        num_layers: number of layers, each fed by the one before. Default: 1.
        bias: whether there are biases. Default: ``True``.
        batch_first: whether sequences are (batch, time, feature) rather than (time, batch, feature).
        dropout: probability of dropping elements of the output of every layer but the last. Default: 0.
        bidirectional: also run over the reversed sequence. Default: ``False``.
        proj_size: size to which hidden states are projected; 0 for none. Default: 0.
        device: device of the parameters.
        dtype: element type of the parameters.

    Attributes:
        weight_ih_l[k]: of shape (4 hidden_size, input_size), for k > 0 (4 hidden_size, directions x output size).
        weight_hh_l[k]: of shape (4 hidden_size, output size).
        bias_ih_l[k], bias_hh_l[k]: of shape (4 hidden_size,).
        weight_hr_l[k]: of shape (proj_size, hidden_size), with ``proj_size`` only.

    >>> import torchlike as torch
    >>> output, (h, c) = torch.nn.LSTM(10, 20, 2)(torch.randn(5, 3, 10))
    >>> output.shape, h.shape, c.shape
    (torch.Size([5, 3, 20]), torch.Size([2, 3, 20]), torch.Size([2, 3, 20]))
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__("LSTM", *args, **kwargs)

    def get_expected_cell_size(self, input: Tensor, batch_sizes: Tensor | None) -> tuple[int, int, int]:
        """Shape of the cell state for this input."""
        return self._state_shape(input, batch_sizes, self.hidden_size)

    def check_forward_args(self, input: Tensor, hidden: tuple[Tensor, Tensor], batch_sizes: Tensor | None) -> None:
        """Raise unless input, hidden state and cell state fit the parameters."""
        self.check_input(input, batch_sizes)
        expected = self.get_expected_hidden_size(input, batch_sizes)
        self.check_hidden_size(hidden[0], expected, "Expected hidden[0] size {}, got {}")
        expected = self.get_expected_cell_size(input, batch_sizes)
        self.check_hidden_size(hidden[1], expected, "Expected hidden[1] size {}, got {}")

    def permute_hidden(self, hx: tuple[Tensor, Tensor], permutation: Tensor | None) -> tuple[Tensor, Tensor]:
        """The states with the batch in another order."""
        if permutation is None:
            return hx
        return _apply_permutation(hx[0], permutation), _apply_permutation(hx[1], permutation)

    def _zero_state(self, input: Tensor, batch_sizes: Tensor | None) -> tuple[Tensor, Tensor]:
        shape = self.get_expected_cell_size(input, batch_sizes)
        cell = torch.zeros(shape, dtype=input.dtype, device=input.device)
        return super()._zero_state(input, batch_sizes), cell

    def _batched_state(self, hx: tuple[Tensor, Tensor], is_batched: bool) -> tuple[Tensor, Tensor]:
        h, c = hx
        dim = 3 if is_batched else 2
        if h.dim() != dim or c.dim() != dim:
            raise RuntimeError(
                f"For {'' if is_batched else 'un'}batched {dim}-D input, hx and cx should "
                f"also be {dim}-D but got ({h.dim()}-D, {c.dim()}-D) tensors"
            )
        return (h, c) if is_batched else (h.unsqueeze(1), c.unsqueeze(1))

    def _state_of(self, result: Any, is_batched: bool) -> tuple[Tensor, Tensor]:
        _, h, c = result
        return (h, c) if is_batched else (h.squeeze(1), c.squeeze(1))


class GRU(RNNBase):
    """Gated recurrent unit.

    With gates ``r, z`` of ``W_ih x_t + b_ih + W_hh h_(t-1) + b_hh``:
    ``n = tanh(W_in x_t + b_in + r (W_hn h_(t-1) + b_hn))`` and ``h_t = (1 - z) n + z h_(t-1)``. Rows of the weights
    are in the order ``r, z, n``.

    Args:
        input_size: features of the input.
        hidden_size: features of the hidden state.
        num_layers: number of layers, each fed by the one before. Default: 1.
        bias: whether there are biases. Default: ``True``.
        batch_first: whether sequences are (batch, time, feature) rather than (time, batch, feature).
        dropout: probability of dropping elements of the output of every layer but the last. Default: 0.
        bidirectional: also run over the reversed sequence. Default: ``False``.
        device: device of the parameters.
        dtype: element type of the parameters.

    Attributes:
        weight_ih_l[k]: of shape (3 hidden_size, input_size), for k > 0 (3 hidden_size, directions x hidden_size).
        weight_hh_l[k]: of shape (3 hidden_size, hidden_size).
        bias_ih_l[k], bias_hh_l[k]: of shape (3 hidden_size,).
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if "proj_size" in kwargs:
            raise ValueError(PROJ_SIZE_UNSUPPORTED)
        super().__init__("GRU", *args, **kwargs)


class RNNCellBase(Module):
    """What `RNNCell`, `LSTMCell` and `GRUCell` share.

    Args:
        input_size: features of the input.
        hidden_size: features of the hidden state.
        bias: whether there are biases.
        num_chunks: rows of the weights over ``hidden_size``.
        device: device of the parameters.
        dtype: element type of the parameters.
    """

    __constants__ = ["input_size", "hidden_size", "bias"]
    input_size: int
    hidden_size: int
    bias: bool
    weight_ih: Tensor
    weight_hh: Tensor

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool,
        num_chunks: int,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.bias = bias
        rows = num_chunks * hidden_size
        sizes = {"weight_ih": (rows, input_size), "weight_hh": (rows, hidden_size), "bias_ih": rows, "bias_hh": rows}
        for name, size in sizes.items():
            if bias or name.startswith("weight"):
                setattr(self, name, Parameter(torch.empty(size, device=device, dtype=dtype)))
            else:
                self.register_parameter(name, None)
        self.reset_parameters()

    def extra_repr(self) -> str:
        items = [f"{self.input_size}, {self.hidden_size}"]
        if self.__dict__.get("bias", True) is not True:
            items.append(f"bias={self.bias}")
        if self.__dict__.get("nonlinearity", "tanh") != "tanh":
            items.append(f"nonlinearity={self.nonlinearity}")
        return ", ".join(items)

    def reset_parameters(self) -> None:
        """Draw all parameters from ``U(-b, b)`` with ``b = 1 / sqrt(hidden_size)``."""
        bound = 1.0 / math.sqrt(self.hidden_size) if self.hidden_size > 0 else 0
        for weight in self.parameters():
            init.uniform_(weight, -bound, bound)

    def _check_dim(self, value: Tensor, what: str) -> None:
        if value.dim() not in (1, 2):
            name = _cell_name(self)
            raise ValueError(f"{name}: Expected {what} to be 1D or 2D, got {value.dim()}D instead")

    def _step(self, kernel: str, input: Tensor, hx: Tensor | None) -> Tensor:
        """One step of a cell whose state is one tensor."""
        self._check_dim(input, "input")
        if hx is not None:
            self._check_dim(hx, "hidden")
        is_batched = input.dim() == 2
        if not is_batched:
            input = input.unsqueeze(0)
        if hx is None:
            hx = torch.zeros(input.size(0), self.hidden_size, dtype=input.dtype, device=input.device)
        elif not is_batched:
            hx = hx.unsqueeze(0)
        stepped = _kernel(kernel)(input, hx, self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh)
        return stepped if is_batched else stepped.squeeze(0)


def _cell_name(cell: RNNCellBase) -> str:
    """Name of the kind of cell in messages, whatever a subclass is called."""
    return next(cls.__name__ for cls in (RNNCell, LSTMCell, GRUCell, RNNCellBase) if isinstance(cell, cls))


class RNNCell(RNNCellBase):
    """One step of an `RNN`, ``h' = tanh(W_ih x + b_ih + W_hh h + b_hh)``.

    Args:
        input_size: features of the input.
        hidden_size: features of the hidden state.
        bias: whether there are biases. Default: ``True``.
        nonlinearity: ``"tanh"`` or ``"relu"``. Default: ``"tanh"``.
        device: device of the parameters.
        dtype: element type of the parameters.
    """

    __constants__ = ["input_size", "hidden_size", "bias", "nonlinearity"]
    nonlinearity: str

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, num_chunks=1, device=device, dtype=dtype)
        self.nonlinearity = nonlinearity

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        """The next hidden state, from input (N, input_size) and state (N, hidden_size), zero by default."""
        if self.nonlinearity not in ("tanh", "relu"):
            raise RuntimeError(f"Unknown nonlinearity: {self.nonlinearity}")
        return self._step(f"rnn_{self.nonlinearity}_cell", input, hx)


class LSTMCell(RNNCellBase):
    """One step of an `LSTM`.

    Args:
        input_size: features of the input.
        hidden_size: features of the states.
        bias: whether there are biases. Default: ``True``.
        device: device of the parameters.
        dtype: element type of the parameters.
    """

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__(input_size, hidden_size, bias, num_chunks=4, device=device, dtype=dtype)

    def forward(self, input: Tensor, hx: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, Tensor]:
        """The next hidden and cell state, from input (N, input_size) and states (N, hidden_size), zero by default."""
        self._check_dim(input, "input")
        for i, state in enumerate(() if hx is None else hx):
            self._check_dim(state, f"hx[{i}]")
        is_batched = input.dim() == 2
        if not is_batched:
            input = input.unsqueeze(0)
        if hx is None:
            zeros = torch.zeros(input.size(0), self.hidden_size, dtype=input.dtype, device=input.device)
            hx = (zeros, zeros)
        elif not is_batched:
            hx = (hx[0].unsqueeze(0), hx[1].unsqueeze(0))
        h, c = _kernel("lstm_cell")(input, hx, self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh)
        return (h, c) if is_batched else (h.squeeze(0), c.squeeze(0))


class GRUCell(RNNCellBase):
    """One step of a `GRU`.

    Args:
        input_size: features of the input.
        hidden_size: features of the hidden state.
        bias: whether there are biases. Default: ``True``.
        device: device of the parameters.
        dtype: element type of the parameters.
    """

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__(input_size, hidden_size, bias, num_chunks=3, device=device, dtype=dtype)

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        """The next hidden state, from input (N, input_size) and state (N, hidden_size), zero by default."""
        return self._step("gru_cell", input, hx)
