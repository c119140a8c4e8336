"""Einstein's summation against native PyTorch."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from oracle import check, infos, loosen, samples

import torchlike

loosen("einsum", "float32", 1e-4, 1e-3)  # long sums
loosen("einsum", "complex64", 1e-4, 1e-3)

EQUATIONS = [
    ("ij,jk->ik", [(2, 3), (3, 4)]), ("ij,jk", [(2, 3), (3, 4)]), ("bij,bjk->bik", [(2, 3, 4), (2, 4, 5)]), ("ij->ji", [(2, 3)]),
    ("ij->", [(2, 3)]), ("ij->i", [(2, 3)]), ("ii->i", [(3, 3)]), ("ii", [(3, 3)]), ("i,j->ij", [(2,), (3,)]), ("i,i->", [(2,), (2,)]),
    ("ij,ij->ij", [(2, 3), (2, 3)]), ("ij,ij->i", [(2, 3), (2, 3)]), ("...ij,...jk->...ik", [(2, 3, 4), (4, 5)]),
    ("bhqd,bhkd->bhqk", [(2, 3, 4, 5), (2, 3, 6, 5)]), ("bqhd,bkhd->bhqk", [(2, 3, 4, 5), (2, 6, 4, 5)]),
    ("ijk,jil->kl", [(2, 3, 4), (3, 2, 5)]), ("i,ij,j->", [(2,), (2, 3), (3,)]), ("bn,anm,bm->ba", [(2, 5), (3, 5, 4), (2, 4)]),
    ("ij", [(2, 3)]), ("ji", [(2, 3)]), ("ij,j->ij", [(2, 3), (3,)]), ("ij,k->ijk", [(2, 3), (3,)]), ("i...->...", [(3, 2)]),
    ("a,b,c->abc", [(2,), (3,), (4,)]), ("bi,bj->bij", [(2, 3), (2, 4)]), ("ij,ij->ij", [(2, 3), (1, 3)]), ("ij,jk", [(2, 3), (1, 4)]),
    ("iij,j->i", [(2, 2, 3), (3,)]), ("...,...->...", [(2, 3), (3,)]), ("abc,cd,de,ef->abf", [(2, 3, 4), (4, 5), (5, 6), (6, 2)]),
    ("ij,k->i", [(2, 3), (4,)]), ("ab,ab,ab->ab", [(2, 3)] * 3), ("ij,jk", [(0, 3), (3, 2)]), ("ij,jk", [(2, 0), (0, 2)]),
]  # fmt: skip


@pytest.mark.parametrize(("equation", "shapes"), EQUATIONS)
def test_equations(equation, shapes):
    torch.manual_seed(0)
    operands = [torch.randn(shape, requires_grad=True) for shape in shapes]
    check("einsum", torch.einsum, torchlike.einsum, [equation, *operands])


A, B = torch.arange(6.0).view(2, 3), torch.arange(12.0).view(3, 4)
FORMS = [
    (A, [0, 1], B, [1, 2], [0, 2]), (A, [0, 1], B, [1, 2]), (A, [..., 1], B, [1, 2]), ("ij,jk", [A, B]), ("ij,jk", A), ("ij", A, B),
    ("ijk", A), ("i", A), ("ij,ij", A, B), ("i1", A), ("ij->k", A), ("ij->ii", A), ("i....", A), ("i..j", A), ("ij->i->j", A),
    ("ij-", A), ("ij,jk", A, B.double()), ("ij,jk", A.long(), B.long()), ("",), ("ij",), ("ii", A), ("ij,jk", A, B[:1]),
    (" i j , j k -> i k ", A, B), ("aB,BC", A, B), (A,), ("i", 3), (A, [0, 60]), ("...->", A), ("ij->...i", A),
    ("ij,jk", A.half(), B.half()), ("->", torch.tensor(1.0)), ("ij,jk", A.cfloat(), B.cfloat()), ("ij,jk", A > 0, B > 0),
    (A, [0, -1]), ([A], "ij"),
]  # fmt: skip


@pytest.mark.parametrize("args", FORMS, ids=range(len(FORMS)))
def test_forms_and_errors(args):
    check("einsum", torch.einsum, torchlike.einsum, list(args))


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64", "int64"])
def test_samples(dtype):
    (info,) = infos("einsum")
    for args, _ in samples(info, getattr(torch, dtype), 12, requires_grad=dtype != "int64"):
        operands, equation = args
        check("einsum", torch.einsum, torchlike.einsum, [equation, *operands])
